# SPDX-License-Identifier: Apache-2.0
"""``nova-xen-overcommit status``: host and guests, live."""

import argparse
import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

from cliff import lister

from nova_xen_overcommit.cli import picture, rows
from nova_xen_overcommit.cli.exit_codes import Code, ToolError

_DUMB = ("", "dumb", "unknown")


class Status(lister.Lister):
    """Show the host and its guests, refreshed like top.

    Keys: q ends it, s sorts by the next column, r turns the order around.
    Where the output is no terminal, and with --once, --json, --format or
    --column, it is shown once.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Give cliff's parser with our options added."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        # So that it can be told whether one was asked for.
        parser.set_defaults(formatter=None)
        add = parser.add_argument
        add(
            "--once",
            action="store_true",
            help="show it once, also on a terminal",
        )
        add(
            "--json",
            action="store_true",
            help="write all that is known as one JSON object, in the form "
            "that the documentation describes",
        )
        add(
            "--interval",
            type=_interval,
            default=2.0,
            metavar="S",
            help="seconds between two refreshes (default: %(default)g)",
        )
        add(
            "--sort",
            choices=rows.SORTS,
            default="name",
            help="the order of the guests; numbers fall (default: "
            "%(default)s)",
        )
        add("--reverse", action="store_true", help="turn that order around")
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Choose between the live table and one answer."""
        if parsed_args.json:
            return self._write_json()
        chosen = parsed_args.formatter or parsed_args.columns
        if not (parsed_args.once or chosen) and self._on_terminal():
            return self._watch(parsed_args)
        parsed_args.formatter = parsed_args.formatter or "table"
        return int(super().run(parsed_args))

    def _ask(self) -> dict[str, Any]:
        seen: dict[str, Any] = self.app.ask(
            lambda agent: agent.status(), picture.document
        )
        return seen

    def _write_json(self) -> int:
        self.app.stdout.write(json.dumps(self._ask(), indent=1) + "\n")
        return Code.OK

    def _on_terminal(self) -> bool:
        dumb = os.environ.get("TERM", "") in _DUMB
        return bool(self.app.stdout.isatty()) and not dumb

    def _watch(self, parsed_args: argparse.Namespace) -> int:
        try:
            from nova_xen_overcommit.cli import live
        except ImportError as error:
            raise ToolError(
                f"{error.name} is missing, install nova_xen_overcommit with "
                "its extra 'tool'; --once does without",
                Code.MISSING_LIBRARY,
            ) from None
        return live.watch(
            self._ask,
            self.app.stdin,
            self.app.stdout,
            parsed_args.interval,
            live.Order(parsed_args.sort, parsed_args.reverse),
        )

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Ask once; give names and values to show."""
        self._seen = self._ask()
        guests = rows.ordered(
            self._seen["guests"], parsed_args.sort, parsed_args.reverse
        )
        names: Sequence[str] = rows.NAMES
        if parsed_args.columns or parsed_args.formatter != "table":
            names = picture.GUEST
        return names, [[guest[name] for name in names] for guest in guests]

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
    ) -> int:
        """Write the answer in the format asked for."""
        if parsed_args.formatter == "table" and not parsed_args.columns:
            for line in picture.lines(self._seen):
                self.app.stdout.write(f"{line}\n")
        return int(super().produce_output(parsed_args, column_names, data))


def _interval(text: str) -> float:
    number = float(text)
    if not 0.2 <= number <= 3600:
        raise argparse.ArgumentTypeError("must be 0.2 to 3600 seconds")
    return number
