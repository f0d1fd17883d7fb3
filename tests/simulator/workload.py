# SPDX-License-Identifier: Apache-2.0
"""What guests' programs want over time: courses made from a seed.

Each function gives a :class:`Course` for one guest, from a random generator
that the caller seeded; times are seconds since the scenario began, sizes
KiB.
"""

import bisect
import dataclasses
import functools
import random
from collections.abc import Sequence

from tests.simulator.memory import MIB

# A rise by this much at one moment is a sudden need.
SUDDEN_KIB = 64 * MIB


@dataclasses.dataclass(frozen=True)
class Course:
    """What is wanted at a time: steps, or lines between the points.

    ``began_s`` is what the clock showed when the course began.
    """

    times_s: Sequence[float]
    kib: Sequence[int]
    began_s: float = 0.0
    smooth: bool = False

    def at(self, now_s: float) -> int:
        """Give what is wanted at ``now_s``."""
        elapsed_s = now_s - self.began_s
        index = bisect.bisect_right(self.times_s, elapsed_s) - 1
        if index < 0:
            return self.kib[0]
        if not self.smooth or index + 1 >= len(self.kib):
            return self.kib[index]
        left_s, right_s = self.times_s[index], self.times_s[index + 1]
        share = (elapsed_s - left_s) / (right_s - left_s)
        left_kib, right_kib = self.kib[index], self.kib[index + 1]
        return int(left_kib + (right_kib - left_kib) * share)

    @functools.cached_property
    def sudden_needs_s(self) -> list[float]:
        """When each sudden need begins."""
        if self.smooth:
            return []
        return [
            self.began_s + self.times_s[i]
            for i in range(1, len(self.kib))
            if self.kib[i] - self.kib[i - 1] >= SUDDEN_KIB
        ]

    def beginning_at(self, now_s: float) -> "Course":
        """Give the same course for a clock that shows ``now_s`` now."""
        return dataclasses.replace(self, began_s=now_s)


def constant(kib: int) -> Course:
    """Give a guest that never changes."""
    return Course([0.0], [kib])


def idle(rng: random.Random) -> Course:
    """Give a guest that does next to nothing."""
    return constant(rng.randint(40, 100) * MIB)


def steady(rng: random.Random, seconds: float, kib: int) -> Course:
    """Give a guest that breathes by 5 % about ``kib``, each 5 to 20 s."""
    times_s, sizes = [0.0], [kib]
    while times_s[-1] < seconds:
        times_s.append(times_s[-1] + rng.uniform(5, 20))
        sizes.append(int(kib * rng.uniform(0.95, 1.05)))
    return Course(times_s, sizes, smooth=True)


def sudden(
    rng: random.Random,
    seconds: float,
    base_kib: int,
    peak_kib: int,
    every_s: float,
    lasts_s: float,
) -> Course:
    """Give a guest that needs ``peak_kib`` now and then, from nothing."""
    times_s, sizes = [0.0], [base_kib]
    at_s = rng.uniform(0.2, 1.0) * every_s
    while at_s < seconds:
        times_s += [at_s, at_s + lasts_s * rng.uniform(0.5, 1.5)]
        sizes += [int(peak_kib * rng.uniform(0.7, 1.0)), base_kib]
        at_s = times_s[-1] + every_s * rng.uniform(0.5, 1.5)
    return Course(times_s, sizes)


def burst(
    rng: random.Random,
    moments_s: Sequence[float],
    base_kib: int,
    peak_kib: int,
    lasts_s: float,
) -> Course:
    """Give a guest that bursts at the moments it shares with others."""
    times_s, sizes = [0.0], [base_kib]
    for moment_s in moments_s:
        begins_s = moment_s + rng.uniform(0, 3)
        times_s += [begins_s, begins_s + lasts_s * rng.uniform(0.8, 1.2)]
        sizes += [int(peak_kib * rng.uniform(0.8, 1.0)), base_kib]
    return Course(times_s, sizes)


def growth(seconds: float, base_kib: int, peak_kib: int) -> Course:
    """Give a guest that leaks: evenly from ``base_kib`` to ``peak_kib``."""
    return Course([0.0, seconds], [base_kib, peak_kib], smooth=True)
