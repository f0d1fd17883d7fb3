# SPDX-License-Identifier: Apache-2.0
"""The rules as they bind each setMemory; :data:`OF_CALLS`. Sizes are KiB."""

import dataclasses
import math

from nova_xen_overcommit.agent import guests
from nova_xen_overcommit.agent.settings import Settings
from tests.simulator.guest import SimulatedGuest
from tests.simulator.ledger import GRACE_S, JITTER_KIB, Ledger, Record
from tests.simulator.rules import fairness

# Two passes less than the time that is waited between two steps.
_PROBED_EVERY_S = 8.0


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A setMemory; ``before_kib`` is what was asked before."""

    ledger: Ledger
    settings: Settings
    guest: SimulatedGuest
    known: Record
    target_kib: int
    before_kib: int

    @property
    def takes(self) -> bool:
        """Whether the guest loses memory by it."""
        return self.target_kib < min(self.before_kib, self.guest.actual_kib)

    @property
    def gives(self) -> bool:
        """Whether the guest may take memory that it might not before."""
        return self.target_kib > max(self.before_kib, self.guest.actual_kib)

    @property
    def moves(self) -> bool:
        """Whether it isn't just told to stay."""
        return self.takes or self.gives


def rule_1_target_within_floor_and_flavor(call: Call) -> str:
    guest, target_kib = call.guest, call.target_kib
    floor_kib = call.ledger.floor_kib(guest)
    # Who has less than its floor already may be told to stay there.
    if target_kib < min(floor_kib, guest.actual_kib):
        return f"target {target_kib} is below the floor {floor_kib}"
    if target_kib > guest.flavor_kib:
        return f"target {target_kib} is above the flavor {guest.flavor_kib}"
    return ""


def rule_2_granted_out_of_measured_free(call: Call) -> str:
    """Asked after the call: is what was promised there?"""
    spendable_kib = call.ledger.spendable_kib()
    if call.gives and spendable_kib < 0:
        return f"{-spendable_kib} KiB are granted that are not free"
    return ""


def rule_3_takes_by_small_steps(call: Call) -> str:
    taken_kib = call.guest.actual_kib - call.target_kib
    if call.takes and taken_kib > _step_kib(call):
        return f"{taken_kib} KiB are taken in one step"
    return ""


def _step_kib(call: Call) -> int:
    settings = call.settings.targets
    share_kib = int(call.guest.flavor_kib * settings.max_step_share)
    return max(settings.max_step_kib, share_kib)


def rule_3_leaves_alone_whom_it_gave(call: Call) -> str:
    known, ledger = call.known, call.ledger
    ago_s = ledger.now_s - known.given_s
    if not call.takes or ago_s >= call.settings.cool_down_s:
        return ""
    # Unless it doesn't even need what it had before.
    firm_kib = ledger.firm_kib(known)
    # What it chose may be what it had at any time since it spoke before.
    rose_kib = known.rose_kib if known.moves_itself else 0
    if firm_kib is not None and firm_kib - rose_kib < known.given_from_kib:
        return ""
    return f"taken from {ago_s:.1f} s after it was given"


def rule_3_waits_until_a_step_is_felt(call: Call) -> str:
    known = call.known
    if known.moves_itself and call.before_kib > call.guest.actual_kib:
        # It gives by itself, and feels nothing when what it left is taken.
        return ""
    unfelt_kib = known.felt_kib - call.target_kib
    silent = known.words_s <= known.shrank_s
    # What it stirs at the end of a step is none of its own.
    most_kib = _step_kib(call) + JITTER_KIB
    if call.takes and silent and unfelt_kib > most_kib:
        return f"{unfelt_kib} KiB are taken before it said how it is"
    return ""


def rule_3_spares_the_starved(call: Call) -> str:
    if not call.takes or not call.known.starved:
        return ""
    # But for what it has above its fair share of what isn't enough.
    kept_kib = fairness.kept_kib(call.ledger, call.settings, call.guest)
    # Where it rests above its targets it is asked for so much less.
    left_kib = call.target_kib + call.ledger.above_kib(call.guest)
    if left_kib >= kept_kib:
        return ""
    if math.isinf(kept_kib):
        return "taken from while it is starved, and there is enough"
    return f"less than its fair {int(kept_kib)} KiB while it is starved"


def rule_4_no_data_not_touched(call: Call) -> str:
    if not call.moves or call.ledger.fresh(call.guest):
        return ""
    if call.gives and _may_be_given_unheard(call):
        return ""
    if call.takes and _may_be_probed(call):
        return ""
    ago_s = call.ledger.now_s - call.known.words_s
    return f"touched though it last spoke {ago_s:.1f} s ago"


def _may_be_given_unheard(call: Call) -> bool:
    """Whether it never spoke, or called for help before it fell silent."""
    known = call.known
    if math.isinf(known.words_s):
        return call.ledger.now_s - known.known_s > guests.BOOT_GRACE_S
    words = known.words
    assert words is not None
    settings = call.settings.demand
    room_kib = (
        words.ram_used_kib * settings.head_room_share + settings.head_room_kib
    )
    return known.hungry or words.mem_available_kib < room_kib


def _may_be_probed(call: Call) -> bool:
    """Whether it never spoke, and the operator lets such guests be probed."""
    return (
        call.settings.probe_silent
        and call.guest.metadata.swap_kib > 0
        and math.isinf(call.known.words_s)
        and call.ledger.now_s - call.known.known_s > guests.BOOT_GRACE_S
    )


def rule_4_probes_by_small_steps(call: Call) -> str:
    """What a guess may cost a guest that says nothing."""
    guest, known = call.guest, call.known
    if not call.takes or call.ledger.fresh(guest):
        return ""
    most_kib = max(
        2 * call.settings.targets.dead_band_kib, guest.flavor_kib // 100
    )
    taken_kib = call.before_kib - call.target_kib
    if taken_kib > most_kib:
        return f"{taken_kib} KiB are taken at once though it says nothing"
    if call.target_kib < guest.flavor_kib // 2:
        return f"left with {call.target_kib} KiB though it says nothing"
    ago_s = call.ledger.now_s - known.shrank_after_s
    if ago_s < _PROBED_EVERY_S:
        return f"taken from again after {ago_s:.1f} s though it says nothing"
    return ""


def rule_5_stuck_is_left_where_it_is(call: Call) -> str:
    known, settings = call.known, call.settings.progress
    stuck = known.still_s > settings.stuck_after_s + GRACE_S
    rests_s = call.ledger.now_s - known.gave_up_s
    retried = rests_s >= settings.retry_s - GRACE_S
    gave_up = math.isfinite(known.gave_up_s)
    rested = (gave_up and retried) or call.ledger.may_be_retried(known)
    if call.moves and stuck and not rested:
        return f"asked again though it is stuck for {known.still_s:.1f} s"
    if call.moves and gave_up and not retried:
        return "asked again right after it was given up"
    return ""


def rule_6_frozen_not_touched(call: Call) -> str:
    guest = call.guest
    held = call.ledger.held.get(guest.uuid, "")
    cause = guest.exempt or guest.busy or held
    return f"touched while it is {cause}" if cause else ""


def rule_8_nobody_gets_more_than_its_flavor(call: Call) -> str:
    if call.gives and call.target_kib > call.guest.flavor_kib:
        return "its words bring it more than its flavor"
    return ""


def rule_11_observe_moves_nothing(call: Call) -> str:
    observes = call.settings.mode == "observe"
    return "a balloon is moved in mode observe" if observes else ""


OF_CALLS = (
    rule_1_target_within_floor_and_flavor,
    rule_3_takes_by_small_steps,
    rule_3_leaves_alone_whom_it_gave,
    rule_3_waits_until_a_step_is_felt,
    rule_3_spares_the_starved,
    rule_4_no_data_not_touched,
    rule_4_probes_by_small_steps,
    rule_5_stuck_is_left_where_it_is,
    rule_6_frozen_not_touched,
    rule_8_nobody_gets_more_than_its_flavor,
    rule_11_observe_moves_nothing,
)
