# SPDX-License-Identifier: Apache-2.0
"""The rules as they bind each pass; :data:`OF_PASSES`. Sizes are KiB."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from nova_xen_overcommit import exception
from nova_xen_overcommit import report as reports
from nova_xen_overcommit.agent import starts
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy.demand import STARVED_TWICE
from nova_xen_overcommit.policy.progress import ProgressSettings
from nova_xen_overcommit.virt import capacity
from tests.simulator.guest import SimulatedGuest
from tests.simulator.ledger import (
    GRACE_S,
    KEPT_FOR_S,
    TOLERANCE_KIB,
    Claim,
    Ledger,
)
from tests.simulator.memory import MIB

# So much is not worth a call.
_LEAST_GRANT_KIB = 4 * MIB
# Nothing was wrong with a guest's balloon for so long: the first back-off.
_HEALTHY_S = ProgressSettings().retry_s + 45.0


@dataclasses.dataclass(frozen=True, slots=True)
class Pass:
    """A pass that is over.

    ``report`` is what the agent tells the scheduler, None before the first.
    ``complaint`` is what the agent says of a pass that failed, ``faulty``
    whether hypervisor or sensor were out of order in it, ``stirred``
    whether guests vanished in its midst, ``escaped`` what left the loop,
    ``counted`` by how many its heartbeat went on. ``spendable_kib`` is what
    is left of what could be granted before it: what a pass takes back from a
    guest that didn't have it yet is for the next one. ``granted`` are the
    starts that were told yes.
    """

    ledger: Ledger
    settings: Settings
    wall_s: float
    report: Mapping[str, Any] | None
    report_before: Mapping[str, Any] | None
    complaint: str
    faulty: bool
    stirred: bool
    escaped: str
    counted: int
    spendable_kib: int
    granted: Sequence[Claim]

    @property
    def good(self) -> bool:
        """Whether all that was seen at its begin holds at its end."""
        return not self.complaint and not self.escaped and not self.stirred

    @property
    def usable_kib(self) -> int:
        host = self.ledger.host
        return host.physical_kib - host.kept_kib


def rule_1_floors_fit_at_admission(done: Pass) -> str:
    if not done.granted or not done.settings.moves:
        return ""
    ledger, settings = done.ledger, done.settings
    floors_kib = sum(
        guest.flavor_kib if guest.exempt else ledger.floor_kib(guest)
        for guest in ledger.guests
    )
    floors_kib += sum(
        starts.floor_of(claim.reservation.request, settings)
        for claim in _unlisted(ledger)
    )
    needed_kib = floors_kib + _overheads_kib(ledger) + settings.reserve_kib
    if needed_kib <= done.usable_kib:
        return ""
    return (
        f"floors, overheads and reserve are {needed_kib}, usable "
        f"{done.usable_kib}"
    )


def _overheads_kib(ledger: Ledger) -> int:
    """Give what guests and granted starts cost beside their memory."""
    count = len(ledger.host.guests) + len(_unlisted(ledger))
    return count * ledger.host.guest_overhead_kib


def _unlisted(ledger: Ledger) -> list[Claim]:
    """Give the granted starts that don't run yet."""
    running = ledger.host.guests
    return [
        claim
        for claim in ledger.claims
        if claim.granted_kib and claim.uuid not in running
    ]


def rule_3_need_is_met_in_the_same_pass(done: Pass) -> str:
    left_kib = _left_over_kib(done)
    if left_kib <= 0:
        return ""
    dead_band_kib = done.settings.targets.dead_band_kib
    for guest in _healthy(done):
        known = done.ledger.record(guest)
        words = known.words
        assert words is not None
        said_kib = words.ram_used_kib + words.swap_used_kib
        if known.chosen_kib is not None:
            # It knows best, and looks once a second.
            said_kib = min(said_kib, known.chosen_kib)
        used_kib = min(guest.flavor_kib, said_kib)
        lack_kib = used_kib - done.ledger.final_kib(guest)
        if lack_kib > dead_band_kib:
            return (
                f"{guest.name} lacks {lack_kib} KiB and {left_kib} KiB more "
                "than is needed lie free"
            )
    return ""


def rule_3_starved_twice_gets_its_flavor(done: Pass) -> str:
    # More than it is seen to use comes after starts and the reserve.
    reserve_kib = done.settings.reserve_kib - done.settings.slack_kib
    left_kib = _left_over_kib(done) - reserve_kib - done.ledger.wanted_kib()
    if left_kib <= 0:
        return ""
    for guest in _healthy(done):
        starved = done.ledger.record(guest).starved
        lack_kib = guest.flavor_kib - done.ledger.final_kib(guest)
        if starved >= STARVED_TWICE and lack_kib > 0:
            return (
                f"{guest.name} is starved for the {starved}th time, lacks "
                f"{lack_kib} KiB to its flavor, and {left_kib} KiB lie free"
            )
    return ""


def _left_over_kib(done: Pass) -> int:
    """Give what is free beyond what a pass may leave ungranted."""
    if not done.good or done.faulty or not done.settings.moves:
        return 0
    count = len(done.ledger.host.guests)
    small_kib = done.settings.targets.dead_band_kib + 2 * TOLERANCE_KIB
    left_kib = done.spendable_kib - done.ledger.withheld_kib()
    # What is due to those of whom nothing can be asked stays where it is.
    refused_kib = sum(
        guest.flavor_kib - guest.actual_kib
        for guest in done.ledger.guests
        if guest.fails_calls or guest.hangs_calls
    )
    left_kib -= refused_kib + _in_build_kib(done)
    return left_kib - _LEAST_GRANT_KIB - count * small_kib


def _in_build_kib(done: Pass) -> int:
    """Give what may be kept yet for guests that are listed and in build.

    For starts that is their overhead: nobody knows whether they have taken
    it. With how much a guest comes back of which that couldn't be set isn't
    known, so its flavor may be kept until it runs.
    """
    ledger = done.ledger
    starting = {claim.uuid for claim in ledger.claims}
    listed = starting & ledger.host.guests.keys()
    kept_kib = sum(
        guest.flavor_kib - guest.actual_kib
        for guest in ledger.guests
        if guest.busy and guest.uuid not in starting and _new(ledger, guest)
    )
    return kept_kib + ledger.host.guest_overhead_kib * len(listed)


def _new(ledger: Ledger, guest: SimulatedGuest) -> bool:
    """Whether it may have been gone a moment ago."""
    return ledger.now_s - ledger.record(guest).known_s < KEPT_FOR_S


def _healthy(done: Pass) -> list[SimulatedGuest]:
    """Give guests with which nothing was wrong for a good while."""
    ledger, found = done.ledger, []
    for guest in ledger.guests:
        known = ledger.record(guest)
        well_s = ledger.now_s - known.troubled_s
        rests = ledger.now_s < known.rests_until_s + GRACE_S
        if well_s >= _HEALTHY_S and not rests and ledger.fresh(guest):
            found.append(guest)
    return found


def rule_4_silent_counts_in_full(done: Pass) -> str:
    if not done.good or done.report is None:
        return ""
    ledger, told = done.ledger, done.report
    silent_kib = sum(
        g.flavor_kib for g in ledger.guests if not ledger.fresh(g)
    )
    if told["peak_mib"] * MIB < silent_kib:
        return f"the peak is {told['peak_mib']} MiB, {silent_kib} KiB unknown"
    if done.settings.mode != "overcommit":
        # What is then promised is never published.
        return ""
    # Nothing is promised for who isn't Nova's.
    flavors_kib = sum(g.flavor_kib for g in ledger.guests if not g.foreign)
    starting_kib = sum(c.reservation.request.flavor_kib for c in ledger.claims)
    most_kib = flavors_kib + starting_kib + ledger.withheld_kib()
    spare_kib = done.usable_kib - done.settings.reserve_kib - silent_kib
    most_kib += max(0, spare_kib)
    if told["promise_mib"] * MIB > most_kib:
        return f"{told['promise_mib']} MiB are promised, of {most_kib} KiB"
    return ""


def rule_5_uncooperative_is_named(done: Pass) -> str:
    lost = _lost(done)
    if not done.good or done.report is None or not lost:
        return ""
    named = done.report["uncooperative"]
    if named >= len(lost):
        return ""
    return f"{named} uncooperative are named of {', '.join(lost)}"


def _lost(done: Pass) -> list[str]:
    """Name the guests that haven't followed for longer than is borne.

    Also those that were told to stay where they are because of that.
    """
    settings, ledger = done.settings.progress, done.ledger
    borne_s = settings.uncooperative_after_s + 2 * GRACE_S
    lost = []
    for guest in ledger.guests:
        known = ledger.record(guest)
        since_s = ledger.now_s - known.gave_up_s
        given_up = since_s < settings.retry_s - GRACE_S
        if known.still_s > borne_s or given_up:
            lost.append(guest.name)
    return lost


def rule_5_uncooperative_is_not_idle(done: Pass) -> str:
    if not done.good or done.report is None:
        return ""
    ledger, lost = done.ledger, set(_lost(done))
    # Who moves its own balloon could yield what it left, too.
    most_kib = sum(
        max(0, _held_kib(ledger, guest) - ledger.floor_kib(guest))
        for guest in ledger.guests
        if guest.name not in lost and not guest.exempt
    )
    counted_kib = (
        max(done.report["idle_mib"], done.report["reclaimable_mib"]) * MIB
    )
    if counted_kib <= most_kib:
        return ""
    return f"{counted_kib} KiB count as idle, {most_kib} could be"


def _held_kib(ledger: Ledger, guest: SimulatedGuest) -> int:
    if not ledger.record(guest).moves_itself:
        return guest.actual_kib
    return guest.actual_kib + ledger.growth_kib(guest, most=True)


def rule_7_granted_memory_is_there(done: Pass) -> str:
    ledger = done.ledger
    if any(claim.robbed for claim in ledger.claims):
        return ""
    # Less than none is free where a guest of QEMU begins anew.
    free_kib = max(0, ledger.host.free_kib)
    # Who reboots may have had less than it comes back with.
    due_kib = ledger.set_aside_kib(reboots=False)
    if done.settings.moves and due_kib > free_kib:
        return f"{due_kib} KiB are granted to starts, {free_kib} are free"
    return ""


def rule_7_nothing_is_held_for_the_dead(done: Pass) -> str:
    """A start waits only while its memory isn't free for it."""
    if not done.good or done.faulty or not done.settings.moves:
        return ""
    ledger = done.ledger
    left_kib = done.spendable_kib - ledger.withheld_kib()
    # Its own overhead, too.
    left_kib -= ledger.host.guest_overhead_kib + _in_build_kib(done)
    for claim in ledger.claims:
        if claim.reservation.answered.is_set():
            continue
        least_kib = starts.least_kib(claim.reservation.request, done.settings)
        if least_kib + len(ledger.host.guests) * TOLERANCE_KIB <= left_kib:
            return f"{claim.uuid} waits for {least_kib} of {left_kib} free KiB"
    return ""


def rule_8_no_words_fail_a_pass(done: Pass) -> str:
    if done.complaint and not done.faulty:
        return f"a pass failed though only guests were odd: {done.complaint}"
    return ""


def rule_9_flavors_fit_memory_and_swap(done: Pass) -> str:
    settings, ledger = done.settings, done.ledger
    if not (done.granted and settings.require_guest_swap and settings.moves):
        return ""
    requests = [claim.reservation.request for claim in _unlisted(ledger)]
    flavors_kib = sum(g.flavor_kib for g in ledger.guests)
    flavors_kib += sum(request.flavor_kib for request in requests)
    # Swap beyond a guest's own flavor holds nothing of the others.
    swap_kib = sum(
        min(g.flavor_kib, g.metadata.swap_kib) for g in ledger.guests
    )
    swap_kib += sum(min(r.flavor_kib, r.swap_kib) for r in requests)
    backed_kib = done.usable_kib - _overheads_kib(ledger) + swap_kib
    if flavors_kib <= backed_kib:
        return ""
    return f"flavors are {flavors_kib}, memory and swap {backed_kib}"


def rule_9_none_is_killed(done: Pass) -> str:
    if not done.settings.require_guest_swap or not done.ledger.killed:
        return ""
    names = ", ".join(done.ledger.killed)
    return f"out of memory and swap, though within their flavors: {names}"


def rule_10_no_exception_ends_the_loop(done: Pass) -> str:
    return done.escaped and f"left the loop: {done.escaped}"


def rule_10_every_pass_leaves_a_heartbeat(done: Pass) -> str:
    if done.counted != 1:
        return f"its heartbeat went on by {done.counted} in one pass"
    if done.report is None:
        return ""
    if done.good and done.report["time_s"] != done.wall_s:
        return "a good pass left no new report"
    before = done.report_before
    if done.complaint and before and done.report["time_s"] != before["time_s"]:
        return "a failed pass made its report look new"
    return ""


def rule_10_what_it_reports_is_believed(done: Pass) -> str:
    """A report that nobody believes is as bad as none."""
    if done.report is None or not done.good:
        return ""
    try:
        told = reports.HostReport.from_dict(dict(done.report))
    except exception.InvalidReport as error:
        return f"the report is refused: {error}"
    most_mib = told.free_mib + told.reclaimable_mib
    if most_mib > told.physical_mib:
        return f"{most_mib} MiB are free or to be had, of {told.physical_mib}"
    return ""


def rule_11_only_overcommit_promises_more(done: Pass) -> str:
    if done.report is None or not done.good:
        return ""
    if done.report["mode"] == "overcommit":
        return ""
    told = reports.HostReport.from_dict(dict(done.report))
    span_mib = told.physical_mib
    wanted_mib = capacity.wanted_mib(
        "overcommit", span_mib, told, told.usable_mib
    )
    if wanted_mib * MIB > done.usable_kib:
        return f"{wanted_mib} MiB are promised in mode {told.mode}"
    return ""


OF_PASSES = (
    rule_1_floors_fit_at_admission,
    rule_3_need_is_met_in_the_same_pass,
    rule_3_starved_twice_gets_its_flavor,
    rule_4_silent_counts_in_full,
    rule_5_uncooperative_is_named,
    rule_5_uncooperative_is_not_idle,
    rule_7_granted_memory_is_there,
    rule_7_nothing_is_held_for_the_dead,
    rule_8_no_words_fail_a_pass,
    rule_9_flavors_fit_memory_and_swap,
    rule_9_none_is_killed,
    rule_10_no_exception_ends_the_loop,
    rule_10_every_pass_leaves_a_heartbeat,
    rule_10_what_it_reports_is_believed,
    rule_11_only_overcommit_promises_more,
)
