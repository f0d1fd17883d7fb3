# SPDX-License-Identifier: Apache-2.0
"""Who gives memory and who gets it.

Decided anew in each pass from what is measured. Memory is asked for in
ranks, and one is served as far as the ranks before it leave something:

1. what guests use, and head room (their firm needs);
2. starts, and the host's reserve;
3. foresight: what guests used lately, and the answer to starvation;
4. hope: half of the way to what guests used at their highest peak; for those
   that are starved, all of their flavor.

What is missing is taken from idle memory first, in proportion to what each
guest has above all ranks, then from the last rank and so on; nothing is
taken that nobody needs. Where not even the firm needs can be met, see
:mod:`~nova_xen_overcommit.policy.shortage`.

Pure integers in KiB; the same input gives the same output, and a plan
applied and made again moves nothing.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from nova_xen_overcommit.policy.limits import Limit
from nova_xen_overcommit.policy.planning import (
    Decision,
    Guest,
    Host,
    TargetSettings,
)
from nova_xen_overcommit.policy.shortage import shared_out, taxed_weight
from nova_xen_overcommit.policy.water import Vessel, apportion, water_fill

__all__ = [
    "Decision",
    "Guest",
    "Host",
    "TargetSettings",
    "largest_step_kib",
    "plan",
]


def plan(
    guests: Sequence[Guest], host: Host, settings: TargetSettings
) -> dict[str, Decision]:
    """Give every guest's target, by UUID.

    Growth here is a wish; the balancer grants it out of measured free
    memory only.
    """
    wishes = _wishes(guests, host, settings)
    return {
        guest.uuid: _bounded(
            guest, _damped(guest, wishes[guest.uuid], settings)
        )
        for guest in guests
    }


@dataclasses.dataclass(frozen=True, slots=True)
class _Level:
    """What guests would have at one level of their demands; KiB by UUID.

    ``lacking_kib`` is what those who may grow lack to it, ``spare`` what
    each of those who may shrink has above it, ``unused`` what of that it has
    left free already (it moves its own balloon).
    """

    kib: Mapping[str, int]
    lacking_kib: int
    spare: Mapping[str, int]
    spare_kib: int
    unused: Mapping[str, int]


def _level(guests: Sequence[Guest], sizes_kib: Mapping[str, int]) -> _Level:
    lacking_kib, spare, unused = 0, {}, {}
    for guest in guests:
        above_kib = guest.target_kib - sizes_kib[guest.uuid]
        if above_kib > 0 and guest.shrinkable:
            spare[guest.uuid] = above_kib
            if guest.left_kib:
                unused[guest.uuid] = min(guest.left_kib, above_kib)
        elif above_kib < 0 and guest.growable:
            lacking_kib -= above_kib
    return _Level(sizes_kib, lacking_kib, spare, sum(spare.values()), unused)


def _wishes(
    guests: Sequence[Guest], host: Host, settings: TargetSettings
) -> dict[str, Decision]:
    """Give targets before they are damped: the first rank that fits."""
    asked_kib = host.reserve_kib + host.wanted_kib - host.expected_free_kib
    hopes = _level(guests, {g.uuid: g.hoped_need_kib for g in guests})
    missing_kib = hopes.lacking_kib + asked_kib
    if missing_kib <= hopes.spare_kib:
        taken = _taken(
            hopes.spare, hopes.unused, missing_kib, settings.dead_band_kib
        )
        return _lazily(guests, hopes, hopes, taken, missing_kib)
    needs = _level(guests, {g.uuid: g.need_kib for g in guests})
    if needs.lacking_kib + asked_kib <= needs.spare_kib:
        return _ranked(guests, needs, hopes, asked_kib, settings)
    firm = _level(guests, {g.uuid: g.firm_need_kib for g in guests})
    least_kib = host.slack_kib - host.expected_free_kib
    if firm.lacking_kib + least_kib <= firm.spare_kib:
        return _ranked(guests, firm, needs, asked_kib, settings)
    return shared_out(guests, host, settings)


def _ranked(
    guests: Sequence[Guest],
    level: _Level,
    above: _Level,
    asked_kib: int,
    settings: TargetSettings,
) -> dict[str, Decision]:
    """Let all have their ``level``, and those above it what is left."""
    missing_kib = level.lacking_kib + asked_kib
    left_kib = above.spare_kib - missing_kib
    if left_kib > 0:
        goals = _between(guests, level, above, left_kib, settings)
        return _lazily(guests, goals, level, above.spare, missing_kib)
    # A start can be refused, running guests can't: it never takes what one
    # of them uses.
    missing_kib = min(missing_kib, level.spare_kib)
    taken = _taken_by_rank(above, level, missing_kib, settings.dead_band_kib)
    return _lazily(guests, level, level, taken, missing_kib)


def _between(
    guests: Sequence[Guest],
    level: _Level,
    above: _Level,
    left_kib: int,
    settings: TargetSettings,
) -> _Level:
    """Give goals between two levels, for which ``left_kib`` is left."""
    vessels = [
        Vessel(
            key=guest.uuid,
            base_kib=level.kib[guest.uuid],
            least_kib=max(level.kib[guest.uuid], guest.target_kib),
            most_kib=above.kib[guest.uuid],
            weight=taxed_weight(guest, settings.idle_tax),
        )
        for guest in guests
        if guest.growable and guest.target_kib < above.kib[guest.uuid]
    ]
    pool_kib = left_kib + sum(vessel.least_kib for vessel in vessels)
    filled = water_fill(pool_kib, vessels)
    return _level(guests, {**level.kib, **filled})


def _taken_by_rank(
    above: _Level, level: _Level, missing_kib: int, dead_band_kib: int
) -> dict[str, int]:
    """Give what guests yield: all above one level, some above the other."""
    between = _beyond(level.spare, above.spare)
    unused = _beyond(level.unused, above.unused)
    rest_kib = missing_kib - above.spare_kib
    taken = _taken(between, unused, rest_kib, dead_band_kib)
    for uuid, kib in above.spare.items():
        taken[uuid] = taken.get(uuid, 0) + kib
    return taken


def _beyond(
    some: Mapping[str, int], others: Mapping[str, int]
) -> dict[str, int]:
    return {uuid: kib - others.get(uuid, 0) for uuid, kib in some.items()}


def _lazily(
    guests: Sequence[Guest],
    goals: _Level,
    keeps: _Level,
    taken: Mapping[str, int],
    missing_kib: int,
) -> dict[str, Decision]:
    """Let those below their goals grow, and take no more than ``taken``."""
    decisions = {}
    for guest in guests:
        goal_kib, target_kib = goals.kib[guest.uuid], guest.target_kib
        if guest.growable and target_kib < goal_kib:
            lacks = target_kib < guest.need_kib
            wish = Decision(
                goal_kib,
                "needs more than it has" if lacks else "had a peak before",
                _short_of(guest, goal_kib),
            )
        elif guest.uuid in taken:
            target_kib -= taken[guest.uuid]
            wish = Decision(
                target_kib,
                "idle memory needed elsewhere",
                _short_of(guest, target_kib),
            )
        else:
            idle = target_kib > keeps.kib[guest.uuid]
            wish = Decision(
                target_kib,
                "keeps what it has",
                _kept_by(guest, idle and missing_kib > 0),
            )
        decisions[guest.uuid] = wish
    return decisions


def _short_of(guest: Guest, target_kib: int) -> tuple[Limit, ...]:
    return (Limit.SHORT,) if target_kib < guest.need_kib else ()


def _kept_by(guest: Guest, would_yield: bool) -> tuple[Limit, ...]:
    """Give the rules that keep the guest from growing or from yielding.

    Yielding is only kept from who would have to: memory is missing, and the
    guest has some to spare.
    """
    if not guest.growable:
        return () if guest.hold is None else (guest.hold,)
    limits = _short_of(guest, guest.target_kib)
    if guest.hold is not None and would_yield:
        limits += (guest.hold,)
    return limits


def _taken(
    spare: Mapping[str, int],
    unused: Mapping[str, int],
    missing_kib: int,
    dead_band_kib: int,
) -> dict[str, int]:
    """Give what each idle guest yields.

    What guests have left by themselves goes first: it is free already, and
    taking it moves no memory.
    """
    taken = _in_worthy_steps(missing_kib, unused, dead_band_kib)
    missing_kib -= sum(taken.values())
    if missing_kib <= 0:
        return taken
    in_use = _beyond(spare, unused)
    yielded = _in_worthy_steps(missing_kib, in_use, dead_band_kib)
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
    for uuid, kib in sorted(spare.items(), key=lambda e: (-e[1], e[0])):
        enough = found_kib >= missing_kib
        if enough and (len(donors) + 1) * dead_band_kib > missing_kib:
            break
        donors[uuid] = kib
        found_kib += kib
    return apportion(missing_kib, donors)


def largest_step_kib(flavor_kib: int, settings: TargetSettings) -> int:
    """Give the most that is taken from a guest before it speaks again."""
    step_kib = int(flavor_kib * settings.max_step_share)
    return max(settings.max_step_kib, step_kib)


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
    if not guest.shrinkable and not guest.yields_if_short:
        return Decision(guest.target_kib, "may not be shrunk now", wish.limits)
    if guest.target_kib - wish.target_kib < settings.dead_band_kib:
        return _in_dead_band(guest, wish)
    # All that it hasn't felt yet is one step.
    felt_kib = max(guest.actual_kib, guest.felt_kib)
    lowest_kib = felt_kib - largest_step_kib(guest.flavor_kib, settings)
    target_kib = max(wish.target_kib, min(guest.target_kib, lowest_kib))
    target_kib = max(target_kib, guest.floor_kib)
    if target_kib == wish.target_kib:
        return wish
    blind = guest.felt_kib > guest.actual_kib
    limit = Limit.NOT_FELT if blind else Limit.LARGEST_STEP
    return Decision(target_kib, wish.reason, (*wish.limits, limit))


def _bounded(guest: Guest, decision: Decision) -> Decision:
    """Tell of floor or flavor where the demand is beyond the target."""
    if not guest.growable or guest.demand_kib == guest.need_kib:
        return decision
    if decision.target_kib != guest.need_kib:
        return decision
    above = guest.demand_kib > guest.flavor_kib
    limit = Limit.FLAVOR if above else Limit.FLOOR
    return dataclasses.replace(decision, limits=(*decision.limits, limit))
