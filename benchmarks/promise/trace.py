# SPDX-License-Identifier: Apache-2.0
"""Guests' demand over time, from a real trace kept outside this project.

The file is an npz with ``vm_ids``, ``t_seconds``, ``configured_mib`` and, by
guest and time, ``active_mib`` and perhaps ``granted_mib`` (NaN: no sample),
as made from GWA-T-12 Bitbrains (Shen, van Beek, Iosup, CCGrid 2015).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from nova_xen_overcommit import exception, report
from nova_xen_overcommit.whatif import npz_trace

_KIB_PER_MIB = 1024
_LEAST_MIB = 1 / _KIB_PER_MIB
WEEK_S = 7 * 86400.0
HOUR_S = 3600.0
# Of who was seen for less there is hardly anything to foretell.
_LEAST_SEEN_S = 86400.0
# In place of the demand of a guest that isn't there.
ABSENT = -1

Array = numpy.ndarray[Any, Any]


class BadTrace(exception.InvalidTrace):
    """The file can't be judged by; the text says why."""


@dataclass(frozen=True)
class Trace:
    """Guests fit to be judged by, for a week and some whole hours.

    ``demand_kib`` is by guest and step, :data:`ABSENT` before a guest comes
    and after it has left. ``seen`` tells by step whether anyone was seen in
    it. ``dropped`` is how many guests were left out.
    """

    step_s: float
    flavors_kib: Array
    demand_kib: Array
    seen: Array
    dropped: int


def week_steps(step_s: float) -> int:
    """Give how many steps come before the first forecast."""
    return round(WEEK_S / step_s)


def hour_steps(step_s: float) -> int:
    """Give for how many steps a forecast holds."""
    return max(1, round(HOUR_S / step_s))


def load(path: Path, array: str, guests: int) -> Trace:
    """Read a trace, for hosts of at most so many guests.

    A guest is there from its first sample to its last. If it isn't seen in a
    step between them, it is held to want what it last did. The trace begins
    when the first one was seen and ends when the last one was.

    :raises InvalidTrace: it is no trace, it is too short, or too few guests
        are left.
    """
    samples = npz_trace.load(path, array)
    step_s, wants_mib = samples.step_s, samples.on_grid()
    good = numpy.isfinite(wants_mib) & (wants_mib >= 0)
    if step_s > HOUR_S:
        raise BadTrace(
            f"{path}: steps of {step_s:g} s; forecasts are for an hour, so "
            "it can be no more than 3600 (milliseconds?)"
        )
    span = _span(path, good, step_s)
    wants_mib, good = wants_mib[:, span], good[:, span]
    kept = fit(samples.sizes_mib, good, step_s, guests)
    if kept.sum() < 2:
        raise BadTrace(f"{path}: {kept.sum()} guests are fit to be judged by")
    sizes_kib = samples.sizes_mib[kept] * _KIB_PER_MIB
    wants_kib = numpy.minimum(
        wants_mib[kept] * _KIB_PER_MIB, sizes_kib[:, None]
    )
    return Trace(
        step_s=step_s,
        flavors_kib=sizes_kib.astype(numpy.int64),
        demand_kib=held(wants_kib, good[kept]).astype(numpy.int64),
        seen=good[kept].any(axis=0),
        dropped=int((~kept).sum()),
    )


def fit(sizes_mib: Array, good: Array, step_s: float, guests: int) -> Array:
    """Tell which guests are fit to be judged by.

    Left out are those without a plausible size, those larger than an average
    host without them would be, those seen for less than a day, and those
    that leave before anything is foretold. ``good`` tells by guest and step
    whether there is a plausible sample.
    """
    plausible = (sizes_mib >= _LEAST_MIB) & (sizes_mib <= report.MAX_MIB)
    sizes_mib = numpy.where(plausible, sizes_mib, 0.0)
    others = max(1, plausible.sum() - 1)
    of_others_mib = (sizes_mib.sum() - sizes_mib) / others
    absurd = sizes_mib > min(guests, plausible.sum()) * of_others_mib
    seen = good.sum(axis=1) * step_s >= _LEAST_SEEN_S
    judged = good[:, week_steps(step_s) :].any(axis=1)
    fits: Array = plausible & ~absurd & seen & judged
    return fits


def _span(path: Path, good: Array, step_s: float) -> slice:
    """Give the steps from the first in which anyone was seen to the last.

    What remains of an hour is not foretold.
    """
    seen = numpy.flatnonzero(good.any(axis=0))
    first, end = (seen[0], seen[-1] + 1) if len(seen) else (0, 0)
    week, hour = week_steps(step_s), hour_steps(step_s)
    if end - first < week + hour:
        raise BadTrace(
            f"{path}: {(end - first) * step_s / 86400:.3g} days; needs more "
            "than 7 days and one hour"
        )
    return slice(first, end - (end - first - week) % hour)


def held(wants_kib: Array, good: Array) -> Array:
    """Fill gaps with what was seen before them, the ends with ABSENT."""
    steps = numpy.arange(good.shape[1])
    newest = numpy.maximum.accumulate(numpy.where(good, steps, -1), axis=1)
    filled: Array = numpy.take_along_axis(
        wants_kib, numpy.maximum(newest, 0), axis=1
    )
    last = newest[:, -1:]
    there = (newest >= 0) & (steps <= last)
    return numpy.where(there, filled, ABSENT)
