# SPDX-License-Identifier: Apache-2.0
"""``nova-xen-overcommit history``: what guests needed, and when."""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cliff import command, lister

from nova_xen_overcommit import exception
from nova_xen_overcommit.cli import export, past, pasttable
from nova_xen_overcommit.cli.exit_codes import Code, ToolError

# A week of the agent's steps.
_MOST_POINTS = 2016
_NAMES_TIMEOUT_S = 2.0


class Asked(NamedTuple):
    """What was asked for: a guest by UUID and name, "" for the host."""

    told: past.Past
    uuid: str
    names: dict[str, str]


class HistoryCommand(command.Command):
    """What all commands that read the history have in common."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Give cliff's parser with the option where to read."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--history-dir",
            metavar="PATH",
            help="read this directory; no configuration is read then",
        )
        return parser

    def days(self, parsed_args: argparse.Namespace) -> list[Path]:
        """Give the files of all days.

        :raises HistoryUnavailable: there are none.
        """
        chosen = parsed_args.history_dir or self.app.configured().history_dir
        if not chosen:
            raise exception.HistoryUnavailable(
                "[xen_overcommit] history_dir is empty: nothing is kept"
            )
        return past.days(Path(chosen))

    def warn(self, text: str) -> None:
        """Tell of a file that can't be read."""
        self.app.LOG.warning("%s", text)


class SpanCommand(HistoryCommand):
    """What shows one time of one guest, or of the host."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Give cliff's parser with our options added."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add = parser.add_argument
        for name, default in (
            ("--since", "a day before the end"),
            ("--until", "the end of the history"),
        ):
            add(
                name,
                type=_moment,
                metavar="TIME",
                help="so long ago (90m, 2h, 3d, 1w), or a day or time in ISO "
                f"8601 (UTC where it doesn't say); default: {default}",
            )
        add(
            "--guest",
            metavar="GUEST",
            help="this guest alone: its UUID or how that begins, or its name "
            "while it runs",
        )
        return parser

    def asked(
        self, parsed_args: argparse.Namespace, points: int = _MOST_POINTS
    ) -> Asked:
        """Read what was asked for.

        :raises HistoryUnavailable: there is none.
        :raises ToolError: no such guest, or no such time.
        """
        since_s, until_s = parsed_args.since, parsed_args.until
        if None not in (since_s, until_s) and since_s >= until_s:
            raise ToolError("--since is not before --until", Code.USAGE)
        found = self.days(parsed_args)
        told_of: set[str] = set()

        def once(text: str) -> None:
            if text not in told_of:
                told_of.add(text)
                self.warn(text)

        shown = past.span(found, since_s, until_s, points, once)
        told = past.read(found, shown, once)
        names = self._names(parsed_args)
        uuid = ""
        if parsed_args.guest:
            uuid = _guest(parsed_args.guest, told, names)
        if not (told.guests.get(uuid) if uuid else told.host):
            raise exception.HistoryUnavailable(
                f"nothing is known from {pasttable.when(shown.since_s)} to "
                f"{pasttable.when(shown.until_s)}"
            )
        return Asked(told, uuid, names)

    def _names(self, parsed_args: argparse.Namespace) -> dict[str, str]:
        """Give the names of running guests, if the agent answers.

        The files know guests by their UUIDs alone, which names may outlive.
        """
        options = self.app.options
        if parsed_args.history_dir and not options.agent_socket:
            return {}
        options.agent_timeout_s = min(
            options.agent_timeout_s, _NAMES_TIMEOUT_S
        )
        try:
            guests = self.app.ask(lambda agent: agent.explain())["guests"]
            return {str(one["uuid"]): str(one["name"]) for one in guests}
        except (ToolError, KeyError, TypeError):
            return {}


def _guest(text: str, told: past.Past, names: dict[str, str]) -> str:
    """Give the UUID of the guest that is meant.

    :raises ToolError: none is, or more than one.
    """
    by_name = [uuid for uuid, name in names.items() if name == text]
    known = set(told.guests)
    found = {text.lower()} & known or set(by_name) & known
    found = found or {uuid for uuid in known if uuid.startswith(text.lower())}
    if len(found) == 1:
        return found.pop()
    if found:
        raise ToolError(
            f"--guest {text}: {len(found)} guests begin so",
            Code.UNKNOWN_GUEST,
        )
    if by_name:
        hint = "nothing is known of it in this time"
    elif names:
        hint = (
            "no running guest has this name, and none in this time this UUID"
        )
    else:
        hint = "none has this UUID in this time; names are known only while "
        hint += "the agent answers"
    raise ToolError(f"--guest {text}: {hint}", Code.UNKNOWN_GUEST)


def _moment(text: str) -> float:
    try:
        return past.moment_s(text, time.time())
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither so long ago nor a time"
        ) from None


class Show(SpanCommand, lister.Lister):
    """Show what the host or a guest needed and used.

    On a terminal: a plot, and what each guest needed most. Else, and with
    --format or --column: a row for each step.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Give cliff's parser with our options added."""
        parser = super().get_parser(prog_name)
        # So that it can be told whether one was asked for.
        parser.set_defaults(formatter=None)
        parser.add_argument(
            "--json",
            action="store_true",
            help="write it as one JSON object, in the form that the "
            "documentation describes",
        )
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Choose between a plot, JSON and rows."""
        chosen = parsed_args.formatter or parsed_args.columns
        if parsed_args.json:
            told = pasttable.document(*self.asked(parsed_args))
            self.app.stdout.write(json.dumps(told, indent=1) + "\n")
            return Code.OK
        if not chosen and self.app.stdout.isatty():
            return self._draw(parsed_args)
        parsed_args.formatter = parsed_args.formatter or "table"
        return int(super().run(parsed_args))

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Give names and values of each step."""
        asked = self.asked(parsed_args)
        return pasttable.NAMES, pasttable.rows(asked.told, asked.uuid)

    def _draw(self, parsed_args: argparse.Namespace) -> int:
        drawing = _needed("rich", "tool", _drawing)
        size = shutil.get_terminal_size()
        # Two dots a character.
        asked = self.asked(parsed_args, 2 * size.columns)
        drawing.draw(self.app.stdout, *asked)
        return Code.OK


class Plot(SpanCommand):
    """Draw what the host or a guest needed and used, as a PNG file."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Give cliff's parser with our options added."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--output",
            required=True,
            metavar="FILE",
            help="where to write the PNG",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Draw and write.

        :raises HistoryUnavailable: there is none, or it can't be written.
        """
        pictures = _needed("matplotlib", "simulate", _pictures)
        content = pictures.png(*self.asked(parsed_args))
        try:
            Path(parsed_args.output).write_bytes(content)
        except OSError as error:
            raise ToolError(str(error)) from None
        self.app.stdout.write(f"{parsed_args.output} is written\n")


def _drawing() -> Any:
    from nova_xen_overcommit.cli import pastdrawing

    return pastdrawing


def _pictures() -> Any:
    from nova_xen_overcommit.cli import pastpicture

    return pastpicture


def _needed(library: str, extra: str, load: Callable[[], Any]) -> Any:
    """Import what only some need.

    :raises ToolError: its library is missing; the text names the extra.
    """
    try:
        return load()
    except ImportError as error:
        if (error.name or "").partition(".")[0] != library:
            raise
        raise ToolError(
            f"{library} is missing; install nova_xen_overcommit with its "
            f"extra '{extra}'",
            Code.MISSING_LIBRARY,
        ) from None


class Export(HistoryCommand):
    """Write what each guest used in each step, as rows of CSV.

    The columns are vm (libvirt's and Nova's UUID), time (when the step
    began; ISO 8601, UTC), size_mib (the flavor) and used_mib (the most it
    used in that step; empty where nothing was known). It reads the agent's
    files, and works with or without an agent.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Give cliff's parser with the options added."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--output",
            default="-",
            metavar="FILE",
            help="where to write; - is the standard output, and the default",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Read the files of all days and write their rows.

        :raises HistoryUnavailable: there are none, or one can't be read.
        :raises ToolError: the output can't be written.
        """
        days = self.days(parsed_args)
        try:
            self._write(days, parsed_args.output)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise ToolError(str(error)) from None

    def _write(self, days: Sequence[Path], output: str) -> None:
        if output == "-":
            export.write(days, self.app.stdout, self.warn)
            return
        with Path(output).open("w", encoding="utf-8", newline="") as file:
            count = export.write(days, file, self.warn)
        self.app.stdout.write(f"{count} rows in {output}\n")
