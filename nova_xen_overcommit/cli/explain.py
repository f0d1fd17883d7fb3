# SPDX-License-Identifier: Apache-2.0
"""``nova-xen-overcommit explain``: why a guest has what it has."""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cliff import columns, lister
from cliff.formatters import base

from nova_xen_overcommit.cli import wording

_COLUMNS = (
    "name",
    "status",
    "flavor_mib",
    "floor_mib",
    "actual_mib",
    "target_mib",
    "demand_mib",
    "reason",
    "limits",
    "uuid",
)
# Too wide for most terminals; `explain GUEST` and the other formats have it.
_NOT_IN_TABLES = "uuid"
_WORDS: dict[str, Callable[[Any], str]] = {
    "observation": wording.observation,
    "demand": wording.demand,
    "target": wording.target,
    "limits": wording.limits,
    "status": wording.status,
}


class Worded(columns.FormattableColumn):
    """A structure that tables show in words."""

    def __init__(self, value: Any, words: Callable[[Any], str]) -> None:
        super().__init__(value)
        self._words = words

    def human_readable(self) -> str:
        """Give the words."""
        return self._words(self._value)


class Explain(lister.Lister):
    """Say why a guest has the memory it has, or show all guests.

    Without GUEST: the host and a table of its running guests. With GUEST:
    what was observed, what it needs and why, what it is to have and why,
    what limits that, and how it follows.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Give cliff's parser with GUEST added."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "guest",
            nargs="?",
            default="",
            metavar="GUEST",
            help="libvirt's name of a running guest, or its UUID",
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Ask the agent; give names and values to show."""
        answer = self.app.ask(lambda agent: agent.explain(parsed_args.guest))
        self._seen: dict[str, Any] = wording.in_mib(answer)
        if parsed_args.guest:
            return tuple(self._seen), [_one(self._seen)]
        shown = list(_COLUMNS)
        if parsed_args.formatter == "table" and not parsed_args.columns:
            shown.remove(_NOT_IN_TABLES)
        return shown, [_row(guest, shown) for guest in self._seen["guests"]]

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
    ) -> int:
        """Write the answer in the format asked for."""
        one_able = isinstance(self.formatter, base.SingleFormatter)
        if parsed_args.guest and one_able:
            self._write_one(parsed_args, column_names, *data)
            return 0
        if not parsed_args.guest and not parsed_args.columns:
            if parsed_args.formatter in ("json", "yaml"):
                whole = (self._seen["host"], self._seen["guests"])
                self._emit_one(("host", "guests"), whole, parsed_args)
                return 0
            if parsed_args.formatter == "table":
                self._write_host()
        return int(super().produce_output(parsed_args, column_names, data))

    def _write_host(self) -> None:
        for line in wording.host(self._seen["host"]):
            self.app.stdout.write(f"{line}\n")

    def _write_one(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        values: Sequence[Any],
    ) -> None:
        shown, _selector = self._generate_columns_and_selector(
            parsed_args, column_names
        )
        by_name = dict(zip(column_names, values, strict=True))
        chosen = [by_name[name] for name in shown]
        self._emit_one(shown, chosen, parsed_args)

    def _emit_one(
        self,
        names: Sequence[str],
        values: Sequence[Any],
        parsed_args: argparse.Namespace,
    ) -> None:
        self.formatter.emit_one(names, values, self.app.stdout, parsed_args)


def _one(guest: Mapping[str, Any]) -> list[Any]:
    return [_shown(name, value) for name, value in guest.items()]


def _row(guest: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    return [
        Worded(guest[name], wording.limits)
        if name == "limits"
        else guest[name]
        for name in names
    ]


def _shown(name: str, value: Any) -> Any:
    words = _WORDS.get(name)
    return value if words is None else Worded(value, words)
