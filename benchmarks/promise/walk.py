# SPDX-License-Identifier: Apache-2.0
"""One host walked through a trace: what was foretold, and what came.

Once an hour a peak is foretold from the seven days before, and holds until
the next one. The host has a fixed memory, so that what it can promise goes
with 1 / peak. The oracle is the best constant promise that would never have
been short: one that reckons with the highest peak of the judged time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from benchmarks.promise.trace import Array, Trace
from nova_xen_overcommit.policy.floor import floor_kib
from nova_xen_overcommit.policy.predictors import GuestPast, HostPast

_WEEK_S = 7 * 86400.0
_HOUR_S = 3600.0


@dataclass(frozen=True)
class Walk:
    """A host's demand, cut into the hours at which peaks are foretold.

    ``sum_kib`` is the whole course of its sum. ``week`` and ``hour`` are
    lengths in steps. ``peaks_kib`` has, by guest and hour of forecast, the
    guest's highest demand in the week before.
    """

    step_s: float
    week: int
    hour: int
    sum_kib: Array
    flavors_kib: Array
    peaks_kib: Array

    @classmethod
    def of(cls, trace: Trace, chosen: Sequence[int]) -> "Walk":
        """Put the chosen guests on a host."""
        hour = max(1, round(_HOUR_S / trace.step_s))
        week = hour * round(_WEEK_S / _HOUR_S)
        demand_kib = trace.demand_kib[chosen]
        hours = demand_kib.shape[1] // hour
        demand_kib = demand_kib[:, : hours * hour]
        by_hour = demand_kib.reshape(len(chosen), hours, hour).max(axis=2)
        weeks = numpy.lib.stride_tricks.sliding_window_view(
            by_hour, week // hour, axis=1
        )
        return cls(
            step_s=trace.step_s,
            week=week,
            hour=hour,
            sum_kib=demand_kib.sum(axis=0),
            flavors_kib=trace.flavors_kib[chosen],
            # The last week has nothing left to be judged by.
            peaks_kib=weeks[:, :-1].max(axis=2),
        )

    @property
    def windows(self) -> Array:
        """The sums of the week before each forecast, by forecast."""
        windows = numpy.lib.stride_tricks.sliding_window_view(
            self.sum_kib, self.week
        )
        return windows[: -self.hour : self.hour]

    @property
    def came_kib(self) -> Array:
        """The sums of the hour after each forecast, by forecast."""
        return self.sum_kib[self.week :].reshape(-1, self.hour)

    def past(self, forecast: int) -> HostPast:
        """Give what a predictor may know."""
        first = forecast * self.hour
        return HostPast(
            step_s=self.step_s,
            end_s=(first + self.week) * self.step_s,
            sum_kib=self.sum_kib[first : first + self.week].tolist(),
            guests=[
                GuestPast(flavor_kib, self.week, peak_kib)
                for flavor_kib, peak_kib in zip(
                    self.flavors_kib.tolist(),
                    self.peaks_kib[:, forecast].tolist(),
                    strict=True,
                )
            ],
        )


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


def judge(walk: Walk, peaks_kib: Array, floor_share: float) -> HostFigures:
    """Judge what was foretold, by forecast, against what came.

    As in the agent no peak counts beyond the guests' flavors, and nothing is
    promised for which their floors don't fit.
    """
    came_kib = walk.came_kib
    floors_kib = sum(
        floor_kib(flavor_kib, floor_share)
        for flavor_kib in walk.flavors_kib.tolist()
    )
    peaks_kib = numpy.clip(peaks_kib, floors_kib, walk.flavors_kib.sum())
    oracle_kib = came_kib.max()
    short_kib = numpy.maximum(0, came_kib - peaks_kib[:, None])
    depth = short_kib.max(axis=1) / peaks_kib
    deepest = int(depth.argmax())
    deepest_peak_kib = peaks_kib[deepest]
    filled_kib = numpy.minimum.accumulate(peaks_kib)
    return HostFigures(
        capacity=float((oracle_kib / peaks_kib).mean()),
        short=float((short_kib > 0).mean()),
        deepest_share=float(depth[deepest]),
        deepest_kib=float(short_kib[deepest].max() / len(walk.flavors_kib)),
        floors_share=float(floors_kib / deepest_peak_kib),
        swap_share=float(walk.flavors_kib.sum() / deepest_peak_kib) - 1.0,
        filled_capacity=float((oracle_kib / filled_kib).mean()),
        filled_short=float((came_kib > filled_kib[:, None]).mean()),
    )
