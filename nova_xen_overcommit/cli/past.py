# SPDX-License-Identifier: Apache-2.0
"""What the agent's history tells of a time, in at most so many points.

Read day by day, so that a year needs no more memory than its points.
"""

import dataclasses
import datetime
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.history import files, records
from nova_xen_overcommit.agent.history.records import HostStep

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_DAY_S = 86400


class Point(NamedTuple):
    """A guest, or all guests, in a time; KiB, the highest of each.

    ``size_kib`` is the flavor, ``guests`` how many there were. What nobody
    knew of is 0.
    """

    guests: int = 0
    size_kib: int = 0
    demand_kib: int = 0
    used_kib: int = 0

    def with_highest(self, other: "Point") -> "Point":
        """Give the higher of each figure."""
        return Point(*map(max, self, other))


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """From when to when, in seconds since the epoch, in steps of so many."""

    since_s: int
    until_s: int
    step_s: int

    def times(self) -> range:
        """Give when each step begins."""
        return range(self.since_s, self.until_s, self.step_s)


@dataclasses.dataclass(slots=True)
class Past:
    """Points by the time they begin at, of the host and of each guest."""

    span: Span
    host: dict[int, Point] = dataclasses.field(default_factory=dict)
    guests: dict[str, dict[int, Point]] = dataclasses.field(
        default_factory=dict
    )


def moment_s(text: str, now_s: float) -> float:
    """Give the time that ``text`` means, in seconds since the epoch.

    ``90m``, ``2h``, ``3d``, ``1w``: so long ago. Else a day or time in ISO
    8601, in UTC where it doesn't say.

    :raises ValueError: it is none of these.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return now_s - float(ago[1]) * _UNITS_S[ago[2]]
    when = datetime.datetime.fromisoformat(text)
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.UTC)
    return when.timestamp()


def days(directory: Path) -> list[Path]:
    """Give the files of all days, oldest first.

    :raises HistoryUnavailable: there are none, or they can't be listed.
    """
    try:
        found = records.files(directory)
    except OSError as error:
        raise exception.HistoryUnavailable(str(error)) from None
    if not found:
        raise exception.HistoryUnavailable(f"no history in {directory} yet")
    return found


def span(
    found: Sequence[Path],
    since_s: float | None,
    until_s: float | None,
    points: int,
    damaged: Callable[[str], None],
) -> Span:
    """Give what to show: by default the last day that there is.

    Steps are as they were written, or so many together that ``points`` of
    them do.

    :raises HistoryUnavailable: nothing was ever written.
    """
    last_s, step_s = _end(found, damaged)
    end_s = last_s if until_s is None else until_s
    begin_s = end_s - _DAY_S if since_s is None else since_s
    together = max(1, -(-int(end_s - begin_s) // (step_s * points)))
    step_s *= together
    first_s = int(begin_s) // step_s * step_s
    return Span(first_s, max(first_s, int(end_s)), step_s)


def _end(
    found: Sequence[Path], damaged: Callable[[str], None]
) -> tuple[int, int]:
    """Give when the last step ended, and how long steps are."""
    for path in reversed(found):
        steps = list(_read(path, damaged))
        if steps:
            last_s = max(step.time_s + step.step_s for step in steps)
            return last_s, max(1, steps[-1].step_s)
    raise exception.HistoryUnavailable(
        f"nothing that can be read in {found[0].parent}"
    )


def _read(path: Path, damaged: Callable[[str], None]) -> Iterator[HostStep]:
    try:
        yield from files.read_file(path, damaged)
    except OSError as error:
        damaged(f"{path} is left out: {error}")


def read(
    found: Iterable[Path], shown: Span, damaged: Callable[[str], None]
) -> Past:
    """Read the days of a span; ``damaged`` is told of what can't be."""
    told = Past(shown)
    for path in _within(found, shown):
        for time_s, one in _merged(_read(path, damaged)).items():
            if shown.since_s <= time_s < shown.until_s:
                _fold(told, time_s, one)
    return told


def _within(found: Iterable[Path], shown: Span) -> Iterator[Path]:
    for path in found:
        day = datetime.date.fromisoformat(path.stem)
        begin = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
        begin_s = begin.timestamp()
        if begin_s < shown.until_s and begin_s + _DAY_S > shown.since_s:
            yield path


def _merged(
    steps: Iterable[HostStep],
) -> dict[int, tuple[int, dict[str, Point]]]:
    """Give the highest sum and the guests of each time.

    An agent that was started anew wrote one step in two parts.
    """
    times: dict[int, tuple[int, dict[str, Point]]] = {}
    for step in steps:
        demand_kib, guests = times.get(step.time_s, (0, {}))
        for vm, *figures in step.guests:
            point = Point(1, *figures)
            guests[vm] = guests.get(vm, Point()).with_highest(point)
        times[step.time_s] = max(demand_kib, step.demand_kib), guests
    return times


def _fold(told: Past, time_s: int, one: tuple[int, dict[str, Point]]) -> None:
    demand_kib, guests = one
    at_s = time_s // told.span.step_s * told.span.step_s
    whole = Point(
        len(guests),
        sum(point.size_kib for point in guests.values()),
        demand_kib,
        sum(point.used_kib for point in guests.values()),
    )
    told.host[at_s] = told.host.get(at_s, Point()).with_highest(whole)
    for vm, point in guests.items():
        points = told.guests.setdefault(vm, {})
        points[at_s] = points.get(at_s, Point()).with_highest(point)
