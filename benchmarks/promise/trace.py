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

_KIB_PER_MIB = 1024
# Of a guest that was seen less there is no telling what it did meanwhile.
_LEAST_SEEN = 0.8

Array = numpy.ndarray[Any, Any]


class BadTrace(Exception):
    """The file can't be judged by; the text says why."""


@dataclass(frozen=True)
class Trace:
    """Guests fit to be judged by; ``demand_kib`` by guest and step."""

    step_s: float
    flavors_kib: Array
    demand_kib: Array
    dropped: int


def load(path: Path, array: str, guests: int) -> Trace:
    """Read a trace, for hosts of so many guests.

    Left out are guests seen in less than 80 % of the steps, and those larger
    than an average host without them would be. A guest that isn't seen in a
    step is held to want what it last did.

    :raises BadTrace: too few guests, or too few samples, are left.
    """
    with numpy.load(path) as data:
        missing = {"t_seconds", "configured_mib", array} - set(data.files)
        if missing:
            raise BadTrace(f"{path}: no array {', '.join(sorted(missing))}")
        times_s = data["t_seconds"].astype(float)
        sizes_mib = data["configured_mib"].astype(float)
        wants_mib = data[array].astype(float)
    if wants_mib.shape != (len(sizes_mib), len(times_s)) or len(times_s) < 2:
        raise BadTrace(f"{path}: {array} doesn't fit guests and times")
    kept = fit(sizes_mib, wants_mib, guests)
    if kept.sum() < guests:
        raise BadTrace(
            f"{path}: {kept.sum()} guests are fit to be judged by, "
            f"hosts have {guests}"
        )
    wants_mib = numpy.minimum(held(wants_mib[kept]), sizes_mib[kept, None])
    return Trace(
        step_s=float(numpy.median(numpy.diff(times_s))),
        flavors_kib=(sizes_mib[kept] * _KIB_PER_MIB).astype(numpy.int64),
        demand_kib=(wants_mib * _KIB_PER_MIB).astype(numpy.int64),
        dropped=int((~kept).sum()),
    )


def fit(sizes_mib: Array, wants_mib: Array, guests: int) -> Array:
    """Tell which guests are fit to be judged by."""
    plausible = numpy.isfinite(sizes_mib) & (sizes_mib > 0)
    sizes_mib = numpy.where(plausible, sizes_mib, 0.0)
    others = max(1, plausible.sum() - 1)
    of_others_mib = (sizes_mib.sum() - sizes_mib) / others
    absurd = sizes_mib > guests * of_others_mib
    seen = (numpy.isfinite(wants_mib) & (wants_mib >= 0)).mean(axis=1)
    fits: Array = plausible & ~absurd & (seen >= _LEAST_SEEN)
    return fits


def held(wants_mib: Array) -> Array:
    """Fill gaps with what was seen before them, 0 before the first."""
    good = numpy.isfinite(wants_mib) & (wants_mib >= 0)
    steps = numpy.arange(wants_mib.shape[1])
    newest = numpy.maximum.accumulate(numpy.where(good, steps, -1), axis=1)
    filled: Array = numpy.take_along_axis(
        wants_mib, numpy.maximum(newest, 0), axis=1
    )
    return numpy.where(newest >= 0, filled, 0.0)
