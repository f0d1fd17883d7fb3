# SPDX-License-Identifier: Apache-2.0
"""``nova-xen-overcommit history export``: the agent's history as CSV."""

import argparse
import csv
import datetime
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from cliff import command

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.history import files, records
from nova_xen_overcommit.agent.history.records import HostStep

HEADER = ("vm", "time", "size_mib", "used_mib")
_KIB_PER_MIB = 1024


class Export(command.Command):
    """Write what each guest used in each step, as rows of CSV.

    The columns are vm (libvirt's and Nova's UUID), time (when the step
    began; ISO 8601, UTC), size_mib (the flavor) and used_mib (the most it
    used in that step; empty where nothing was known). It reads the agent's
    files, and works with or without an agent.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Give cliff's parser with the options added."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--output",
            default="-",
            metavar="FILE",
            help="where to write; - is the standard output, and the default",
        )
        parser.add_argument(
            "--history-dir",
            metavar="PATH",
            help="read this directory; no configuration is read then",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Read the files of all days and write their rows.

        :raises HistoryUnavailable: there are none, or one can't be read,
            or the output can't be written.
        """
        chosen = parsed_args.history_dir or self.app.configured().history_dir
        if not chosen:
            raise exception.HistoryUnavailable(
                "[xen_overcommit] history_dir is empty: nothing is kept"
            )
        directory = Path(chosen)
        try:
            days = records.files(directory)
        except OSError as error:
            raise exception.HistoryUnavailable(str(error)) from None
        if not days:
            raise exception.HistoryUnavailable(
                f"no history in {directory} yet"
            )
        try:
            self._write(days, parsed_args.output)
        except OSError as error:
            raise exception.HistoryUnavailable(str(error)) from None

    def _write(self, days: Iterable[Path], output: str) -> None:
        if output == "-":
            write(days, self.app.stdout, self._warn)
            return
        with Path(output).open("w", encoding="utf-8", newline="") as file:
            count = write(days, file, self._warn)
        self.app.stdout.write(f"{count} rows in {output}\n")

    def _warn(self, text: str) -> None:
        self.app.LOG.warning("%s", text)


def write(
    days: Iterable[Path], out: TextIO, damaged: Callable[[str], None]
) -> int:
    """Write the rows of some days' files; give how many there were.

    :raises OSError: a file can't be read, or ``out`` can't be written.
    """
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    count = 0
    for path in days:
        for row in _rows(files.read_file(path, damaged)):
            writer.writerow(row)
            count += 1
    return count


def _rows(steps: Iterable[HostStep]) -> Iterator[tuple[str, str, str, str]]:
    """Give a day's rows by time, one for each guest and time.

    An agent that was started anew wrote one step in two parts; one whose
    clock was set back wrote hours twice.
    """
    times: dict[int, dict[str, tuple[int, int]]] = {}
    for step in steps:
        guests = times.setdefault(step.time_s, {})
        for vm, size_kib, _demand_kib, used_kib in step.guests:
            _size_kib, before_kib = guests.get(vm, (0, 0))
            guests[vm] = size_kib, max(used_kib, before_kib)
    for time_s, guests in sorted(times.items()):
        when = datetime.datetime.fromtimestamp(time_s, datetime.UTC)
        text = when.strftime("%Y-%m-%dT%H:%M:%SZ")
        for vm, (size_kib, used_kib) in guests.items():
            # Made smaller within the step, it may have used more before.
            used = _mib(min(used_kib, size_kib)) if used_kib else ""
            yield vm, text, _mib(size_kib), used


def _mib(kib: int) -> str:
    """Give as many digits as tell each KiB from the next."""
    return f"{kib / _KIB_PER_MIB:.4f}".rstrip("0").rstrip(".")
