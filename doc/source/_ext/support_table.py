# SPDX-License-Identifier: Apache-2.0
"""The support matrix as reStructuredText; pure."""

from collections.abc import Mapping
from typing import Any

PASS = "pass"  # noqa: S105 - no password
_FAIL = "fail: "


def render(recorded: Mapping[str, Any]) -> list[str]:
    """Give a table with a row for each operation, and why some fail.

    ``recorded`` holds ``versions`` by kind of guest and name, ``operations``
    in their order, and ``results`` by kind and operation: ``pass``, or
    ``fail: `` and the reason; what is in none was not tried.
    """
    results = recorded["results"]
    lines = [
        *_versions(recorded["versions"], results),
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "",
        *_row(["Operation", *results]),
    ]
    for name in recorded["operations"]:
        told = [_cell(tried.get(name)) for tried in results.values()]
        lines += _row([name, *told])
    return [*lines, "", *_failures(results)]


def _versions(
    versions: Mapping[str, Mapping[str, str]],
    results: Mapping[str, Mapping[str, str]],
) -> list[str]:
    """Say it once where all kinds that were tried have the same."""
    kinds: dict[str, list[str]] = {}
    for kind, tried in results.items():
        if tried:
            kinds.setdefault(_told(versions[kind]), []).append(kind)
    if len(kinds) == 1:
        return [f"Tried with {next(iter(kinds))}."]
    return [
        f"* {', '.join(named)}: tried with {told}."
        for told, named in kinds.items()
    ]


def _told(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _row(cells: list[str]) -> list[str]:
    return [
        f"   {'* -' if number == 0 else '  -'} {cell}"
        for number, cell in enumerate(cells)
    ]


def _cell(told: str | None) -> str:
    if told is None:
        return "not tried"
    return "yes" if told == PASS else "**no**"


def _failures(results: Mapping[str, Mapping[str, str]]) -> list[str]:
    failed = [
        f"* {kind}, {name}: ``{told.removeprefix(_FAIL).replace('`', '')}``"
        for kind, tried in results.items()
        for name, told in tried.items()
        if told != PASS
    ]
    return ["Why some don't work:", "", *failed, ""] if failed else []
