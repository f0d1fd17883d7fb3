# SPDX-License-Identifier: Apache-2.0
"""The design's rules, as a bystander checks them.

Nothing here asks the agent for its opinion of itself: sizes come from the
hypervisor, capacity from Placement's API. Only what the agent promises and
how many passes it has made is taken from it.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from demo.host import HOST_MIB, KIB, RESERVED_MIB, Seen
from nova_xen_overcommit.policy import floor

USABLE_KIB = (HOST_MIB - RESERVED_MIB) * KIB


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What the agent is configured with, in KiB, and the guests' swap."""

    floor_share: float
    reserve_kib: int
    swap_kib_per_guest: int


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What a guest's row of the agent's status says; KiB."""

    target_kib: int
    demand_kib: int
    used_kib: int | None
    swap_used_kib: int | None
    floor_kib: int
    status: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Moment:
    """Everything that was seen at one moment.

    ``silent_s`` is how long the agent has made no pass, ``failed_passes``
    how many of its passes raised; ``capacity_mib`` is Placement's, and
    ``promised_mib`` the most the agent has promised in the last seconds.
    ``observing``: the mode was observe before and after looking.
    """

    time_s: float
    observing: bool
    guests: Sequence[Seen]
    told: Mapping[str, Told]
    promised_mib: int
    capacity_mib: int
    silent_s: float
    failed_passes: int


def broken(moment: Moment, limits: Limits) -> list[str]:
    """Give a text for each rule that is broken at ``moment``."""
    faults = [
        *_sizes(moment, limits),
        *_sums(moment, limits),
        *_promises(moment),
    ]
    if moment.silent_s > 2.0:
        faults.append(f"rule 10: no pass for {moment.silent_s:.1f} s")
    if moment.failed_passes:
        faults.append(f"rule 10: {moment.failed_passes} passes failed")
    return faults


def floor_kib(guest: Seen, limits: Limits) -> int:
    """Give the least that ``guest`` may have."""
    return floor.floor_kib(guest.flavor_kib, limits.floor_share)


def _sizes(moment: Moment, limits: Limits) -> list[str]:
    faults = []
    for guest in moment.guests:
        least_kib = floor_kib(guest, limits)
        if not least_kib <= guest.actual_kib <= guest.flavor_kib:
            faults.append(
                f"rule 1: {guest.name} has {guest.actual_kib} KiB, outside "
                f"{least_kib} to {guest.flavor_kib}"
            )
        if moment.observing and guest.actual_kib != guest.flavor_kib:
            faults.append(f"rule 11: {guest.name} was ballooned in observe")
    return faults


def _sums(moment: Moment, limits: Limits) -> list[str]:
    guests = moment.guests
    floors_kib = sum(floor_kib(guest, limits) for guest in guests)
    actual_kib = sum(guest.actual_kib for guest in guests)
    flavors_kib = sum(guest.flavor_kib for guest in guests)
    swap_kib = limits.swap_kib_per_guest * len(guests)
    rules = {
        f"rule 1: floors of {floors_kib} KiB leave no reserve": (
            floors_kib + limits.reserve_kib <= USABLE_KIB
        ),
        f"rule 2: guests have {actual_kib} of {USABLE_KIB} KiB": (
            actual_kib <= USABLE_KIB
        ),
        f"rule 9: flavors of {flavors_kib} KiB exceed memory and swap": (
            flavors_kib <= USABLE_KIB + swap_kib
        ),
    }
    return [text for text, holds in rules.items() if not holds]


def _promises(moment: Moment) -> list[str]:
    usable_mib = USABLE_KIB // KIB
    allowed_mib = usable_mib if moment.observing else moment.promised_mib
    if moment.capacity_mib <= allowed_mib:
        return []
    fault = (
        f"promise: Placement hands out {moment.capacity_mib} MiB, the host "
        f"promises {allowed_mib}"
    )
    return [fault]
