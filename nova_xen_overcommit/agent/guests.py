# SPDX-License-Identifier: Apache-2.0
"""What the agent remembers of each running guest between two passes."""

import dataclasses
import logging
import math
from typing import NamedTuple

from nova_xen_overcommit.agent.hypervisor.base import Domain
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy import floor, targets
from nova_xen_overcommit.policy import probe as outside
from nova_xen_overcommit.policy.demand import (
    GuestDemand,
    Observation,
    observe,
)
from nova_xen_overcommit.policy.limits import Limit
from nova_xen_overcommit.policy.progress import (
    Progress,
    Status,
    advance,
    start,
)
from nova_xen_overcommit.policy.refusals import NO_REFUSALS, Refusals
from nova_xen_overcommit.policy.sample import MemorySample
from nova_xen_overcommit.policy.traffic import DiskCounters

LOG = logging.getLogger(__name__)

# A guest needs this long, at most, to boot and start its publisher. If it
# has never spoken by then it gets what its flavor says.
BOOT_GRACE_S = 180.0
# When it is watched from outside for the first time: its boot is over by
# then, and it may be known to be calm when the grace ends.
_WATCHED_AFTER_S = BOOT_GRACE_S / 2
# So much above its target a guest has taken, not kept; and so long after it
# was asked its balloon may be on an earlier way still (QEMU tells of each
# balloon once a second).
_TAKEN_KIB = 8 * 1024
_ON_ITS_WAY_S = 2.0
# A guest boots with all of its memory; its driver, once it is there, speaks
# and begins to yield what was not granted.
_DRIVER_STARTS_S = 10.0
# Less than this from one pass to the next is no step of a balloon.
_JITTER_KIB = 512
# So far below every target HVM guests of libxl rest for good. Who rests lower
# may have stopped on its way.
_NEVER_TAKEN_KIB = 1024
# How far above its choice the cap of a guest is that moves its own balloon.
_CAP_MARK_KIB = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Move:
    """The last change of a guest's target: when, from what, and why."""

    time_s: float
    from_kib: int
    reason: str


class Reckoning(NamedTuple):
    """What one guest adds to the sums over its host; KiB, or 1 for itself.

    Of its ``flavor_kib`` it is told which part isn't Nova's, counts in full,
    and is never ballooned. ``floor_kib`` is 0 for who is never ballooned.
    ``known_kib`` is its demand by its own figures, 0 without believable ones,
    and ``used_kib`` what it uses by them.
    """

    flavor_kib: int
    foreign_kib: int
    foreign: int
    full_kib: int
    exempt_kib: int
    floor_kib: int
    demand_kib: int
    idle_kib: int
    reclaimable_kib: int
    left_kib: int
    swap_kib: int
    overhead_kib: int
    uncooperative: int
    known_kib: int
    used_kib: int


class _Ranks(NamedTuple):
    """Parts of a demand as :class:`targets.Guest` has them."""

    hoped_kib: int = 0
    firm_kib: int | None = None
    bare_kib: int | None = None


# Of who says nothing all is firm.
_UNRANKED = _Ranks()


@dataclasses.dataclass(slots=True)
class TrackedGuest:
    """One guest. Sizes in KiB, times on the monotonic clock.

    ``held`` says why its client wants it left alone, "" when it doesn't.
    ``shrank_s`` is when it was last seen with less than before, ``felt_kib``
    what it had when it last spoke. Until ``cool_until_s`` it may be about
    to use what it was given above ``cool_kib``. ``firm_need_kib`` is the
    part of its demand that is no foresight.
    ``balloons_itself`` says that its target is but a cap, below which it
    does as it wants; it may have fallen silent since it said so.
    ``restart_kib`` is what it comes back with when it reboots, 0 as long
    as that was not said; ``restart_due``: that it is to be said, or said
    anew since its floor has changed. ``sensor`` names whose sample it is;
    ``decision`` is what was decided in the last pass, ``limits`` what kept
    it from more; ``status_s`` is since when its progress has its status,
    ``spoke_s`` since when it speaks.
    ``took_back``: its balloon has deflated unasked since the last pass.
    ``asked_for_kib`` is what it was asked for where that differs from
    ``target_kib``, since nobody may tell it to keep what it took back; else
    None.
    ``heard`` says that a sensor found words of it, believed or not;
    ``probe`` is what is seen of one that never said any, from outside.
    ``refusals`` are the calls for it that the hypervisor refused of late.
    """

    domain: Domain
    floor_kib: int
    first_seen_s: float
    target_kib: int
    progress: Progress
    demand: GuestDemand | None = None
    sample: MemorySample | None = None
    now_s: float = 0.0
    cool_until_s: float = 0.0
    cool_kib: int = 0
    held: str = ""
    reason: str = "just found"
    starved_s: float = 0.0
    shrank_s: float = -math.inf
    felt_kib: int = 0
    restart_kib: int = 0
    restart_due: bool = True
    took_back: bool = False
    asked_for_kib: int | None = None
    spoke_s: float = math.inf
    speaks: bool = False
    starved: bool = False
    balloons_itself: bool = False
    frozen: Limit | None = Limit.NO_DATA
    demand_kib: int = 0
    firm_need_kib: int = 0
    sensor: str = ""
    decision: targets.Decision | None = None
    limits: tuple[Limit, ...] = ()
    last_move: Move | None = None
    status_s: float = 0.0
    heard: bool = False
    probe: outside.Probe | None = None
    refusals: Refusals = NO_REFUSALS
    _view: targets.Guest | None = None
    _reckoning: Reckoning | None = None
    _reckoned_for: tuple[int, bool] = (0, False)

    @classmethod
    def found(
        cls, domain: Domain, now_s: float, rule: floor.FloorRule
    ) -> "TrackedGuest":
        """Begin to track a guest; its target is what was last asked."""
        asked_kib = domain.asked_kib
        return cls(
            domain=domain,
            floor_kib=_floor_kib(domain, rule),
            first_seen_s=now_s,
            target_kib=asked_kib,
            demand_kib=domain.flavor_kib,
            firm_need_kib=domain.flavor_kib,
            progress=start(asked_kib, domain.actual_kib, now_s),
            now_s=now_s,
            status_s=now_s,
        )

    def heed_rule(self, rule: floor.FloorRule) -> None:
        """Take the floor that the host's options make now."""
        self._take_floor(_floor_kib(self.domain, rule))
        self._judge()

    def _take_floor(self, floor_kib: int) -> None:
        if floor_kib == self.floor_kib:
            return
        self.floor_kib = floor_kib
        self.restart_due = True
        self._view = None

    def refresh(
        self,
        domain: Domain,
        sample: MemorySample | None,
        now_s: float,
        settings: Settings,
        disks: DiskCounters | None = None,
    ) -> None:
        """Take in what was measured in this pass.

        ``disks`` is what the host counted, where it was asked for that.
        """
        elapsed_s, self.now_s = max(0.0, now_s - self.now_s), now_s
        self.took_back = False
        if not self._rests(domain, sample):
            self._take_in(domain, sample, disks, settings)
        if self.starved:
            self.starved_s += elapsed_s

    def _rests(self, domain: Domain, sample: MemorySample | None) -> bool:
        """Whether nothing is new, so that all is as it was judged.

        Most guests rest from one pass to the next: it is their number that
        a pass costs.
        """
        demand = self.demand
        if domain is not self.domain or sample is not self.sample:
            return False
        if sample is None or demand is None:
            return False
        if self.held or self.frozen is Limit.HELD:
            return False
        return (
            sample.is_fresh(self.now_s)
            and demand.actual_kib == domain.actual_kib
            and self.progress.rests(self.target_kib, domain.actual_kib)
        )

    def _take_in(
        self,
        domain: Domain,
        sample: MemorySample | None,
        disks: DiskCounters | None,
        settings: Settings,
    ) -> None:
        self._view = None
        if domain.actual_kib < self.domain.actual_kib - _JITTER_KIB:
            self.shrank_s = self.now_s
        if sample is not None and sample is not self.sample:
            # It may have spoken at any time since the last pass.
            self.felt_kib = max(self.domain.actual_kib, domain.actual_kib)
        if domain.metadata != self.domain.metadata:
            self._take_floor(_floor_kib(domain, settings.floor_rule))
        self._heed(domain)
        self._give_up_what_it_yields(domain)
        self.took_back = self._has_taken(domain)
        self.domain = domain
        if sample is not None:
            self._observe(sample, settings)
        before = self.progress.status
        self.progress = advance(
            self.progress,
            self.target_kib,
            domain.actual_kib,
            self.now_s,
            settings.progress,
            may_rest_below=self._may_rest_below,
        )
        if self.progress.status is not before:
            self.status_s = self.now_s
        self._look(disks, settings)
        self._judge()

    def _heed(self, domain: Domain) -> None:
        """Take for its target what somebody else has asked of it.

        That may be an operator, a call that hung, or one that a former
        agent made and that was under way still when this one began.
        """
        if domain.asked_kib in (self.domain.asked_kib, self.target_kib):
            return
        LOG.info(
            "Guest %s was asked by somebody for %d KiB, not %d",
            domain.name,
            domain.asked_kib,
            self.target_kib,
        )
        self.was_asked(domain.asked_kib)
        self.reason = "asked for by somebody else"

    def was_asked(self, target_kib: int) -> None:
        """Take what it was asked for, or may have been, for its target."""
        self.target_kib, self.asked_for_kib = target_kib, None

    def keep_untold(self, kib: int) -> None:
        """Take for its target what it has without having been asked."""
        if self.asked_for_kib is None:
            self.asked_for_kib = self.target_kib
        self.target_kib = kib

    def _give_up_what_it_yields(self, domain: Domain) -> None:
        """Let it go back to where it was asked to be.

        Its balloon may still be on its way there, or be again after a
        reboot: what it yields then is nobody's to wait for.
        """
        if self.asked_for_kib is None:
            return
        kept_kib = min(self.target_kib, domain.actual_kib)
        self.target_kib = max(self.asked_for_kib, kept_kib)

    def _has_taken(self, domain: Domain) -> bool:
        """Tell whether it took memory that nobody gave it."""
        if not domain.deflates or domain.actual_kib <= self.domain.actual_kib:
            return False
        if self.now_s - self.progress.asked_s < _ON_ITS_WAY_S:
            return False
        if self.now_s - self.spoke_s < _DRIVER_STARTS_S:
            return False
        given_kib = self.target_kib + self.progress.offset_kib
        return domain.actual_kib > given_kib + _TAKEN_KIB

    def _observe(self, sample: MemorySample, settings: Settings) -> None:
        demand = self.demand
        # Most guests say nothing new from one pass to the next.
        rests = demand and demand.actual_kib == self.domain.actual_kib
        if rests and sample is self.sample:
            return
        self.sample = sample
        self.spoke_s = min(self.spoke_s, self.now_s)
        self.balloons_itself = sample.self_more_kib is not None
        self.demand = observe(
            demand, self._observation(sample), settings.demand
        )

    def _look(self, disks: DiskCounters | None, settings: Settings) -> None:
        """Take in what is seen from outside of who never spoke."""
        if not settings.probe_silent or not self.may_be_watched:
            self.probe = None
            return
        look = outside.Look(
            time_s=self.now_s,
            counters=disks,
            progress=self.progress,
            flavor_kib=self.domain.flavor_kib,
            floor_kib=self.floor_kib,
            swap_kib=self.domain.metadata.swap_kib,
        )
        busy = self.domain.busy or self.held
        lost = self.progress.status is Status.UNCOOPERATIVE
        if self.probe is not None and (busy or lost):
            self.probe = outside.paused(self.probe, look)
        else:
            self.probe = outside.observe(self.probe, look, settings.probe)

    def _judge(self) -> None:
        self._reckoning = None
        sample, demand = self.sample, self.demand
        self.speaks = sample is not None and sample.is_fresh(self.now_s)
        self.starved = self.speaks and demand is not None and demand.starved
        self.frozen = self._why_frozen()
        probed = self.probed
        if self.speaks and demand is not None:
            # Its floor may have risen since it spoke.
            self.demand_kib = max(self.floor_kib, demand.demand_kib)
            firm_kib = max(self.floor_kib, demand.firm_kib)
            self.firm_need_kib = min(self.demand_kib, firm_kib)
        elif probed is not None:
            self.starved = probed.hurts and probed.took
            self.demand_kib = self.firm_need_kib = probed.demand_kib
        else:
            self.demand_kib = self.firm_need_kib = self.domain.flavor_kib

    def _observation(self, sample: MemorySample) -> Observation:
        return Observation(
            sample=sample,
            actual_kib=self.domain.actual_kib,
            flavor_kib=self.domain.flavor_kib,
            floor_kib=self.floor_kib,
        )

    @property
    def _may_rest_below(self) -> bool:
        """Whether less than its target may be its own choice.

        Who was found so, and hasn't spoken yet, may be one that moves its
        own balloon.
        """
        if self.sample is not None:
            return self.balloons_itself
        return self.last_move is None and not self.silent_from_birth

    @property
    def left_kib(self) -> int:
        """What it left free below its cap, and may take without asking."""
        return max(0, self.to_come_kib) if self.balloons_itself else 0

    @property
    def _felt_last_step(self) -> bool:
        """Whether it has spoken since it last lost memory.

        Until then its figures say how it was before, and a further step
        down would be taken blindly. Who has left some of what it may have
        feels nothing when that is taken. (That it was once taken to rest
        above its target is nothing it left.)
        """
        below_kib = self.target_kib - self.domain.actual_kib
        if min(self.left_kib, below_kib) > _CAP_MARK_KIB:
            return True
        return self.sample is not None and self.sample.time_s > self.shrank_s

    @property
    def silent_from_birth(self) -> bool:
        """Whether it should have spoken by now but never did."""
        age_s = self.now_s - self.first_seen_s
        return self.sample is None and age_s > BOOT_GRACE_S

    @property
    def may_be_watched(self) -> bool:
        """Whether it may be looked at from outside.

        Only who never said anything; who did, and is silent now, is left
        alone. What its swap disk holds must be known.
        """
        if self.sample is not None or self.heard or self.domain.exempt:
            return False
        if self.domain.disks is None or not self.domain.metadata.swap_kib:
            return False
        return self.now_s - self.first_seen_s > _WATCHED_AFTER_S

    @property
    def probed(self) -> outside.Probe | None:
        """What is seen from outside, if that decides about it."""
        if self.probe is None or not self.silent_from_birth:
            return None
        return self.probe

    @property
    def _silent_in_need(self) -> bool:
        """Whether the last it said was that it is starved.

        A guest that thrashes may be too slow to speak, and needs memory to
        speak again.
        """
        return self.demand is not None and self.demand.starved

    @property
    def hands_off(self) -> str:
        """Why it must not be touched in this pass, "" when it may."""
        if self.frozen is None:
            return ""
        causes = self.domain.exempt or self.domain.busy or self.held
        if causes or self.frozen is Limit.UNCOOPERATIVE:
            return causes or "uncooperative"
        return "no believable figures"

    def _why_frozen(self) -> Limit | None:
        """Give the rule by which it must not be touched, if any."""
        if self.domain.exempt:
            return Limit.EXEMPT
        if self.domain.busy:
            return Limit.BUSY
        if self.held:
            return Limit.HELD
        if self.progress.status is Status.UNCOOPERATIVE:
            return Limit.UNCOOPERATIVE
        if self.speaks or self.silent_from_birth or self._silent_in_need:
            return None
        return Limit.NEVER_SPOKE if self.sample is None else Limit.NO_DATA

    @property
    def hold(self) -> Limit | None:
        """The rule by which nothing may be taken from it now, if any."""
        if self.frozen or not self.progress.cooperates:
            return self.frozen or Limit.STUCK
        if self.refused:
            return Limit.REFUSED
        probed = self.probed
        if probed is not None:
            if not probed.opens:
                return Limit.STARVED if self.starved else Limit.PROBED
            return self._cooling
        if not self.speaks:
            return Limit.NO_DATA if self.sample else Limit.NEVER_SPOKE
        if self.starved:
            return Limit.STARVED
        return self._cooling

    @property
    def _cooling(self) -> Limit | None:
        return Limit.COOL_DOWN if self._cools_down else None

    @property
    def refused(self) -> bool:
        """Whether it is left alone since its calls are refused."""
        return self.refusals.last(self.now_s)

    def was_answered(self, *, refused: bool) -> None:
        """Take note of how the hypervisor answered a call for it."""
        if refused:
            self.refusals = self.refusals.one_more(self.now_s)
            self._view = self._reckoning = None
        else:
            self.refusals = NO_REFUSALS

    def was_given(self, had_kib: int, cool_down_s: float) -> None:
        """Take note that it was given memory above ``had_kib``."""
        self.cool_kib = had_kib
        self.cool_until_s = self.now_s + cool_down_s

    @property
    def _cools_down(self) -> bool:
        """Whether it was given memory just now, and may be about to use it.

        It isn't when it needs less than it had before that.
        """
        if self.now_s >= self.cool_until_s:
            return False
        return self.firm_need_kib >= self.cool_kib

    def in_full(self, warm_up_s: float) -> str:
        """Why it counts with its whole flavor, "" when it doesn't.

        A guest that is only held still for a moment keeps the reckoning
        it had.
        """
        if self.domain.exempt:
            return self.domain.exempt
        if self.progress.status is Status.UNCOOPERATIVE:
            return "uncooperative"
        if not self.speaks:
            # A probed guest may take all back at any time, at once.
            probed = self.probed is not None
            return "probed from outside" if probed else "no believable figures"
        return "in its warm-up" if self._warms_up(warm_up_s) else ""

    def _warms_up(self, warm_up_s: float) -> bool:
        return self.now_s - self.first_seen_s < warm_up_s

    @property
    def _wanted_kib(self) -> int:
        """Its demand without the bounds of floor and flavor."""
        if not self.speaks or self.demand is None:
            return self.demand_kib
        if self.balloons_itself:
            return self._cap_for(self.demand.wanted_kib)
        return self.demand.wanted_kib

    def _cap_for(self, wish_kib: int) -> int:
        """Give the cap for a guest that wants so much.

        libxl sets a guest's target and what it may have at most together,
        so its kernel takes each cap for its target. The guest knows it for
        the host's by its being none that it chose itself: hence a cap is a
        little above the choice, and stays while it is.
        """
        if 0 <= self.target_kib - wish_kib <= _CAP_MARK_KIB:
            return self.target_kib
        return wish_kib + _CAP_MARK_KIB

    def reckoned(self, warm_up_s: float) -> Reckoning:
        """Give what it adds to the host's sums; the same while it rests."""
        # Both change while nothing else does.
        found_for = (self.target_kib, self._warms_up(warm_up_s))
        reckoning = self._reckoning
        if reckoning is None or self._reckoned_for != found_for:
            reckoning = self._reckon(warm_up_s)
            # So do refusals end.
            ends = self.refusals is not NO_REFUSALS
            self._reckoning = None if ends else reckoning
            self._reckoned_for = found_for
        return reckoning

    def _reckon(self, warm_up_s: float) -> Reckoning:
        domain, flavor_kib = self.domain, self.domain.flavor_kib
        known = self.demand if self.speaks else None
        return Reckoning(
            flavor_kib=flavor_kib,
            foreign_kib=flavor_kib if domain.foreign else 0,
            foreign=int(domain.foreign),
            full_kib=flavor_kib if self.in_full(warm_up_s) else 0,
            exempt_kib=flavor_kib if domain.exempt else 0,
            floor_kib=0 if domain.exempt else self.floor_kib,
            demand_kib=self.demand_kib,
            idle_kib=0 if self.frozen else self.idle_kib,
            reclaimable_kib=self.could_yield_kib,
            left_kib=self.left_kib,
            swap_kib=self.counted_swap_kib,
            overhead_kib=domain.overhead_kib,
            uncooperative=int(self.progress.status is Status.UNCOOPERATIVE),
            known_kib=self.demand_kib if known else 0,
            used_kib=known.used_kib if known else 0,
        )

    def planned(self) -> targets.Guest:
        """Give the planner's view; the same one as long as it rests."""
        view = self._view
        if view is None or view.target_kib != self.target_kib:
            view = self._viewed()
            # These end while nothing else changes.
            passes = self._cools_down or self.refused
            self._view = None if passes else view
        return view

    def _viewed(self) -> targets.Guest:
        hold, known = self.hold, self.demand
        ranks = self._ranks_kib(known) if known and self.speaks else _UNRANKED
        return targets.Guest(
            uuid=self.domain.uuid,
            flavor_kib=self.domain.flavor_kib,
            floor_kib=self._planned_floor_kib,
            actual_kib=self.domain.actual_kib,
            target_kib=self.target_kib,
            left_kib=self.left_kib,
            demand_kib=self._wanted_kib,
            used_kib=known.used_kib if known else self.demand_kib,
            weight=self.domain.metadata.weight,
            growable=self._follows,
            shrinkable=hold is None,
            starved=self.starved,
            hold=hold,
            yields_if_short=(
                hold is Limit.STARVED and self.speaks and not self._cools_down
            ),
            felt_kib=0 if self._felt_last_step else self.felt_kib,
            hoped_kib=ranks.hoped_kib,
            firm_kib=ranks.firm_kib,
            bare_kib=ranks.bare_kib,
        )

    def _ranks_kib(self, known: GuestDemand) -> _Ranks:
        if not self.balloons_itself:
            return _Ranks(known.hoped_kib, known.firm_kib, known.bare_kib)
        # What it chose is firm, and nothing else: it hopes for nothing, and
        # that it is starved is no choice.
        chosen_kib = self._cap_for(known.firm_kib)
        return _Ranks(0, chosen_kib, chosen_kib)

    @property
    def _follows(self) -> bool:
        """Whether it can be expected to do as it is asked."""
        if self.frozen or self.refused:
            return False
        return self.progress.cooperates

    @property
    def stalls(self) -> bool:
        """Whether its balloon presses for what its kernel can't find."""
        return self.probed is not None and self.probed.stalled

    @property
    def _planned_floor_kib(self) -> int:
        """Its floor; one step below what it has for who is probed."""
        probed = self.probed
        if probed is None or not probed.opens:
            return self.floor_kib
        return max(self.floor_kib, probed.demand_kib)

    @property
    def counted_swap_kib(self) -> int:
        """How much of its swap backs its flavor."""
        domain = self.domain
        return floor.counted_swap_kib(
            domain.flavor_kib, domain.metadata.swap_kib
        )

    @property
    def idle_kib(self) -> int:
        """What it has above its demand; none when it can't be believed."""
        return max(0, self.domain.actual_kib - self.demand_kib)

    @property
    def could_yield_kib(self) -> int:
        """What a start could take from it, once its cool-down is over."""
        if self.starved or not self._follows:
            return 0
        has_kib = self.domain.actual_kib + self.left_kib
        return max(0, has_kib - self.firm_need_kib)

    @property
    def short_kib(self) -> int:
        """What is missing to its firm need, whether to be had or not."""
        lack_kib = self.firm_need_kib - self.target_kib
        if lack_kib <= 0 or self.frozen or not self.progress.cooperates:
            return 0
        return lack_kib

    @property
    def to_come_kib(self) -> int:
        """What it will have more, or less, when it has followed."""
        resting_kib = self.target_kib + self.progress.offset_kib
        return resting_kib - self.domain.actual_kib

    @property
    def growing_kib(self) -> int:
        """What it may take at any time without being asked again.

        That it was learnt to rest below its target keeps it from nothing.
        """
        below_kib = self.target_kib - self.domain.actual_kib
        return max(0, self.to_come_kib, below_kib - _NEVER_TAKEN_KIB)

    def would_lack(self, sample: MemorySample, settings: Settings) -> bool:
        """Tell whether it lacks memory if ``sample`` is its newest.

        Changes nothing, so that any thread may ask. What only silence
        forbids is allowed: it has just spoken.
        """
        domain = self.domain
        if domain.exempt or domain.busy or self.held:
            return False
        if not self.progress.cooperates:
            return False
        seen = self._observation(sample)
        demand = observe(self.demand, seen, settings.demand)
        if demand.starved:
            return demand.demand_kib > self.target_kib
        firm_kib = min(demand.demand_kib, demand.firm_kib)
        lack_kib = max(self.floor_kib, firm_kib) - self.target_kib
        return lack_kib >= max(1, settings.targets.dead_band_kib)


def _floor_kib(domain: Domain, rule: floor.FloorRule) -> int:
    told = domain.metadata
    return rule.floor_kib(domain.flavor_kib, told.swap_kib, told.floor_kib)
