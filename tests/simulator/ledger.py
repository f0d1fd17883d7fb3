# SPDX-License-Identifier: Apache-2.0
"""What an agent could know of its world since it began, kept for its judge.

All of it is the simulator's own truth: what guests wrote, what was asked of
them, what clients were told. Nothing is the agent's opinion. Sizes are KiB,
times seconds of the monotonic clock.
"""

import dataclasses
import math
from collections.abc import Iterable

from nova_xen_overcommit.agent.reservations import Reservation
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy.progress import ProgressSettings
from nova_xen_overcommit.policy.sample import MemorySample
from tests.simulator.guest import SimulatedGuest
from tests.simulator.host import SimulatedHost
from tests.simulator.memory import KERNEL_KIB

TOLERANCE_KIB = ProgressSettings().tolerance_kib
MAX_OFFSET_KIB = ProgressSettings().max_offset_kib
# Less than this is no step of a balloon.
JITTER_KIB = 512
# Time in which nobody looked, or the host slept, is nobody's patience.
_LONGEST_LOOK_S = 1.5
_CALIBRATED_S = ProgressSettings().calibrate_after_s - 1.0
# A pass more or less, and figures that come at a pass's end.
GRACE_S = 2.5
# Memory of a guest that is gone is kept for 60 s after that was noticed.
KEPT_FOR_S = 55.0
_FORGOTTEN_AFTER_S = 90.0
_US_PER_S = 1_000_000


@dataclasses.dataclass(eq=False)
class Claim:
    """One start: what its client was told, and how far it has come.

    ``robbed``: somebody took its memory whom no agent can refuse.
    ``begun``: its domain was there, so if it is gone its start has failed.
    ``building_kib`` is what its domain holds before it is listed.
    """

    reservation: Reservation
    robbed: bool = False
    begun: bool = False
    building_kib: int = 0

    @property
    def due_kib(self) -> int:
        """What must be free for it, while its domain was never there."""
        return 0 if self.begun else self.granted_kib - self.building_kib

    @property
    def uuid(self) -> str:
        return self.reservation.request.uuid

    @property
    def granted_kib(self) -> int:
        return self.reservation.claim_kib


@dataclasses.dataclass(eq=False)
class Away:
    """A guest that is gone since ``gone_s``, and may come back.

    ``noticed_s`` is when a pass could see that, ``robbed`` as of a claim.
    """

    guest: SimulatedGuest
    gone_s: float
    back_s: float
    robbed: bool = False
    noticed_s: float = math.inf


@dataclasses.dataclass(slots=True)
class Record:
    """One domain.

    ``words`` is what it last said that was believable, ``former`` what it
    said before; ``hungry`` says that it tells of shortage, ``starved`` counts
    such words in a row, without those of who is on its way back.
    ``asked_kib`` is the last target it was asked for, None when this agent
    asked for none; ``asked_from`` is, until the next look, where it was to
    rest before that (``rested_kib``, as of the last look), and how near it
    had come; ``told_kib`` is what the hypervisor tells of it, whoever asked.
    ``felt_kib`` is what it had when it last spoke, ``stood``: and when it
    spoke before that, ``rose_kib``: so much less then; ``shrank_s`` is when
    it was seen with less than before, which it last had at
    ``shrank_after_s``, and ``given_from_kib`` what it had before it was given
    more. ``still_s`` is for how long it was away from its target and came no
    nearer (``progress_s``: since when; without most of ``unseen_s``, for
    which nobody had looked at the last look; ``patient_s``: since when if
    nothing but its way to its target gave it new patience), ``near_s`` for
    how long it was so near to its target that this may be where it rests
    (``stirs_s``: where it does rest by its offset, or but a little off),
    ``rigid_from_s`` since when it has been away from its target and hasn't
    moved, be it near or not. ``failures`` counts how often in a row it was
    given up, last for what it did since ``failed_s``; since ``lost_from_s``
    it may have been given up and not asked again (``retried``), and it may be
    left alone until ``rests_until_s``. ``may_keep``: what it has above its
    target may be taken for its own until it is asked for a size.
    ``troubled_s`` is when anything was last wrong, ``refused_s`` when a call
    got no or no good answer.
    """

    known_s: float
    seen_s: float
    actual_kib: int
    rigid_from_s: float
    best_kib: int = 0
    asked_kib: int | None = None
    asked_from: tuple[int, int] | None = None
    rested_kib: int = 0
    told_kib: int = 0
    felt_kib: int = 0
    rose_kib: int = 0
    stood: bool = False
    shrank_s: float = -math.inf
    shrank_after_s: float = -math.inf
    given_s: float = -math.inf
    given_from_kib: int = 0
    gave_up_s: float = -math.inf
    failures: int = 0
    failed_s: float = -math.inf
    lost_from_s: float = math.inf
    retried: bool = False
    may_keep: bool = False
    rests_until_s: float = -math.inf
    troubled_s: float = -math.inf
    refused_s: float = -math.inf
    still_s: float = 0.0
    unseen_s: float = 0.0
    near_s: float = 0.0
    stirs_s: float = 0.0
    progress_s: float = -math.inf
    patient_s: float = math.inf
    words: MemorySample | None = None
    former: MemorySample | None = None
    words_s: float = -math.inf
    starved: int = 0
    hungry: bool = False

    @property
    def moves_itself(self) -> bool:
        """Whether it says so: its target is but the most it may have."""
        return math.isfinite(self.words_s) and self.chosen_kib is not None

    @property
    def chosen_kib(self) -> int | None:
        """What it chose by its last words, None if it said nothing of that.

        They may be older than what it had when they were read.
        """
        if self.words is None or self.words.self_more_kib is None:
            return None
        had_kib = min(self.felt_kib, self.words.mem_total_kib + KERNEL_KIB)
        return max(0, had_kib + self.words.self_more_kib)


class Ledger:
    """The books on one host, begun anew with each agent."""

    def __init__(self, host: SimulatedHost) -> None:
        self.host = host
        self.claims: list[Claim] = []
        self.away: list[Away] = []
        self.held: dict[str, str] = {}
        self.settings: Settings | None = None
        self.records: dict[int, Record] = {}
        # Domains of which this agent said with how much they come back.
        self.prepared: set[int] = set()
        # Guests whose programs were killed since the last pass, though none
        # but an agent could have left them with so little.
        self.killed: list[str] = []
        self._kills: dict[int, int] = {}
        self._excused: set[int] = set()

    def begin_agent(self) -> None:
        """Forget: the next agent knows nothing."""
        self.records.clear()
        self.claims.clear()
        self.held.clear()
        self.prepared.clear()
        self.away = [dataclasses.replace(a, robbed=True) for a in self.away]

    @property
    def now_s(self) -> float:
        return self.host.clock.now_s

    @property
    def guests(self) -> Iterable[SimulatedGuest]:
        return self.host.guests.values()

    def record(self, guest: SimulatedGuest) -> Record:
        """Give its record, a new one where there is none."""
        known = self.records.get(guest.domain_id)
        if known is None:
            now_s = self.now_s
            known = Record(now_s, now_s, guest.actual_kib, now_s)
            known.told_kib = guest.target_kib
            self.records[guest.domain_id] = known
            known.best_kib = self.distance_kib(guest)
            known.rested_kib = self._rests_kib(guest)
            known.progress_s = self.now_s
        return known

    def hear(
        self,
        guest: SimulatedGuest,
        words: MemorySample,
        said_s: float,
        aged: bool = False,
    ) -> None:
        """Take new words that were read, as of ``said_s``.

        The first ones may be of any time, where they aren't ``aged``.
        """
        known = self.record(guest)
        known.stood = known.felt_kib == guest.actual_kib
        known.rose_kib = 0
        if known.words is not None:
            known.rose_kib = max(0, guest.actual_kib - known.felt_kib)
        known.felt_kib = guest.actual_kib
        if known.words is None and not aged:
            known.words = words
            return
        believed = math.isfinite(known.words_s)
        known.former = known.words if believed else None
        elapsed_s = said_s - known.words_s if believed else 0.0
        known.words, known.words_s = words, said_s
        if known.moves_itself and not self.distance_kib(guest):
            # Whatever it looked like before it said so.
            known.best_kib, known.still_s = 0, 0.0
            known.progress_s = self.now_s
        # Who has room for all it has in swap is on its way back.
        recovers = words.swap_used_kib and (
            self._firm_kib(words) <= guest.actual_kib
        )
        known.hungry = self._hungry(known, elapsed_s)
        starved = known.hungry and not recovers
        known.starved = known.starved + 1 if starved else 0

    def firm_kib(self, known: Record) -> int | None:
        """Give the least that a guest needs by its own words, if any."""
        if known.words is None:
            return None
        firm_kib, chosen_kib = self._firm_kib(known.words), known.chosen_kib
        return firm_kib if chosen_kib is None else min(firm_kib, chosen_kib)

    def _firm_kib(self, words: MemorySample) -> int:
        limits = self._settings.demand
        used_kib = words.ram_used_kib + words.swap_used_kib
        room_kib = int(used_kib * limits.head_room_share)
        return used_kib + room_kib + limits.head_room_kib

    def _hungry(self, known: Record, elapsed_s: float) -> bool:
        words, former = known.words, known.former
        if words is None or former is None or elapsed_s <= 0:
            return False
        limits = self._settings.demand
        swapped_kib = grown(former.swap_in_kib, words.swap_in_kib)
        stalled_us = grown(former.psi_some_us, words.psi_some_us)
        stalled_share = stalled_us / _US_PER_S / elapsed_s
        return (
            swapped_kib / elapsed_s >= limits.swap_in_high_kib_s
            or stalled_share * 100 >= limits.psi_high_percent
        )

    @property
    def _settings(self) -> Settings:
        assert self.settings is not None
        return self.settings

    def look(self) -> None:
        """See every guest as a pass does that begins now."""
        now_s = self.now_s
        self.killed = []
        if self.host.unreachable:
            return
        self.killed = [g.name for g in self.guests if self._newly_killed(g)]
        self._end_excuses()
        for guest in self.guests:
            known = self.record(guest)
            if guest.target_kib != known.told_kib:
                self._heed(guest, known)
            self._look_at(guest, known, now_s)
        self._forget(now_s)

    def excuse(self, guest: SimulatedGuest) -> None:
        """Take note that somebody left a guest with whatever it has.

        Its programs may be killed until it has what it can't swap.
        """
        self._excused.add(guest.domain_id)

    def _end_excuses(self) -> None:
        for guest in self.guests:
            least_kib = guest.flavor_kib - guest.swap_kib
            if min(guest.actual_kib, guest.target_kib) >= least_kib:
                self._excused.discard(guest.domain_id)

    def _newly_killed(self, guest: SimulatedGuest) -> bool:
        """Whether its kernel killed, and had no other reason to.

        Who wants more than its flavor isn't helped by any swap rule.
        """
        before = self._kills.get(guest.domain_id, 0)
        self._kills[guest.domain_id] = guest.oom_kills
        if guest.oom_kills == before or guest.domain_id in self._excused:
            return False
        # Where it rests below its target is its own doing, also where it
        # would rest elsewhere by now, had it found the memory.
        lacked_kib = guest.target_kib - guest.killed_having_kib
        below_kib = min(TOLERANCE_KIB, max(0, lacked_kib))
        most_kib = guest.flavor_kib - max(below_kib, -guest.offset_kib)
        return guest.killed_needing_kib < most_kib

    def _heed(self, guest: SimulatedGuest, known: Record) -> None:
        """See what came true of a call that got no answer, or another's."""
        if known.asked_kib is None and guest.target_kib > known.told_kib:
            # No agent knows what one before it asked for, and what has not
            # come true yet when it begins.
            self.rob()
        known.told_kib = guest.target_kib
        if known.asked_kib not in (None, guest.target_kib):
            self.ask(guest, known, guest.target_kib)

    def ask(
        self, guest: SimulatedGuest, known: Record, asked_kib: int
    ) -> None:
        """Take note that a guest is asked for a size.

        How much nearer it has come since its last progress counts on: it
        may be asked for a little more each time it moves a little.
        """
        if known.asked_from is None:
            known.asked_from = known.rested_kib, known.best_kib
        known.asked_kib, known.may_keep = asked_kib, False
        self._measure_anew(guest, known)

    def _measure_anew(self, guest: SimulatedGuest, known: Record) -> None:
        assert known.asked_from is not None
        rested_kib, best_kib = known.asked_from
        moved_kib = max(0, best_kib - abs(rested_kib - guest.actual_kib))
        known.best_kib = self.distance_kib(guest) + moved_kib

    def _forget(self, now_s: float) -> None:
        self.away = [
            one
            for one in self.away
            if now_s - one.noticed_s < _FORGOTTEN_AFTER_S
            and one.guest.uuid not in self.host.guests
        ]
        for one in self.away:
            if not self.host.unreachable:
                one.noticed_s = min(one.noticed_s, now_s)
            # Who only observes keeps nothing.
            one.robbed = one.robbed or not self._settings.moves
        present = {guest.domain_id for guest in self.guests}
        for gone in self.records.keys() - present:
            del self.records[gone]

    def _look_at(
        self, guest: SimulatedGuest, known: Record, now_s: float
    ) -> None:
        lowest_kib = known.actual_kib - JITTER_KIB
        asked_kib = self.final_kib(guest)
        if known.actual_kib - asked_kib <= TOLERANCE_KIB:
            # Nobody asked for that: it rests elsewhere now.
            lowest_kib = min(known.actual_kib, asked_kib) - TOLERANCE_KIB
        if guest.actual_kib < lowest_kib:
            known.shrank_s, known.shrank_after_s = now_s, known.seen_s
        rests_kib = self._rests_kib(guest)
        most_kib = max(asked_kib, rests_kib)
        if guest.actual_kib > max(known.actual_kib, most_kib + TOLERANCE_KIB):
            # It hasn't heard yet that it isn't to grow any more.
            self.rob()
        if known.asked_from is None and rests_kib != known.rested_kib:
            # It rests elsewhere now, with no word: it hasn't moved by that.
            known.asked_from = known.rested_kib, known.best_kib
        if known.asked_from is not None:
            # What moved before it could feel the call counts, too.
            self._measure_anew(guest, known)
            known.asked_from = None
        known.rested_kib = rests_kib
        self._see_progress(guest, known, now_s)
        if known.still_s > 1.0 or misbehaves(guest):
            known.troubled_s = now_s
        if guest.uuid in self.held or now_s - known.seen_s > 5.0:
            known.troubled_s = now_s
        known.unseen_s = now_s - known.seen_s
        known.actual_kib, known.seen_s = guest.actual_kib, now_s

    def _see_progress(
        self, guest: SimulatedGuest, known: Record, now_s: float
    ) -> None:
        gap_kib = self.distance_kib(guest)
        looked_s = min(now_s - known.seen_s, _LONGEST_LOOK_S)
        # An agent knows of no offset at first, and measures to its target.
        seen_kib = abs(self.final_kib(guest) - guest.actual_kib)
        # Where it rests by its offset it may stir a little.
        near = min(gap_kib, seen_kib) <= MAX_OFFSET_KIB + TOLERANCE_KIB
        if near and gap_kib > TOLERANCE_KIB:
            known.near_s += looked_s
        elif near and seen_kib > TOLERANCE_KIB:
            known.stirs_s += looked_s
        # Who was found with less than its target may move its own balloon,
        # and has time until it has said that it doesn't.
        unknown = known.asked_kib is None and math.isinf(known.words_s)
        chose = unknown and guest.actual_kib < self.final_kib(guest)
        moved = known.best_kib - gap_kib >= TOLERANCE_KIB
        if moved:
            # Whoever asked for it, it follows.
            known.gave_up_s = -math.inf
        if near or chose or moved or known.may_keep:
            known.best_kib, known.still_s = gap_kib, 0.0
            known.progress_s = now_s
        else:
            if not known.still_s:
                # Who said that it moves its own balloon, and says so no
                # more, has to come from where it is.
                known.best_kib = max(known.best_kib, gap_kib)
            known.still_s += looked_s
        if moved or gap_kib <= TOLERANCE_KIB:
            known.rigid_from_s = now_s
        if gap_kib <= TOLERANCE_KIB:
            known.patient_s = math.inf
        if max(gap_kib, seen_kib) <= TOLERANCE_KIB and known.retried:
            known.failures = 0
        # An agent goes by the clock, also where nobody looked.
        still_s = max(known.still_s, now_s - known.progress_s)
        if still_s >= self._settings.progress.uncooperative_after_s:
            self.give_up(known)

    def give_up(self, known: Record) -> None:
        """Take note that a guest is left alone for a while, once a time."""
        if known.failed_s == known.progress_s:
            return
        limits = self._settings.progress
        delay_s = limits.retry_s * 2**known.failures
        known.rests_until_s = self.now_s + min(limits.max_retry_s, delay_s)
        if known.retried or not known.failures:
            known.lost_from_s = self.now_s
        known.failed_s, known.retried = known.progress_s, False
        known.failures += 1

    def may_be_retried(self, known: Record) -> bool:
        """Whether it may have been given up, and the back-off is over.

        Who goes by the clock gave it up earlier than who counts only the
        time in which somebody looked.
        """
        lost = known.failed_s == known.progress_s
        return lost and self.now_s >= known.rests_until_s

    def set_by_hand(self, guest: SimulatedGuest) -> None:
        """Take note that somebody asked a guest for another size.

        An agent may take that for the end of its back-off.
        """
        self.excuse(guest)
        self._begin_patience(guest)

    def took_back(self, guest: SimulatedGuest) -> None:
        """Take note that it has its whole flavor, which no agent gave it."""
        self._begin_patience(guest)
        self.record(guest).may_keep = guest.deflates

    def _begin_patience(self, guest: SimulatedGuest) -> None:
        self.rob()
        known = self.records.get(guest.domain_id)
        if known is not None:
            # An agent may hold its former patience against it.
            known.patient_s = min(known.patient_s, known.progress_s)
            known.still_s, known.progress_s = 0.0, self.now_s
            known.gave_up_s = -math.inf

    def distance_kib(self, guest: SimulatedGuest) -> int:
        """Give how far a guest is from where it was asked to be."""
        rests_kib = self._rests_kib(guest)
        known = self.records.get(guest.domain_id)
        if known is not None and known.moves_itself:
            return max(0, guest.actual_kib - rests_kib)
        return abs(rests_kib - guest.actual_kib)

    def _rests_kib(self, guest: SimulatedGuest) -> int:
        return self.final_kib(guest) + guest.offset_kib

    def final_kib(self, guest: SimulatedGuest) -> int:
        """Give what it was last asked for, arrived or not."""
        known = self.records.get(guest.domain_id)
        if known is None or known.asked_kib is None:
            return guest.target_kib
        return known.asked_kib

    def floor_kib(self, guest: SimulatedGuest) -> int:
        """Give its floor by the options."""
        told = guest.metadata
        return self._settings.floor_rule.floor_kib(
            guest.flavor_kib, told.swap_kib, told.floor_kib
        )

    def fresh(self, guest: SimulatedGuest) -> bool:
        """Whether it has said something believable lately."""
        known = self.record(guest)
        return self.now_s - known.words_s <= self.max_age_s

    max_age_s = 15.0

    def growth_kib(self, guest: SimulatedGuest, most: bool = False) -> int:
        """Give the least, or the most, it may take without being asked again.

        Where it has rested near its target, that distance may be taken for
        its own: it is learnt, not known. Nobody counts on more than a little
        of it where it is below.
        """
        known = self.record(guest)
        rests_kib = self.final_kib(guest)
        learnt_kib = self._learnt_kib(known)
        if most:
            rests_kib += max(0, guest.offset_kib) + learnt_kib
        else:
            below_kib = min(TOLERANCE_KIB, learnt_kib)
            rests_kib += min(0, guest.offset_kib) - below_kib
        return max(0, rests_kib - guest.actual_kib)

    def above_kib(self, guest: SimulatedGuest) -> int:
        """Give how far above its target it may have been learnt to rest."""
        above_kib = guest.actual_kib - self.final_kib(guest)
        return max(0, min(above_kib, self._learnt_kib(self.record(guest))))

    def _learnt_kib(self, known: Record) -> int:
        """Give the most that an agent may have learnt of its distance."""
        if known.near_s >= _CALIBRATED_S:
            return MAX_OFFSET_KIB
        return TOLERANCE_KIB if known.stirs_s >= _CALIBRATED_S else 0

    def set_aside_kib(self, reboots: bool = True) -> int:
        """Give what is promised to starts and reboots, and not yet theirs."""
        unbuilt_kib = listed_kib = 0
        for claim in self.claims:
            guest = self.host.guests.get(claim.uuid)
            if guest is None:
                unbuilt_kib += claim.due_kib
            elif guest.busy:
                # What it costs beside its memory it has taken by now.
                has_kib = guest.actual_kib + guest.overhead_kib
                due_kib = claim.granted_kib - has_kib
                listed_kib += max(0, due_kib - self.growth_kib(guest))
        if reboots:
            unbuilt_kib += self._kept_for_reboots_kib()
        return unbuilt_kib + listed_kib

    def _kept_for_reboots_kib(self) -> int:
        """Give what guests come back with that are gone for a moment."""
        return sum(
            one.guest.restart_kib + one.guest.overhead_kib
            for one in self.away
            if not one.robbed
            and one.noticed_s <= self.now_s < one.gone_s + KEPT_FOR_S
        )

    def spendable_kib(self, surely: bool = False) -> int:
        """Give what may be granted now: free, and promised to nobody.

        ``surely``: whatever offsets an agent has learnt of its guests.
        """
        growing_kib = sum(self.growth_kib(g, surely) for g in self.guests)
        left_kib = self.host.free_kib - growing_kib - self.set_aside_kib()
        return left_kib - self._settings.slack_kib

    def wanted_kib(self) -> int:
        """Give the most that starts may wait for."""
        return sum(
            claim.reservation.request.flavor_kib
            + claim.reservation.overhead_kib
            for claim in self.claims
            if claim.reservation.granted_kib is None
        )

    def withheld_kib(self) -> int:
        """Give the most that may be kept back for what can't be known.

        Guests that are gone may come back, and to an agent that is new what
        is in build may look like the host's own.
        """
        away_kib = sum(
            one.guest.flavor_kib + one.guest.overhead_kib for one in self.away
        )
        return away_kib + self.host.building_kib

    def saw_nothing(self) -> None:
        """Take note that the pass which looked just now has failed."""
        for one in self.away:
            if one.noticed_s == self.now_s:
                one.noticed_s = math.inf

    def rob(self) -> None:
        """Take note that somebody took memory without asking."""
        for promised in (*self.claims, *self.away):
            promised.robbed = True

    def leave(self, guest: SimulatedGuest, back_s: float) -> None:
        """Take note that a guest ended; it may come back."""
        # Who is just being started has its start's memory, if any.
        starting = any(claim.uuid == guest.uuid for claim in self.claims)
        unknown = guest.domain_id not in self.prepared
        robbed = unknown or starting
        self.away.append(Away(guest, self.now_s, back_s, robbed))


def grown(before: int | None, now: int | None) -> int:
    """Give by how much a guest's counter grew; 0 where it went back."""
    return max(0, (now or 0) - (before or 0)) if before is not None else 0


def misbehaves(guest: SimulatedGuest) -> bool:
    """Whether any fault of the guest is switched on."""
    return bool(
        guest.stuck
        or guest.intermittent_s
        or guest.offset_kib
        or guest.silent
        or guest.lie
        or guest.garbage
        or guest.busy
        or guest.exempt
        or guest.fails_calls
        or guest.slow_calls_s
        or guest.hangs_calls
        or guest.dies_at_call
    )
