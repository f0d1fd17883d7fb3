# SPDX-License-Identifier: Apache-2.0
"""Who gives memory and who gets it.

Three cases, decided anew in each pass from what is measured:

* enough free: guests in need grow, nobody is touched;
* enough idle: what is missing is taken from idle guests, in proportion to
  what each has above its demand; a start never gets more than that;
* not enough: all that is above the floors is shared out by weight, idle
  memory taxed (Waldspurger, OSDI 2002: an idle page costs k = 1/(1 − tax)
  times a used one), and no guest gets more than its demand.

Pure integers in KiB; the same input gives the same output, and a plan
applied and made again moves nothing.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from nova_xen_overcommit.policy.limits import Limit

# What floating point may take off a whole number of KiB.
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True, slots=True)
class TargetSettings:
    """The options of conf.py that shape targets."""

    dead_band_kib: int = 8 * 1024
    max_step_kib: int = 256 * 1024
    idle_tax: float = 0.75


@dataclasses.dataclass(frozen=True, slots=True)
class Guest:
    """A guest as the planner sees it; KiB.

    ``growable``: may be given memory. ``shrinkable``: memory may be taken
    from it now. Neither: it keeps its target. ``hold`` is the rule that
    forbids one or both. ``used_kib`` is the part of its demand that is in
    use; ``demand_kib`` may lie beyond floor and flavor. ``left_kib`` is what
    a guest that moves its own balloon has left below its target.
    """

    uuid: str
    flavor_kib: int
    floor_kib: int
    actual_kib: int
    target_kib: int
    demand_kib: int
    used_kib: int
    weight: float = 1.0
    growable: bool = True
    shrinkable: bool = True
    starved: bool = False
    hold: Limit | None = None
    left_kib: int = 0

    @property
    def need_kib(self) -> int:
        """Demand within floor and flavor."""
        return min(self.flavor_kib, max(self.floor_kib, self.demand_kib))

    @property
    def lacks_kib(self) -> int:
        """What is missing to the need."""
        return max(0, self.need_kib - self.target_kib)

    @property
    def spare_kib(self) -> int:
        """What could be taken from it without harm."""
        if not self.shrinkable:
            return 0
        return max(0, self.target_kib - self.need_kib)

    @property
    def unused_kib(self) -> int:
        """The part of this that nobody would have to yield."""
        return min(self.left_kib, self.spare_kib)


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """The host's side; KiB.

    ``expected_free_kib`` is what will be free when all guests that follow
    their targets have arrived; ``wanted_kib`` what starts wait for, above
    what is already set aside for them.
    """

    expected_free_kib: int
    reserve_kib: int
    slack_kib: int
    wanted_kib: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """A target in KiB, why, and what kept it from being another.

    ``limits`` are in the order in which they applied.
    """

    target_kib: int
    reason: str
    limits: tuple[Limit, ...] = ()


def plan(
    guests: Sequence[Guest], host: Host, settings: TargetSettings
) -> dict[str, Decision]:
    """Give every guest's target, by UUID.

    Growth here is a wish; the balancer grants it out of measured free
    memory only.
    """
    lacking_kib = sum(g.lacks_kib for g in guests if g.growable)
    missing_kib = lacking_kib + host.reserve_kib - host.expected_free_kib
    spare_kib = sum(guest.spare_kib for guest in guests)
    if missing_kib <= spare_kib:
        # A start lives from idle memory: it can be refused, running guests
        # can't, so it never takes what one of them needs.
        missing_kib = min(missing_kib + host.wanted_kib, spare_kib)
        wishes = _from_idle(guests, missing_kib, settings.dead_band_kib)
    else:
        wishes = _shared_out(guests, host, settings)
    return {
        guest.uuid: _bounded(
            guest, _damped(guest, wishes[guest.uuid], settings)
        )
        for guest in guests
    }


def _from_idle(
    guests: Sequence[Guest], missing_kib: int, dead_band_kib: int
) -> dict[str, Decision]:
    taken = _taken(guests, missing_kib, dead_band_kib)
    decisions = {}
    for guest in guests:
        if guest.growable and guest.lacks_kib:
            wish = Decision(guest.need_kib, "needs more than it has")
        elif taken.get(guest.uuid):
            target_kib = guest.target_kib - taken[guest.uuid]
            wish = Decision(target_kib, "idle memory needed elsewhere")
        else:
            wish = Decision(
                guest.target_kib,
                "keeps what it has",
                _spared_by(guest, missing_kib),
            )
        decisions[guest.uuid] = wish
    return decisions


def _spared_by(guest: Guest, missing_kib: int) -> tuple[Limit, ...]:
    """Give the rule that keeps the guest from growing or from yielding.

    Yielding is only kept from who would have to: memory is missing, and the
    guest has some above its need.
    """
    if guest.hold is None:
        return ()
    idle = guest.target_kib > guest.need_kib
    if guest.growable and not (idle and missing_kib > 0):
        return ()
    return (guest.hold,)


def _taken(
    guests: Sequence[Guest], missing_kib: int, dead_band_kib: int
) -> dict[str, int]:
    """Give what each idle guest yields.

    What guests have left by themselves goes first: it is free already, and
    taking it moves no memory.
    """
    if missing_kib <= 0:
        return {}
    unused = {g.uuid: g.unused_kib for g in guests if g.unused_kib}
    taken = _in_worthy_steps(missing_kib, unused, dead_band_kib)
    missing_kib -= sum(taken.values())
    yielded = _in_worthy_steps(
        missing_kib,
        {g.uuid: g.spare_kib - g.unused_kib for g in guests},
        dead_band_kib,
    )
    for uuid, kib in yielded.items():
        taken[uuid] = taken.get(uuid, 0) + kib
    return taken


def _in_worthy_steps(
    missing_kib: int, spare: Mapping[str, int], dead_band_kib: int
) -> dict[str, int]:
    """Give what each yields of what it has to spare.

    The idlest yield first, and only so many that none is asked for less
    than the dead band: many tiny steps would all be damped away, and what
    is missing would stay missing.
    """
    if missing_kib <= 0:
        return {}
    missing_kib = max(missing_kib, dead_band_kib)
    donors: dict[str, int] = {}
    found_kib = 0
    for uuid in sorted(spare, key=lambda key: (-spare[key], key)):
        enough = found_kib >= missing_kib
        if enough and (len(donors) + 1) * dead_band_kib > missing_kib:
            break
        donors[uuid] = spare[uuid]
        found_kib += spare[uuid]
    return apportion(missing_kib, donors)


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


def _shared_out(
    guests: Sequence[Guest], host: Host, settings: TargetSettings
) -> dict[str, Decision]:
    decisions = {
        guest.uuid: Decision(
            guest.target_kib,
            "is not to be touched",
            () if guest.hold is None else (guest.hold,),
        )
        for guest in guests
    }
    sharers = [g for g in guests if g.growable and g.shrinkable]
    # Who may only grow keeps what it has and shares in what is left.
    growers = [g for g in guests if g.growable and not g.shrinkable]
    pool_kib = (
        host.expected_free_kib
        - host.slack_kib
        + sum(guest.target_kib for guest in (*sharers, *growers))
    )
    filled = water_fill(
        pool_kib,
        [
            Vessel(
                key=guest.uuid,
                base_kib=guest.floor_kib,
                least_kib=(
                    guest.floor_kib if guest.shrinkable else guest.target_kib
                ),
                most_kib=guest.need_kib,
                weight=taxed_weight(guest, settings.idle_tax),
            )
            for guest in (*sharers, *growers)
        ],
    )
    for guest in (*sharers, *growers):
        target_kib = filled[guest.uuid]
        decisions[guest.uuid] = Decision(
            target_kib,
            "memory is short and shared by weight",
            _share_limits(guest, target_kib),
        )
    return decisions


def _share_limits(guest: Guest, share_kib: int) -> tuple[Limit, ...]:
    limits = []
    if share_kib < guest.need_kib:
        limits.append(Limit.SHORT)
    # Who may not shrink has at least what it has.
    if guest.hold is not None and share_kib == guest.target_kib:
        limits.append(guest.hold)
    return tuple(limits)


def taxed_weight(guest: Guest, idle_tax: float) -> float:
    """Give the guest's claim per KiB, idle memory taxed.

    ESX's shares-per-page ratio turned to a weight: S / (f + k (1 − f)),
    with S = weight × flavor, k = 1/(1 − tax) and f the used share of what
    the guest claims. ESX takes f of what the guest has; of what it claims
    is steadier, since the outcome doesn't change it.
    """
    used_share = min(1.0, guest.used_kib / max(1, guest.need_kib))
    idle_cost = 1.0 / (1.0 - idle_tax)
    price = used_share + idle_cost * (1.0 - used_share)
    return guest.weight * guest.flavor_kib / price


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


def _damped(
    guest: Guest, wish: Decision, settings: TargetSettings
) -> Decision:
    change_kib = wish.target_kib - guest.target_kib
    if change_kib < 0:
        return _damped_shrink(guest, wish, settings)
    if 0 < change_kib < settings.dead_band_kib and not guest.starved:
        return _in_dead_band(guest, wish)
    return wish


def _in_dead_band(guest: Guest, wish: Decision) -> Decision:
    limits = (*wish.limits, Limit.DEAD_BAND)
    return Decision(guest.target_kib, "within the dead band", limits)


def _damped_shrink(
    guest: Guest, wish: Decision, settings: TargetSettings
) -> Decision:
    if not guest.shrinkable:
        return Decision(guest.target_kib, "may not be shrunk now", wish.limits)
    if guest.target_kib - wish.target_kib < settings.dead_band_kib:
        return _in_dead_band(guest, wish)
    # The next step waits until the guest has followed the last one.
    lowest_kib = guest.actual_kib - settings.max_step_kib
    target_kib = max(wish.target_kib, min(guest.target_kib, lowest_kib))
    target_kib = max(target_kib, guest.floor_kib)
    if target_kib == wish.target_kib:
        return wish
    limits = (*wish.limits, Limit.LARGEST_STEP)
    return Decision(target_kib, wish.reason, limits)


def _bounded(guest: Guest, decision: Decision) -> Decision:
    """Tell of floor or flavor where the demand is beyond the target."""
    if not guest.growable or guest.demand_kib == guest.need_kib:
        return decision
    if decision.target_kib != guest.need_kib:
        return decision
    above = guest.demand_kib > guest.flavor_kib
    limit = Limit.FLAVOR if above else Limit.FLOOR
    return dataclasses.replace(decision, limits=(*decision.limits, limit))
