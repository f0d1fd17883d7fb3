# SPDX-License-Identifier: Apache-2.0
"""The agent's history as rows of CSV."""

import csv
import datetime
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from nova_xen_overcommit.agent.history import files
from nova_xen_overcommit.agent.history.records import HostStep

HEADER = ("vm", "time", "size_mib", "used_mib")
_KIB_PER_MIB = 1024


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
