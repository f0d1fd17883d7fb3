# SPDX-License-Identifier: Apache-2.0
"""What guests get when there isn't enough for what they use.

All that is above the floors is shared out by weight, idle memory taxed
(Waldspurger, OSDI 2002: an idle page costs k = 1/(1 − tax) times a used
one). Nobody has head room before all have what they use.
"""

from collections.abc import Sequence

from nova_xen_overcommit.policy.limits import Limit
from nova_xen_overcommit.policy.planning import (
    Decision,
    Guest,
    Host,
    TargetSettings,
)
from nova_xen_overcommit.policy.water import Vessel, fill_whole, water_fill

# When there isn't enough for what is in use, nobody stands below this part
# of the fair level for others to have all they use. Who lacks a little
# swaps, too: better few who lack much than all a little.
_FAIR_ENOUGH = 0.5


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
    # Who may only grow keeps what it has and shares in what is left.
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
    bare_kib = sum(
        max(guest.bare_need_kib, _least_kib(guest)) for guest in guests
    )
    enough = bare_kib <= pool_kib
    vessels = [
        Vessel(
            key=guest.uuid,
            base_kib=guest.bare_need_kib if enough else guest.floor_kib,
            least_kib=(
                max(guest.bare_need_kib, _least_kib(guest))
                if enough
                else _least_kib(guest)
            ),
            most_kib=guest.firm_need_kib if enough else guest.bare_need_kib,
            weight=taxed_weight(guest, idle_tax),
        )
        for guest in guests
    ]
    if enough:
        return water_fill(pool_kib, vessels)
    has = {guest.uuid: guest.target_kib for guest in guests}
    return fill_whole(pool_kib, vessels, has, _FAIR_ENOUGH)


def _least_kib(guest: Guest) -> int:
    return guest.floor_kib if guest.shrinkable else guest.target_kib


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
