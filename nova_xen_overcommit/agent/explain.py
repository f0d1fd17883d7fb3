# SPDX-License-Identifier: Apache-2.0
"""Why a guest has what it has, from what the last passes left behind.

Made only when somebody asks. A pass may be under way meanwhile, so figures
of two passes may stand side by side. Sizes are KiB, times seconds.
"""

from collections.abc import Iterable
from typing import Any

from nova_xen_overcommit.agent import probing
from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.agent.reservations import Reservation
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy import targets
from nova_xen_overcommit.policy.limits import Limit

_KIB_PER_MIB = 1024


def find(guests: Iterable[TrackedGuest], name: str) -> TrackedGuest | None:
    """Give the guest of this UUID or libvirt name; the UUID goes first."""
    by_name = None
    for guest in guests:
        if guest.domain.uuid == name.lower():
            return guest
        if guest.domain.name == name:
            by_name = guest
    return by_name


def brief(
    guest: TrackedGuest, settings: Settings, now_s: float
) -> dict[str, Any]:
    """Give the guest's line in a table of all."""
    decision = guest.decision
    return {
        **_who(guest),
        "status": guest.progress.status.value,
        "target_kib": guest.target_kib,
        "demand_kib": guest.demand_kib,
        "reason": decision.reason if decision else guest.reason,
        "limits": _limits(guest, settings, now_s),
    }


def full(
    guest: TrackedGuest, settings: Settings, now_s: float
) -> dict[str, Any]:
    """Give all that decided what the guest has."""
    return {
        **_who(guest),
        "observation": _observation(guest, now_s),
        "demand": _demand(guest),
        "target": _target(guest, now_s),
        "limits": _limits(guest, settings, now_s),
        "status": _status(guest, settings, now_s),
    }


def _who(guest: TrackedGuest) -> dict[str, Any]:
    return {
        "name": guest.domain.name,
        "uuid": guest.domain.uuid,
        "flavor_kib": guest.domain.flavor_kib,
        "floor_kib": guest.floor_kib,
        "actual_kib": guest.domain.actual_kib,
    }


def _observation(guest: TrackedGuest, now_s: float) -> dict[str, Any] | None:
    sample = guest.sample
    if sample is None:
        return probing.seen(guest.probe, now_s) if guest.probe else None
    return {
        "sensor": guest.sensor,
        "age_s": _round(now_s - sample.time_s),
        "max_age_s": sample.max_age_s,
        "believed": sample.is_fresh(now_s),
        "mem_total_kib": sample.mem_total_kib,
        "mem_available_kib": sample.mem_available_kib,
        "swap_total_kib": sample.swap_total_kib,
        "swap_free_kib": sample.swap_free_kib,
        "swap_in_kib": sample.swap_in_kib,
        "psi_some_us": sample.psi_some_us,
        "self_more_kib": sample.self_more_kib,
    }


def _demand(guest: TrackedGuest) -> dict[str, Any]:
    known, probed = guest.demand, guest.probed
    if probed is not None:
        return probing.wanted(guest, probed)
    if known is None or not guest.speaks:
        cause = "no believable figures: its whole flavor"
        return {"demand_kib": guest.demand_kib, "causes": [cause]}
    return {
        "demand_kib": known.demand_kib,
        "causes": list(known.causes),
        "wanted_kib": known.wanted_kib,
        "firm_kib": guest.firm_need_kib,
        "hoped_kib": known.hoped_kib,
        "used_kib": known.used_kib,
        "fast_kib": round(known.fast_kib),
        "slow_kib": round(known.slow_kib),
        "unmanaged_kib": known.unmanaged_kib,
        "head_room_kib": known.head_room_kib,
        "raised_kib": round(known.raised_kib),
    }


def _target(guest: TrackedGuest, now_s: float) -> dict[str, Any]:
    """Give the target, what was decided last, and what moved it last.

    ``decided_kib`` is where the last pass would have it.
    """
    decision, move = guest.decision, guest.last_move
    return {
        "target_kib": guest.target_kib,
        "decided_kib": decision.target_kib if decision else guest.target_kib,
        "reason": decision.reason if decision else guest.reason,
        "moved": move
        and {
            "ago_s": _round(now_s - move.time_s),
            "from_kib": move.from_kib,
            "reason": move.reason,
        },
    }


def _status(
    guest: TrackedGuest, settings: Settings, now_s: float
) -> dict[str, Any]:
    return {
        "status": guest.progress.status.value,
        "since_s": _round(now_s - guest.status_s),
        "known_since_s": _round(now_s - guest.first_seen_s),
        "offset_kib": guest.progress.offset_kib,
        "starved": guest.starved,
        "starved_s": _round(guest.starved_s),
        "balloons_itself": guest.balloons_itself,
        "probed": guest.probed is not None,
        "left_kib": guest.left_kib,
        "foreign": guest.domain.foreign,
        "counts_in_full": guest.in_full(settings.warm_up_s),
    }


def _limits(
    guest: TrackedGuest, settings: Settings, now_s: float
) -> list[str]:
    """Give each limit in words, with what is known of it."""
    words, limits = [], guest.limits
    probed = guest.probed
    if probed is not None and not probed.opens and Limit.PROBED not in limits:
        limits += (Limit.PROBED,)
    for limit in limits:
        detail = _detail(limit, guest, settings, now_s)
        words.append(f"{limit}: {detail}" if detail else str(limit))
    return words


def _detail(
    limit: Limit, guest: TrackedGuest, settings: Settings, now_s: float
) -> str:
    damping = settings.targets
    if limit is Limit.FLOOR:
        return _floor(guest, settings)
    sizes_kib = {
        Limit.FLAVOR: guest.domain.flavor_kib,
        Limit.DEAD_BAND: damping.dead_band_kib,
        Limit.LARGEST_STEP: targets.largest_step_kib(
            guest.domain.flavor_kib, damping
        ),
    }
    if limit in sizes_kib:
        return f"{sizes_kib[limit] // _KIB_PER_MIB} MiB"
    causes = {
        Limit.EXEMPT: guest.domain.exempt,
        Limit.BUSY: guest.domain.busy,
        Limit.HELD: guest.held,
        Limit.PROBED: guest.probe and probing.holds(guest.probe, now_s),
    }
    return causes.get(limit) or _when(limit, guest, now_s)


def _floor(guest: TrackedGuest, settings: Settings) -> str:
    """Give the floor, and why where the guest's swap decides about it."""
    size = f"{guest.floor_kib // _KIB_PER_MIB} MiB"
    swap_kib = guest.domain.metadata.swap_kib
    fixed_kib = guest.domain.flavor_kib - swap_kib
    if not settings.require_guest_swap or guest.floor_kib != fixed_kib:
        return size
    return f"{size}, as it has {swap_kib // _KIB_PER_MIB} MiB of swap"


def _when(limit: Limit, guest: TrackedGuest, now_s: float) -> str:
    if limit is Limit.COOL_DOWN:
        return f"{max(0.0, guest.cool_until_s - now_s):.0f} s left"
    if limit is Limit.STUCK:
        return f"no progress for {now_s - guest.progress.progress_s:.0f} s"
    if limit is Limit.UNCOOPERATIVE:
        left_s = max(0.0, guest.progress.retry_at_s - now_s)
        return f"tried again in {left_s:.0f} s"
    if limit is Limit.NO_DATA and guest.sample is not None:
        return f"silent for {now_s - guest.sample.time_s:.0f} s"
    if limit is Limit.NEVER_SPOKE:
        return f"found {now_s - guest.first_seen_s:.0f} s ago"
    return ""


def _round(seconds: float) -> float:
    return round(seconds, 1)


def start(reservation: Reservation, now_s: float) -> dict[str, Any]:
    """Give a start that waits or is under way."""
    return {
        "name": reservation.request.name,
        "uuid": reservation.request.uuid,
        "flavor_kib": reservation.request.flavor_kib,
        "granted_kib": reservation.granted_kib,
        "for_s": _round(now_s - reservation.asked_at_s),
        "restart": reservation.restart,
    }
