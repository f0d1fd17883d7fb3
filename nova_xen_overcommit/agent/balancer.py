# SPDX-License-Identifier: Apache-2.0
"""One pass after another: sense, decide, act, report.

The decisions are in :mod:`nova_xen_overcommit.policy`; here they meet the
hypervisor. A pass never waits for memory: donors are asked first, and what
they have yielded by the next pass is granted then. Memory is granted only
out of what is measured free, so a donor that doesn't yield yields nothing.
"""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import restarts, starts
from nova_xen_overcommit.agent.guests import Move, TrackedGuest
from nova_xen_overcommit.agent.hypervisor.base import (
    Domain,
    HostMemory,
    Hypervisor,
    Unanswered,
)
from nova_xen_overcommit.agent.probing import Outside
from nova_xen_overcommit.agent.reservations import Leases
from nova_xen_overcommit.agent.sensors.base import Sensor
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.agent.unlisted import Unlisted
from nova_xen_overcommit.policy import grants, targets
from nova_xen_overcommit.policy.floor import FloorRule
from nova_xen_overcommit.policy.limits import Limit
from nova_xen_overcommit.policy.progress import Status
from nova_xen_overcommit.policy.sample import MemorySample
from nova_xen_overcommit.policy.traffic import DiskCounters

LOG = logging.getLogger(__name__)

# A guest that doesn't follow is left where it is, but for such a distance.
_NEAR_KIB = 4 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class HostView:
    """The host in one pass; KiB.

    ``spendable_kib`` is measured free memory less the slack and less what
    is already promised to growing guests and granted starts.
    ``expected_free_kib`` is what will be free once all moves are done.
    """

    memory: HostMemory
    spendable_kib: int
    expected_free_kib: int

    @property
    def usable_kib(self) -> int:
        """What guests may have in all, their overhead included."""
        return self.memory.physical_kib - self.memory.kept_kib


@dataclasses.dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass saw and did.

    ``host`` is as the pass left it. ``short_kib`` is what guests lack to
    their needs, ``starved`` whether one of those is starved; ``wanted_kib``
    is what starts still wait for.
    """

    host: HostView
    short_kib: int
    wanted_kib: int
    moving: bool
    starved: bool

    @property
    def unfinished(self) -> bool:
        """Whether the next pass should come soon."""
        return self.moving or bool(self.wanted_kib or self.short_kib)


class Balancer:
    """Moves memory between the guests of one host."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        sensors: Sequence[Sensor],
        leases: Leases,
        monotonic_s: Callable[[], float],
    ) -> None:
        self._hypervisor = hypervisor
        self.hypervisor_kind = hypervisor.kind
        self._sensors = sensors
        self._leases = leases
        self._monotonic_s = monotonic_s
        self._unlisted = Unlisted()
        self._failing: set[str] = set()
        self._sources: dict[str, str] = {}
        self._refused: set[str] = set()
        self._heard: set[str] = set()
        self._floor_rule: FloorRule | None = None
        self._outside = Outside(hypervisor, monotonic_s)
        self._restarts = restarts.RestartDesk(hypervisor, leases)
        self.guests: dict[str, TrackedGuest] = {}
        self.moves = 0
        self.errors = 0

    @property
    def failing_sensors(self) -> frozenset[str]:
        """The sensors that could not be read in the last pass."""
        return frozenset(self._failing)

    def run_pass(self, settings: Settings) -> PassResult:
        """Do one pass.

        :raises HypervisorError: the host can't be measured; nothing was
            moved then.
        """
        memory, now_s = self._sense(settings)
        self._follow_takers(settings)
        host = self._view(memory, settings)
        wanted_kib = self._serve_starts(host, settings, now_s)
        if self._leases.reservations():
            host = self._view(memory, settings)
        self._refused.clear()
        if settings.moves and self._give_up_on_uncooperative():
            # What they were to take is nobody's now.
            host = self._view(memory, settings)
        plan = self._plan(host, wanted_kib, settings)
        if settings.moves:
            self._shrink(plan)
            self._grow(plan, host, wanted_kib, settings)
        self._note(plan, settings)
        return self._result(self._view(memory, settings), wanted_kib)

    def _result(self, host: HostView, wanted_kib: int) -> PassResult:
        short_kib, starved = 0, False
        for guest in self.guests.values():
            lack_kib = guest.short_kib
            if lack_kib:
                short_kib += lack_kib
                starved = starved or guest.starved
        return PassResult(
            host=host,
            short_kib=short_kib,
            wanted_kib=wanted_kib,
            moving=self._is_moving(),
            starved=starved,
        )

    def _sense(self, settings: Settings) -> tuple[HostMemory, float]:
        """Give the host's memory and when all had been read."""
        domains = self._hypervisor.domains()
        memory = self._hypervisor.host_memory(domains)
        samples = self._read(domains)
        disks = self._look(domains, settings)
        # Not earlier: figures found in this pass may be older than what
        # was measured in it, and must not look newer.
        now_s = self._monotonic_s()
        before = self.guests
        self._track(domains, samples, disks, now_s, settings)
        if settings.moves:
            self._restarts.keep(before, self.guests, now_s)
            self._restarts.prepare(self.guests.values(), settings)
        reservations = self._leases.reservations()
        memory = self._unlisted.steady(
            memory, reservations, self.guests, lambda: self._freed_kib(domains)
        )
        return memory, now_s

    def _freed_kib(self, domains: Sequence[Domain]) -> int:
        """Give how much of what ``domains`` held they hold no more.

        :raises HypervisorError: nobody knows.
        """
        now_kib = {
            one.domain_id: one.held_kib for one in self._hypervisor.domains()
        }
        return sum(
            max(0, one.held_kib - now_kib.get(one.domain_id, 0))
            for one in domains
        )

    def _read(self, domains: Sequence[Domain]) -> Mapping[str, MemorySample]:
        samples: dict[str, MemorySample] = {}
        # The first sensor in the list is preferred, so it is read last.
        self._sources = {}
        self._heard.clear()
        for sensor in reversed(self._sensors):
            name = getattr(sensor, "name", type(sensor).__name__)
            try:
                found = sensor.read(domains)
                samples.update(found)
                self._heard.update(getattr(sensor, "heard", ()))
                self._sources.update(dict.fromkeys(found, name))
                self._failing.discard(name)
            except Exception as error:  # noqa: BLE001
                self._sensor_failed(name, error)
        return samples

    def _look(
        self, domains: Sequence[Domain], settings: Settings
    ) -> Mapping[str, DiskCounters]:
        """Look from outside at guests that never spoke, if that is wanted.

        While a sensor fails nobody knows who speaks.
        """
        if not settings.probe_silent or self._failing:
            return {}
        return self._outside.look(self.guests, domains)

    def _sensor_failed(self, name: str, error: Exception) -> None:
        """Log a failure when it begins; one that lasts fills no log."""
        self.errors += 1
        if name in self._failing:
            return
        self._failing.add(name)
        expected = isinstance(error, exception.OvercommitError)
        LOG.warning(
            "Sensor %s fails, guests' figures grow old: %s: %s",
            name,
            type(error).__name__,
            error,
            exc_info=None if expected else error,
        )

    def _track(
        self,
        domains: Sequence[Domain],
        samples: Mapping[str, MemorySample],
        disks: Mapping[str, DiskCounters],
        now_s: float,
        settings: Settings,
    ) -> None:
        held = self._leases.held()
        rule = settings.floor_rule
        changed, self._floor_rule = rule != self._floor_rule, rule
        tracked = {}
        for domain in domains:
            guest = self.guests.get(domain.uuid)
            if guest is None or guest.domain.domain_id != domain.domain_id:
                guest = TrackedGuest.found(domain, now_s, rule)
            elif changed:
                guest.heed_rule(rule)
            guest.held = held.get(domain.uuid, "")
            guest.heard = guest.heard or domain.uuid in self._heard
            guest.refresh(
                domain,
                samples.get(domain.uuid),
                now_s,
                settings,
                disks.get(domain.uuid),
            )
            guest.sensor = self._sources.get(domain.uuid, guest.sensor)
            tracked[domain.uuid] = guest
        self.guests = tracked

    def _view(self, memory: HostMemory, settings: Settings) -> HostView:
        growing_kib, yielding_kib = self._under_way_kib()
        claims_kib = self._unlisted.claims_kib(
            self._leases.reservations(), self.guests
        )
        left_kib = memory.free_kib - growing_kib - claims_kib
        return HostView(
            memory=memory,
            spendable_kib=left_kib - settings.slack_kib,
            expected_free_kib=left_kib + yielding_kib,
        )

    def _under_way_kib(self) -> tuple[int, int]:
        """Give what guests will still take, and what they will yield."""
        growing_kib = yielding_kib = 0
        for guest in self.guests.values():
            growing_kib += guest.growing_kib
            if guest.progress.cooperates:
                yielding_kib += max(0, -guest.to_come_kib)
        return growing_kib, yielding_kib

    def _serve_starts(
        self, host: HostView, settings: Settings, now_s: float
    ) -> int:
        desk = starts.StartDesk(self._hypervisor, self.guests, settings)
        reservations = self._leases.reservations()
        self._unlisted.served(reservations)
        return desk.serve(
            reservations,
            usable_kib=host.usable_kib,
            spendable_kib=host.spendable_kib,
            now_s=now_s,
        )

    def _plan(
        self, host: HostView, wanted_kib: int, settings: Settings
    ) -> dict[str, targets.Decision]:
        return targets.plan(
            [guest.planned() for guest in self.guests.values()],
            targets.Host(
                expected_free_kib=host.expected_free_kib,
                reserve_kib=settings.reserve_kib,
                slack_kib=settings.slack_kib,
                wanted_kib=wanted_kib,
            ),
            settings.targets,
        )

    def _follow_takers(self, settings: Settings) -> None:
        """Let guests keep what they took back unasked.

        Their kernels were out of memory. It is theirs from now on, and is
        not counted as about to come back.
        """
        for guest in self.guests.values():
            if not guest.took_back:
                continue
            had_kib, domain = guest.target_kib, guest.domain
            actual_kib = min(domain.flavor_kib, domain.actual_kib)
            LOG.info(
                "Guest %s took %d KiB back unasked",
                domain.name,
                actual_kib - had_kib,
            )
            may_be_told = settings.moves and not guest.hands_off
            reason = "took it back unasked"
            if not (may_be_told and self._set(guest, actual_kib, reason)):
                guest.keep_untold(actual_kib)
            guest.was_given(had_kib, settings.cool_down_s)

    def _give_up_on_uncooperative(self) -> bool:
        """Let those that don't follow be; tell whether a target changed.

        What such a guest has is what it keeps: a target it might follow
        hours later would surprise everyone.
        """
        changed = False
        for guest in self.guests.values():
            lost = guest.frozen is Limit.UNCOOPERATIVE
            if not (lost or guest.stalls) or guest.refused:
                continue
            if guest.stalls:
                actual_kib = guest.domain.actual_kib
                changed |= self._set(guest, actual_kib, "its balloon stalls")
            # Not one that mustn't be touched for another cause.
            if lost:
                changed |= self._let_be(guest)
        return changed

    def _let_be(self, guest: TrackedGuest) -> bool:
        """Let a guest that doesn't follow its target keep what it has.

        Tell whether its target changed.
        """
        # An offset may have put it above its flavor.
        domain, asked_kib = guest.domain, guest.target_kib
        actual_kib = min(domain.flavor_kib, domain.actual_kib)
        if abs(asked_kib - actual_kib) <= _NEAR_KIB:
            return False
        if not self._set(guest, actual_kib, "uncooperative"):
            return False
        LOG.warning(
            "Guest %s does not follow its target of %d KiB and keeps "
            "its %d KiB",
            domain.name,
            asked_kib,
            actual_kib,
        )
        return True

    def _shrink(self, plan: Mapping[str, targets.Decision]) -> None:
        for uuid, decision in plan.items():
            guest = self.guests[uuid]
            if not guest.hands_off:
                guest.reason = decision.reason
            if decision.target_kib < guest.target_kib:
                self._set(guest, decision.target_kib, decision.reason)

    def _grow(
        self,
        plan: Mapping[str, targets.Decision],
        host: HostView,
        wanted_kib: int,
        settings: Settings,
    ) -> None:
        """Grant what is measured free."""
        purse = grants.Purse(
            spendable_kib=host.spendable_kib,
            wanted_kib=wanted_kib,
            reserve_kib=settings.reserve_kib - settings.slack_kib,
        )
        granted = grants.grants(self._wishes(plan), purse)
        for uuid, grant_kib in granted.items():
            guest = self.guests[uuid]
            had_kib = guest.target_kib
            if self._set(guest, had_kib + grant_kib, plan[uuid].reason):
                guest.was_given(had_kib, settings.cool_down_s)

    def _note(
        self, plan: Mapping[str, targets.Decision], settings: Settings
    ) -> None:
        """Keep what was decided, and what kept it from being done."""
        for uuid, decision in plan.items():
            guest = self.guests[uuid]
            guest.decision, guest.limits = decision, decision.limits
            if guest.target_kib == decision.target_kib:
                continue
            if not settings.moves:
                guest.limits += (Limit.OBSERVE,)
            elif uuid in self._refused:
                guest.limits += (Limit.REFUSED,)
            else:
                guest.limits += (Limit.NOT_FREE,)

    def _wishes(
        self, plan: Mapping[str, targets.Decision]
    ) -> list[grants.Wish]:
        wishes = []
        for uuid, decision in plan.items():
            guest = self.guests[uuid]
            lack_kib = decision.target_kib - guest.target_kib
            if lack_kib > 0:
                wishes.append(
                    grants.Wish(
                        uuid=uuid,
                        lack_kib=lack_kib,
                        firm_kib=guest.short_kib,
                        flavor_kib=guest.domain.flavor_kib,
                        starved=guest.starved,
                        own_kib=max(
                            0, guest.domain.actual_kib - guest.target_kib
                        ),
                    )
                )
        return wishes

    def _set(self, guest: TrackedGuest, target_kib: int, reason: str) -> bool:
        try:
            self._hypervisor.set_target(guest.domain, target_kib)
        except exception.HypervisorError as error:
            self.errors += 1
            self._refused.add(guest.domain.uuid)
            guest.was_answered(refused=True)
            LOG.warning("%s", error)
            if not isinstance(error, Unanswered):
                return False
            # It may get there yet: what it could take is nobody else's.
            guest.was_asked(max(guest.target_kib, target_kib))
            return target_kib > guest.domain.actual_kib
        LOG.debug(
            "Guest %s: target %d -> %d KiB, has %d KiB: %s",
            guest.domain.name,
            guest.target_kib,
            target_kib,
            guest.domain.actual_kib,
            reason,
        )
        guest.was_answered(refused=False)
        guest.last_move = Move(guest.now_s, guest.target_kib, reason)
        guest.was_asked(target_kib)
        guest.reason = reason
        self.moves += 1
        return True

    def _is_moving(self) -> bool:
        return any(
            guest.progress.status is Status.MOVING
            or guest.target_kib != guest.progress.target_kib
            for guest in self.guests.values()
        )
