# SPDX-License-Identifier: Apache-2.0
"""What a starved guest may keep when memory is short; sizes are KiB.

Reckoned from what guests said and the host really has, and found by trial:
nothing of it is the planner's. Where something can't be known from outside
of the agent, the fair share found is the smaller one.
"""

import dataclasses
import math

from nova_xen_overcommit.agent.settings import Settings
from tests.simulator.guest import SimulatedGuest
from tests.simulator.ledger import TOLERANCE_KIB, Ledger
from tests.simulator.memory import KERNEL_KIB, MIB

_LAST_ROOM_SHARE = 0.25
_MOST_LAST_ROOM_KIB = 128 * MIB
_MOST_OUTSIDE_SHARE = 0.25
_TRIALS = 60
# For so long, at most, a guest is left alone whose calls were refused.
_REFUSED_FOR_S = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """One guest's part; ``least_kib`` is what others can't have for sure."""

    floor_kib: int
    least_kib: int
    most_kib: int
    weight: float

    def at(self, level: float) -> float:
        """Give what it has where all stand at ``level``."""
        share_kib = min(self.most_kib, self.floor_kib + level * self.weight)
        return max(self.least_kib, share_kib)


def kept_kib(
    ledger: Ledger, settings: Settings, guest: SimulatedGuest
) -> float:
    """Give what must be left to a guest that is starved.

    Its fair share where not even what all use is there; all it has
    otherwise.
    """
    parts = {
        one.uuid: _part(ledger, settings, one)
        if one is guest or _shares(ledger, one)
        else _most(ledger, one)
        for one in ledger.guests
    }
    pool_kib = _pool_kib(ledger, settings)
    used_kib = sum(max(p.least_kib, p.most_kib) for p in parts.values())
    if not _outside_is_known(ledger, guest):
        # It may count as used, and isn't in its part.
        used_kib += _outside_kib(ledger, guest)
    if used_kib + len(parts) * TOLERANCE_KIB <= pool_kib:
        return math.inf
    # Caps are a little above what guests chose.
    capped = [one for one in ledger.guests if ledger.record(one).moves_itself]
    pool_kib -= len(capped) * TOLERANCE_KIB
    return parts[guest.uuid].at(_level(pool_kib, list(parts.values())))


def _pool_kib(ledger: Ledger, settings: Settings) -> int:
    """Give what is to be shared for sure."""
    held_kib = sum(guest.actual_kib for guest in ledger.guests)
    promised_kib = ledger.set_aside_kib() + ledger.withheld_kib()
    free_kib = ledger.host.free_kib - promised_kib - settings.slack_kib
    return held_kib + free_kib


def _level(pool_kib: int, parts: list[Part]) -> float:
    low, high = 0.0, max(part.most_kib / part.weight for part in parts)
    for _ in range(_TRIALS):
        level = (low + high) / 2
        if sum(part.at(level) for part in parts) <= pool_kib:
            low = level
        else:
            high = level
    return low


def _part(ledger: Ledger, settings: Settings, guest: SimulatedGuest) -> Part:
    """Give the part of one that memory is shared among."""
    floor_kib = ledger.floor_kib(guest)
    used_kib, bare_kib, firm_kib = _claims(ledger, settings, guest)
    firm_kib = min(guest.flavor_kib, max(floor_kib, firm_kib))
    bare_kib = min(firm_kib, max(floor_kib, bare_kib))
    tax = 1.0 / (1.0 - settings.targets.idle_tax)
    in_use = min(1.0, used_kib / firm_kib)
    weight = guest.metadata.weight * guest.flavor_kib
    price = in_use + tax * (1.0 - in_use)
    return Part(floor_kib, floor_kib, bare_kib, weight / price)


def _most(ledger: Ledger, guest: SimulatedGuest) -> Part:
    """Give the part of one that keeps what it has, or shares and claims all.

    Which of both isn't known.
    """
    floor_kib = ledger.floor_kib(guest)
    keeps_kib = max(guest.actual_kib, ledger.final_kib(guest), floor_kib)
    weight = guest.metadata.weight * guest.flavor_kib
    return Part(floor_kib, keeps_kib, guest.flavor_kib, weight)


def _claims(
    ledger: Ledger, settings: Settings, guest: SimulatedGuest
) -> tuple[int, int, int]:
    """Give what it uses by its own words, and with which head room."""
    known = ledger.record(guest)
    words = known.words
    if words is None:
        return guest.flavor_kib, guest.flavor_kib, guest.flavor_kib
    known_of = _outside_is_known(ledger, guest)
    outside_kib = _outside_kib(ledger, guest) if known_of else 0
    used_kib = words.ram_used_kib + words.swap_used_kib
    used_kib = min(guest.flavor_kib, used_kib + outside_kib)
    if known.chosen_kib is not None:
        # It may be what it had at any time since it spoke before.
        chosen_kib = known.chosen_kib - known.rose_kib
        return used_kib, chosen_kib, chosen_kib
    limits = settings.demand
    room_kib = int(used_kib * limits.head_room_share) + limits.head_room_kib
    last_kib = min(_MOST_LAST_ROOM_KIB, int(room_kib * _LAST_ROOM_SHARE))
    return used_kib, used_kib + last_kib, used_kib + room_kib


def _outside_kib(ledger: Ledger, guest: SimulatedGuest) -> int:
    """Give what its kernel has beside what it manages, and tells of."""
    known = ledger.record(guest)
    if known.words is None:
        return 0
    most_kib = int(guest.flavor_kib * _MOST_OUTSIDE_SHARE)
    outside_kib = max(0, known.felt_kib - known.words.mem_total_kib)
    return min(most_kib, outside_kib)


def _outside_is_known(ledger: Ledger, guest: SimulatedGuest) -> bool:
    """Whether its words were surely of the same moment as its size."""
    return ledger.record(guest).stood and not guest.deflates


def _choice_is_known(ledger: Ledger, guest: SimulatedGuest) -> bool:
    """Whether nothing of what it has is more than a kernel could hide.

    Else what it chose, by its own words, may be all it has or far less.
    """
    known = ledger.record(guest)
    if known.words is None or known.chosen_kib is None:
        return True
    return known.felt_kib <= known.words.mem_total_kib + KERNEL_KIB


def _shares(ledger: Ledger, guest: SimulatedGuest) -> bool:
    """Whether it surely is one of those that memory is shared among."""
    known = ledger.record(guest)
    frozen = guest.busy or guest.exempt or guest.uuid in ledger.held
    refused = ledger.now_s - known.refused_s <= _REFUSED_FOR_S
    refuses = refused or guest.fails_calls or guest.hangs_calls
    refuses = refuses or guest.slow_calls_s
    moves = ledger.now_s - known.rigid_from_s <= 1.0
    follows = moves and ledger.now_s >= known.rests_until_s
    believed = ledger.fresh(guest) and not guest.offset_kib
    believed = believed and _outside_is_known(ledger, guest)
    believed = believed and _choice_is_known(ledger, guest)
    return bool(believed and follows and not (frozen or refuses))
