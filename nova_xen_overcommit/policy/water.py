# SPDX-License-Identifier: Apache-2.0
"""Memory shared out exactly, in integers.

:func:`apportion` splits what is to be taken, :func:`water_fill` what is to
be had. Sizes are KiB. The result never depends on the order of the input.
"""

import dataclasses
from collections.abc import Container, Mapping, Sequence

# What floating point may take off a whole number of KiB.
_ROUNDING = 1e-6
# What is asked for counts as less where it is there already: nobody is
# robbed of it for little. It counts least for who has all of it, so that two
# who nearly have it don't take turns.
_HAS_IT = 0.75
_HAD_IT = 0.8


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


def fair_level(pool_kib: int, vessels: Sequence[Vessel]) -> float:
    """Give the level at which all would stand if nobody kept its least."""
    bare = [dataclasses.replace(v, least_kib=v.base_kib) for v in vessels]
    return _level(pool_kib, bare)


def fill_whole(
    pool_kib: int,
    vessels: Sequence[Vessel],
    has: Mapping[str, int],
    fair_enough: float,
) -> dict[str, int]:
    """Fill so that as few as possible have less than their most.

    All but those stand at one level, which is at least ``fair_enough``
    times the level at which all would stand. Who asks for little beyond it
    comes first. Who has its most, or nearly, counts as if it asked for
    less, so that it isn't now one and now another.
    """
    level = _level(pool_kib, vessels) * fair_enough
    whole = _made_whole(pool_kib, vessels, has, level)
    filled = _filled(pool_kib, vessels, whole)
    # Who nearly has its most by that may come before another then. That
    # ends at once nearly always, and there are no more turns than guests.
    for _ in vessels:
        again = _made_whole(pool_kib, vessels, filled, level)
        if again == whole:
            break
        whole, filled = again, _filled(pool_kib, vessels, again)
    return filled


def _made_whole(
    pool_kib: int,
    vessels: Sequence[Vessel],
    has: Mapping[str, int],
    level: float,
) -> set[str]:
    """Name those that have their most where all others are at ``level``."""
    left_kib = pool_kib - sum(vessel.at(level) for vessel in vessels)
    whole = set()
    for vessel in sorted(vessels, key=lambda v: _rank(v, has[v.key], level)):
        cost_kib = max(0, vessel.most_kib - vessel.at(level))
        if cost_kib <= left_kib:
            left_kib -= cost_kib
            whole.add(vessel.key)
    return whole


def _rank(vessel: Vessel, has_kib: int, level: float) -> tuple[float, str]:
    """Rank who is made whole first.

    What counts is what it asks for, not what it lacks: whoever got hold of
    much would come first for ever, and whoever claims all it has.
    """
    level_kib = vessel.base_kib + level * vessel.weight
    asks_kib = max(0.0, vessel.most_kib - level_kib)
    lacks_kib = min(asks_kib, max(0, vessel.most_kib - has_kib))
    if not lacks_kib:
        return _HAS_IT * asks_kib, vessel.key
    return lacks_kib + _HAD_IT * (asks_kib - lacks_kib), vessel.key


def _filled(
    pool_kib: int, vessels: Sequence[Vessel], whole: Container[str]
) -> dict[str, int]:
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
