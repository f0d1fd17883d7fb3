# SPDX-License-Identifier: Apache-2.0
"""What guests get when there isn't enough for what they use.

All that is above the floors is shared out by weight, idle memory taxed
(Waldspurger, OSDI 2002: an idle page costs k = 1/(1 − tax) times a used
one). Nobody has head room before all have what they use.
"""

from collections.abc import Mapping, Sequence

from nova_xen_overcommit.policy.limits import Limit
from nova_xen_overcommit.policy.planning import (
    Decision,
    Guest,
    Host,
    TargetSettings,
)
from nova_xen_overcommit.policy.water import (
    Vessel,
    fair_level,
    fill_whole,
    water_fill,
)

# When there isn't enough for what is in use, nobody stands below this part
# of the fair level for others to have all they use. Who lacks a little
# swaps, too: better few who lack much than all a little.
_FAIR_ENOUGH = 0.5
# And who is starved yields nothing below this part of the fair level: were
# all who lack a little made equal, each would lack a little more.
_MORE_THAN_FAIR = 1.25


def shared_out(
    guests: Sequence[Guest], host: Host, settings: TargetSettings
) -> dict[str, Decision]:
    """Share all memory that may be moved out; nobody has foresight."""
    decisions = {
        guest.uuid: Decision(
            guest.target_kib,
            "is not to be touched",
            () if guest.hold is None else (guest.hold,),
        )
        for guest in guests
    }
    sharers = [g for g in guests if g.growable and g.shrinkable]
    # Who may only grow keeps what it has, or what of that is fair, and
    # shares in what is left.
    growers = [g for g in guests if g.growable and not g.shrinkable]
    pool_kib = (
        host.expected_free_kib
        - host.slack_kib
        + sum(guest.target_kib for guest in (*sharers, *growers))
    )
    filled = _filled(pool_kib, [*sharers, *growers], settings.idle_tax)
    for guest in (*sharers, *growers):
        target_kib = filled[guest.uuid]
        decisions[guest.uuid] = Decision(
            target_kib,
            "memory is short and shared by weight",
            _share_limits(guest, target_kib),
        )
    return decisions


def _filled(
    pool_kib: int, guests: Sequence[Guest], idle_tax: float
) -> dict[str, int]:
    """Share out; nobody has head room before all have what they use."""
    weights = {guest.uuid: taxed_weight(guest, idle_tax) for guest in guests}
    least = _least(pool_kib, guests, weights)
    bare = {g.uuid: max(g.bare_need_kib, least[g.uuid]) for g in guests}
    if sum(bare.values()) <= pool_kib:
        rooms = [_room(g, bare[g.uuid], weights[g.uuid]) for g in guests]
        return water_fill(pool_kib, rooms)
    vessels = [_used(g, least[g.uuid], weights[g.uuid]) for g in guests]
    has = {guest.uuid: guest.target_kib for guest in guests}
    return fill_whole(pool_kib, vessels, has, _FAIR_ENOUGH)


def _room(guest: Guest, least_kib: int, weight: float) -> Vessel:
    """Give what a guest takes of what is shared of all head room."""
    return Vessel(
        key=guest.uuid,
        base_kib=guest.bare_need_kib,
        least_kib=least_kib,
        most_kib=guest.firm_need_kib,
        weight=weight,
    )


def _used(guest: Guest, least_kib: int, weight: float) -> Vessel:
    """Give what a guest takes of what is shared of what all use."""
    return Vessel(
        key=guest.uuid,
        base_kib=guest.floor_kib,
        least_kib=least_kib,
        most_kib=guest.bare_need_kib,
        weight=weight,
    )


def _least(
    pool_kib: int, guests: Sequence[Guest], weights: Mapping[str, float]
) -> dict[str, int]:
    """Give what nobody is asked to yield.

    Who is starved keeps what it has, but for what is far above its fair
    share where somebody must go short of what it uses. It is starved by its
    own word: whoever says so for ever would have its flavor for ever. Floors
    are due to all, also to who has less.
    """
    least = {
        guest.uuid: guest.floor_kib
        if guest.shrinkable
        else max(guest.floor_kib, guest.target_kib)
        for guest in guests
    }
    yielding = [g for g in guests if g.yields_if_short]
    if not yielding or sum(g.bare_need_kib for g in guests) <= pool_kib:
        return least
    vessels = {g.uuid: _used(g, g.floor_kib, weights[g.uuid]) for g in guests}
    level = fair_level(pool_kib, list(vessels.values())) * _MORE_THAN_FAIR
    for guest in yielding:
        kept_kib = vessels[guest.uuid].at(level)
        least[guest.uuid] = min(least[guest.uuid], kept_kib)
    return least


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
    claim_kib = max(1, guest.firm_need_kib)
    used_share = min(1.0, guest.used_kib / claim_kib)
    idle_cost = 1.0 / (1.0 - idle_tax)
    price = used_share + idle_cost * (1.0 - used_share)
    return guest.weight * guest.flavor_kib / price
