# SPDX-License-Identifier: Apache-2.0
"""One host walked through a trace: what was foretold, and what came.

Once an hour a peak is foretold from the seven days before, and holds until
the next one. Guests come and leave as in the trace. As in the agent, one that
has come counts with its whole flavor until it is known, and from then on with
a history of its own, in which it counts with its peak for the time before;
who has left is no part of any history.

The host has a fixed memory, so that what it can promise goes with the share
that is foretold of what its guests' flavors are together. The oracle is the
best constant promise that would never have been short: one that reckons with
the highest such share of the judged time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from benchmarks.promise.trace import (
    ABSENT,
    Array,
    Trace,
    hour_steps,
    week_steps,
)
from nova_xen_overcommit.policy.floor import floor_kib
from nova_xen_overcommit.policy.predictors import GuestPast, HostPast

# The default of warm_up_s.
_WARM_UP_S = 600.0


@dataclass(frozen=True)
class Walk:
    """A host's demand, cut into the hours at which peaks are foretold.

    ``week`` and ``hour`` are lengths in steps. ``demand_kib`` is by guest and
    step, ABSENT where a guest isn't there. ``known`` is the step from which
    on each guest is in the history, ``ends`` the one from which on it isn't
    there. ``seen`` tells by step whether anyone was seen in it.
    """

    step_s: float
    week: int
    hour: int
    flavors_kib: Array
    demand_kib: Array
    seen: Array
    known: Array
    ends: Array

    @classmethod
    def of(cls, trace: Trace, chosen: Sequence[int]) -> "Walk":
        """Put the chosen guests on a host."""
        week, hour = week_steps(trace.step_s), hour_steps(trace.step_s)
        demand_kib = trace.demand_kib[chosen]
        there = demand_kib != ABSENT
        begins = there.argmax(axis=1)
        warm_up = -int(-_WARM_UP_S // trace.step_s)
        return cls(
            step_s=trace.step_s,
            week=week,
            hour=hour,
            flavors_kib=trace.flavors_kib[chosen],
            demand_kib=demand_kib,
            seen=trace.seen,
            # Who is there when the trace begins has been there for long.
            known=numpy.where(begins == 0, 0, begins + warm_up),
            ends=begins + there.sum(axis=1),
        )

    @property
    def forecasts(self) -> int:
        """How often a peak is foretold."""
        return (self.demand_kib.shape[1] - self.week) // self.hour

    def past(self, forecast: int) -> HostPast:
        """Give what a predictor may know.

        Steps before anyone was known are no history, and so there may be
        none at all.
        """
        at = self.week + forecast * self.hour
        who = numpy.flatnonzero(self.in_history(numpy.array([at])))
        unknown = numpy.maximum(0, self.known[who] - (at - self.week))
        demand_kib = self.demand_kib[who, at - self.week : at]
        peaks_kib = _fill(demand_kib, unknown)
        begin = int(unknown.min(initial=self.week))
        guests = zip(
            self.flavors_kib[who].tolist(),
            (self.week - unknown).tolist(),
            peaks_kib.tolist(),
            strict=True,
        )
        return HostPast(
            step_s=self.step_s,
            end_s=at * self.step_s,
            sum_kib=demand_kib[:, begin:].sum(axis=0).tolist(),
            guests=[GuestPast(*one) for one in guests],
        )

    def in_history(self, at: Array) -> Array:
        """Tell by guest and time who is known when a peak is foretold.

        :param at: steps before which peaks are foretold.
        """
        known, ends = self.known[:, None], self.ends[:, None]
        there: Array = (known < at) & (at < ends)
        return there


def _fill(demand_kib: Array, unknown: Array) -> Array:
    """Fill guests' first steps, so many each, in place; give their peaks.

    As in the agent a guest counts in them with the highest of the others.
    """
    steps = numpy.arange(demand_kib.shape[1])
    before = steps < unknown[:, None]
    demand_kib[before] = 0
    peaks_kib: Array = demand_kib.max(axis=1, initial=0)
    numpy.copyto(demand_kib, peaks_kib[:, None], where=before)
    return peaks_kib


@dataclass(frozen=True)
class Judged:
    """What came, by step that is judged; KiB.

    Not judged is a step in which nobody is there, or nobody was seen.
    ``forecast`` tells which forecast holds in a step. ``full_kib`` are the
    flavors of those who aren't in its history.
    """

    forecast: Array
    guests: Array
    came_kib: Array
    flavors_kib: Array
    floors_kib: Array
    full_kib: Array

    @classmethod
    def of(cls, walk: Walk, floor_share: float) -> "Judged":
        """Add up the host's guests."""
        demand_kib = walk.demand_kib[:, walk.week :]
        there = demand_kib != ABSENT
        flavors_kib = walk.flavors_kib
        floors_kib = numpy.array(
            [floor_kib(kib, floor_share) for kib in flavors_kib.tolist()]
        )
        at = numpy.arange(walk.forecasts).repeat(walk.hour)
        judged = there.any(axis=0) & walk.seen[walk.week :]
        unknown = there & ~walk.in_history(walk.week + at * walk.hour)
        sums = (
            at,
            there.sum(axis=0),
            numpy.where(there, demand_kib, 0).sum(axis=0),
            flavors_kib @ there,
            floors_kib @ there,
            flavors_kib @ unknown,
        )
        return cls(*(one[judged] for one in sums))

    def counted_kib(self, peaks_kib: Array) -> Array:
        """Give what the agent reckons with, from the peaks by forecast.

        No peak counts beyond the guests' flavors, and nothing is promised
        for which their floors don't fit.
        """
        counted_kib = self.full_kib + peaks_kib[self.forecast]
        clipped: Array = numpy.clip(
            counted_kib, self.floors_kib, self.flavors_kib
        )
        return clipped


@dataclass(frozen=True)
class HostFigures:
    """How one predictor did on one host.

    The deepest shortage is told as a share of what was foretold, and per
    guest; beside it what the guests' floors took of what was foretold then,
    and the swap that ``require_guest_swap`` wants, both as such shares: what
    can't be in the host's memory is swapped inside the guests.
    ``filled_capacity`` and ``filled_short`` are as if the host had been
    filled whenever the promise let it, and nobody had ever left.
    """

    capacity: float
    short: float
    deepest_share: float
    deepest_kib: float
    floors_share: float
    swap_share: float
    filled_capacity: float
    filled_short: float


def judge(judged: Judged, peaks_kib: Array) -> HostFigures:
    """Judge what was foretold, by forecast, against what came."""
    counted_kib = judged.counted_kib(peaks_kib)
    short_kib = numpy.maximum(0, judged.came_kib - counted_kib)
    deepest = int((short_kib / counted_kib).argmax())
    deepest_kib = counted_kib[deepest]
    # Of the guests' flavors: they come and leave.
    counted = counted_kib / judged.flavors_kib
    came = judged.came_kib / judged.flavors_kib
    oracle = came.max()
    filled = numpy.minimum.accumulate(counted)
    return HostFigures(
        capacity=float((oracle / counted).mean()),
        short=float((short_kib > 0).mean()),
        deepest_share=float(short_kib[deepest] / deepest_kib),
        deepest_kib=float(short_kib[deepest] / judged.guests[deepest]),
        floors_share=float(judged.floors_kib[deepest] / deepest_kib),
        swap_share=float(judged.flavors_kib[deepest] / deepest_kib) - 1.0,
        filled_capacity=float((oracle / filled).mean()),
        filled_short=float((came > filled).mean()),
    )
