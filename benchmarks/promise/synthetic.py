# SPDX-License-Identifier: Apache-2.0
"""Made-up guests of different natures, for who has no trace of their own.

A month of five-minute steps, the same ones for the same seed. Demand is made
as a share of the flavor. What holds for the kinds here together should hold
for a trace that nobody has seen.
"""

from collections.abc import Callable

import numpy

from benchmarks.promise.trace import Array, BadTrace, Trace

PREFIX = "synthetic:"
_STEP_S = 300.0
_DAY = 288
_GUESTS = 240
_KIB_PER_GIB = 1024 * 1024

Rng = numpy.random.Generator


def _bases(rng: Rng) -> Array:
    return rng.uniform(0.03, 0.15, (_GUESTS, 1))


def _noisy(rng: Rng, steps: int, share: float) -> Array:
    noise = rng.standard_normal((_GUESTS, steps), dtype=numpy.float32)
    return _bases(rng) * (1.0 + share * noise)


def _burst(
    rng: Rng, demand: Array, every: float, length: float, most: float
) -> None:
    """Add bursts, in place, of each guest on its own; lengths in steps."""
    guests, begins = numpy.nonzero(rng.random(demand.shape) < 1.0 / every)
    ends = begins + 1 + rng.geometric(1.0 / length, len(begins))
    heights = rng.uniform(0.1, most, len(begins))
    for guest, begin, end, height in zip(
        guests, begins, ends, heights, strict=True
    ):
        demand[guest, begin:end] += height


def diurnal(rng: Rng, steps: int) -> Array:
    """Give guests busy in the day, less so in a weekend, that burst."""
    days = numpy.arange(steps) / _DAY
    noon = rng.normal(0.6, 0.08, (_GUESTS, 1))
    height = rng.exponential(0.08, (_GUESTS, 1))
    weekly = numpy.where(days.astype(int) % 7 < 5, 1.0, 0.4)
    daily = numpy.maximum(0.0, numpy.cos(2 * numpy.pi * (days - noon)))
    demand = _noisy(rng, steps, 0.05) + height * daily * weekly
    _burst(rng, demand, every=600, length=3, most=0.6)
    return demand


def together(rng: Rng, steps: int) -> Array:
    """Give six groups of guests, each of which bursts as one."""
    demand = _noisy(rng, steps, 0.05)
    _burst(rng, demand, every=2000, length=4, most=0.6)
    groups = rng.integers(0, 6, _GUESTS)
    for group in range(6):
        for begin in numpy.flatnonzero(rng.random(steps) < 1 / 700):
            joins = rng.random(_GUESTS) < rng.uniform(0.2, 1.0)
            for guest in numpy.flatnonzero((groups == group) & joins):
                end = begin + rng.geometric(1 / 5)
                demand[guest, begin:end] += rng.uniform(0.1, 0.7)
    return demand


def walk(rng: Rng, steps: int) -> Array:
    """Give guests whose demand drifts, by jumps with a heavy tail."""
    bases = _bases(rng)[:, 0]
    jumps = rng.standard_t(3, (steps, _GUESTS)) * 0.05
    demand = numpy.empty((_GUESTS, steps))
    offset = numpy.zeros(_GUESTS)
    for step in range(steps):
        offset = offset * 0.998 + jumps[step]
        demand[:, step] = bases * numpy.exp(offset)
    return demand


def steps(rng: Rng, steps: int) -> Array:
    """Give guests that change for good, and have a job once a month."""
    demand = _noisy(rng, steps, 0.05)
    for guest, changes in enumerate(rng.poisson(1.5, _GUESTS)):
        for begin in rng.integers(0, steps, changes):
            demand[guest, begin:] += rng.uniform(-0.05, 0.4)
    for guest, jobs in enumerate(rng.poisson(1.5, _GUESTS)):
        for begin in rng.integers(0, steps, jobs):
            end = begin + rng.integers(6, 60)
            demand[guest, begin:end] += rng.uniform(0.2, 0.9)
    return demand


def quiet(rng: Rng, steps: int) -> Array:
    """Give guests that hardly ever want more than they do now."""
    demand = _noisy(rng, steps, 0.01)
    _burst(rng, demand, every=8000, length=2, most=0.3)
    return demand


KINDS: dict[str, Callable[[Rng, int], Array]] = {
    kind.__name__: kind for kind in (diurnal, together, walk, steps, quiet)
}


def make(name: str, seed: int, days: int = 31) -> Trace:
    """Make a trace of the kind that is named, with or without the prefix.

    :raises BadTrace: there is no such kind.
    """
    kind = KINDS.get(name.removeprefix(PREFIX))
    if kind is None:
        raise BadTrace(f"{name}: none of {', '.join(KINDS)}")
    rng = numpy.random.default_rng(seed)
    shares = [0.2, 0.25, 0.25, 0.2, 0.1]
    sizes_gib = rng.choice([2, 4, 8, 16, 32], _GUESTS, p=shares)
    flavors_kib = sizes_gib.astype(numpy.int64) * _KIB_PER_GIB
    wants = numpy.clip(kind(rng, days * _DAY), 0.01, 1.0)
    demand_kib = (wants * flavors_kib[:, None]).astype(numpy.int64)
    seen = numpy.ones(days * _DAY, dtype=bool)
    return Trace(_STEP_S, flavors_kib, demand_kib, seen, dropped=0)
