# SPDX-License-Identifier: Apache-2.0
"""The columns of a table of guests, and its order; pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Guest = Mapping[str, Any]


class Column(NamedTuple):
    """One column: its header in the live table, and where it is from.

    It is shown on terminals of ``width`` characters and more.
    """

    header: str
    name: str
    text: Callable[[Guest], str]
    width: int = 0
    number: bool = True


def _mib(name: str) -> Callable[[Guest], str]:
    return lambda guest: "-" if guest[name] is None else str(guest[name])


def _seconds(guest: Guest) -> str:
    return f"{guest['starved_s']:.0f}"


def _word(name: str) -> Callable[[Guest], str]:
    return lambda guest: str(guest[name])


COLUMNS = (
    Column("guest", "name", _word("name"), number=False),
    Column("state", "state", _word("state"), number=False),
    Column("flavor", "flavor_mib", _mib("flavor_mib")),
    Column("floor", "floor_mib", _mib("floor_mib"), 104),
    Column("actual", "actual_mib", _mib("actual_mib")),
    Column("target", "target_mib", _mib("target_mib")),
    Column("demand", "demand_mib", _mib("demand_mib")),
    Column("idle", "idle_mib", _mib("idle_mib"), 84),
    Column("swap", "swap_used_mib", _mib("swap_used_mib")),
    Column("starved s", "starved_s", _seconds, 96),
    Column("weight", "weight", lambda guest: f"{guest['weight']:g}", 112),
    Column("why", "why", lambda guest: why(guest), 150, number=False),
    Column("uuid", "uuid", _word("uuid"), 190, number=False),
)
SORTS = tuple(
    column.name.removesuffix("_mib").removesuffix("_s").replace("_", "-")
    for column in COLUMNS
    if column.name not in ("why", "uuid")
)
# What a table without a terminal has; --json has all.
NAMES = tuple(column.name for column in COLUMNS if column.name != "why")


def why(guest: Guest) -> str:
    """Say in a few words why a guest has what it has."""
    return str(guest["hands_off"] or guest["exempt"] or guest["reason"])


def ordered(
    guests: Sequence[Guest], sort: str, reverse: bool = False
) -> list[Guest]:
    """Give the guests in the order of a column, one of :data:`SORTS`.

    Numbers fall and words rise, or the other way round with ``reverse``;
    what isn't known comes last. Equal ones stand by their names.
    """
    column = COLUMNS[SORTS.index(sort)]
    falls = column.number is not reverse
    by_name = sorted(guests, key=lambda guest: str(guest["name"]))
    known = [one for one in by_name if one[column.name] is not None]
    known.sort(key=lambda guest: guest[column.name], reverse=falls)
    return known + [one for one in by_name if one[column.name] is None]
