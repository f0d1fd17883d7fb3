# SPDX-License-Identifier: Apache-2.0
"""Memory shared out exactly, in integers.

:func:`apportion` splits what is to be taken, :func:`water_fill` what is to
be had. Sizes are KiB. The result never depends on the order of the input.
"""

import dataclasses
from collections.abc import Mapping, Sequence

# What floating point may take off a whole number of KiB.
_ROUNDING = 1e-6
# Who has so much of its most was whole a moment ago.
_NEARLY = 0.95


def apportion(total: int, shares: Mapping[str, int]) -> dict[str, int]:
    """Split ``total`` in proportion to ``shares``, exactly, in integers.

    No part exceeds its share; ``total`` above the sum of shares gives all.
    Remainders go to the largest fractions, ties in order of the keys'
    names, so that the result doesn't depend on the order of the input.
    """
    available = sum(shares.values())
    if total >= available:
        return dict(shares)
    parts = {key: total * share // available for key, share in shares.items()}
    rest = total - sum(parts.values())
    by_fraction = sorted(
        shares, key=lambda key: (-(total * shares[key] % available), key)
    )
    for key in by_fraction[:rest]:
        parts[key] += 1
    return parts


@dataclasses.dataclass(frozen=True, slots=True)
class Vessel:
    """What one guest takes at level λ: base + λ · weight, within bounds."""

    key: str
    base_kib: int
    least_kib: int
    most_kib: int
    weight: float

    @property
    def begins(self) -> float:
        """The level at which it begins to take more than its least."""
        return max(0.0, (self.least_kib - self.base_kib) / self.weight)

    @property
    def full(self) -> float:
        """The level at which it has its most."""
        most_kib = max(self.least_kib, self.most_kib)
        return max(0.0, (most_kib - self.base_kib) / self.weight)

    def at(self, level: float) -> int:
        """Give what it takes at a level, rounded down."""
        if level <= self.begins:
            return self.least_kib
        if level >= self.full:
            return max(self.least_kib, self.most_kib)
        above_kib = int(level * self.weight + _ROUNDING)
        return max(self.least_kib, self.base_kib + above_kib)


def water_fill(pool_kib: int, vessels: Sequence[Vessel]) -> dict[str, int]:
    """Share ``pool_kib`` out so that all stand at one level.

    Everyone gets its least even when the pool doesn't reach; otherwise all
    have their most, or the sum is the pool but for what rounding down
    leaves: less than 1 KiB a guest. Dealing that out too would move the
    level for the others, and so some KiB in the next pass, for nothing.
    """
    level = _level(pool_kib, vessels)
    return {vessel.key: vessel.at(level) for vessel in vessels}


def fill_whole(
    pool_kib: int,
    vessels: Sequence[Vessel],
    has: Mapping[str, int],
    fair_enough: float,
) -> dict[str, int]:
    """Fill so that as few as possible have less than their most.

    All but those stand at one level, which is at least ``fair_enough``
    times the level at which all would stand. Who has its most, or nearly,
    comes first, so that it isn't now one and now another.
    """
    fair = _level(pool_kib, vessels) * fair_enough
    left_kib = pool_kib - sum(vessel.at(fair) for vessel in vessels)
    costs = {v.key: max(0, v.most_kib - v.at(fair)) for v in vessels}

    def order(vessel: Vessel) -> tuple[bool, bool, int, str]:
        has_kib = has[vessel.key]
        return (
            has_kib < vessel.most_kib,
            has_kib < vessel.most_kib * _NEARLY,
            costs[vessel.key],
            vessel.key,
        )

    whole = set()
    for vessel in sorted(vessels, key=order):
        if costs[vessel.key] <= left_kib:
            left_kib -= costs[vessel.key]
            whole.add(vessel.key)
    return water_fill(
        pool_kib, [_whole(v) if v.key in whole else v for v in vessels]
    )


def _whole(vessel: Vessel) -> Vessel:
    least_kib = max(vessel.least_kib, vessel.most_kib)
    return dataclasses.replace(vessel, least_kib=least_kib)


def _level(pool_kib: int, vessels: Sequence[Vessel]) -> float:
    """Give the level at which the vessels hold the pool."""
    events = sorted(
        [(vessel.begins, vessel.weight) for vessel in vessels]
        + [(vessel.full, -vessel.weight) for vessel in vessels]
    )
    rest = float(pool_kib - sum(vessel.least_kib for vessel in vessels))
    level, rate = 0.0, 0.0
    if rest <= 0:
        return 0.0
    for at, change in events:
        taken = rate * (at - level)
        if taken >= rest:
            break
        rest -= taken
        level, rate = at, rate + change
    else:
        return level
    return level + rest / rate
