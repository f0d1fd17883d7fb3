# SPDX-License-Identifier: Apache-2.0
"""Hypervisor, sensor and world in one."""

import uuid as uuids
from collections.abc import Mapping, Sequence

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.hypervisor.base import (
    Domain,
    HostMemory,
    Unanswered,
)
from nova_xen_overcommit.agent.sensors.base import GuestRef
from nova_xen_overcommit.guest_metadata import GuestMetadata
from nova_xen_overcommit.policy.sample import MemorySample
from nova_xen_overcommit.policy.traffic import DiskCounters
from tests.simulator.clock import VirtualClock
from tests.simulator.guest import SimulatedGuest
from tests.simulator.memory import GIB, MIB
from tests.simulator.workload import Course


class AgentKilled(BaseException):
    """SIGKILL: no handler of the agent may catch it."""


class SimulatedHost:
    """A host; its faults are switches.

    ``unreachable``: libvirtd is gone. ``sensor_fails``: reading figures
    raises. ``garbage``: the figures of all guests are these, as from a
    sensor that has gone mad. ``disks_fail``: nothing is counted on guests'
    disks. ``kill_after_calls``: the agent is killed
    instead of the n-th next setMemory. Each guest costs
    ``guest_overhead_kib`` beside its memory.
    """

    kind = "test"

    def __init__(
        self,
        physical_kib: int = 4 * GIB,
        kept_kib: int = 512 * MIB,
        speed_kib_s: int = 100 * MIB,
        guest_overhead_kib: int = 0,
    ) -> None:
        self.clock = VirtualClock()
        self.physical_kib = physical_kib
        self.kept_kib = kept_kib
        self.speed_kib_s = speed_kib_s
        self.guest_overhead_kib = guest_overhead_kib
        self.guests: dict[str, SimulatedGuest] = {}
        self.calls: list[tuple[str, int]] = []
        self.unreachable = False
        self.sensor_fails = False
        self.disks_fail = False
        self.disk_looks = 0
        self.garbage: MemorySample | None = None
        self.kill_after_calls: int | None = None
        # Taken by domains that are being built and not listed yet; looks
        # like the host's own, as on Xen.
        self.building_kib = 0
        # Guests that have spoken since somebody last looked here.
        self.spoke: set[str] = set()
        self._ids = 0
        self._slow: list[tuple[float, SimulatedGuest, int]] = []

    def start(
        self,
        name: str = "guest",
        flavor_kib: int = GIB,
        actual_kib: int | None = None,
        wants_kib: int = 60 * MIB,
        swap_kib: int | None = None,
        uuid: str | None = None,
        file_kib: int = 0,
        course: Course | None = None,
    ) -> SimulatedGuest:
        """Start a guest, as libvirt would when told to."""
        self._ids += 1
        actual_kib = flavor_kib if actual_kib is None else actual_kib
        swap_kib = flavor_kib if swap_kib is None else swap_kib
        assert self.has_room(actual_kib), "the hypervisor has no memory"
        guest = SimulatedGuest(
            uuid=uuid or str(uuids.UUID(int=self._ids)),
            name=f"{name}-{self._ids}",
            domain_id=self._ids,
            flavor_kib=flavor_kib,
            actual_kib=actual_kib,
            target_kib=actual_kib,
            wants_kib=wants_kib,
            swap_kib=swap_kib,
            metadata=GuestMetadata(swap_kib=swap_kib),
            file_kib=file_kib,
            course=course,
            overhead_kib=self.guest_overhead_kib,
        )
        guest.work(self.clock.now_s)
        guest.settle()
        self.guests[guest.uuid] = guest
        return guest

    def end(self, guest: SimulatedGuest) -> None:
        """Let a guest be gone: shut down, or in the midst of a reboot."""
        del self.guests[guest.uuid]

    def come_back(self, guest: SimulatedGuest) -> SimulatedGuest:
        """Build a guest that rebooted, as Xen does without asking."""
        again = self.start(
            guest.name,
            flavor_kib=guest.flavor_kib,
            actual_kib=guest.restart_kib or guest.flavor_kib,
            swap_kib=guest.swap_kib,
            uuid=guest.uuid,
            file_kib=guest.file_kib,
            course=guest.course,
        )
        again.foreign = guest.foreign
        return again

    @property
    def free_kib(self) -> int:
        held_kib = sum(
            guest.actual_kib + guest.overhead_kib
            for guest in self.guests.values()
        )
        return self.physical_kib - self.kept_kib - held_kib - self.building_kib

    def has_room(self, actual_kib: int) -> bool:
        """Whether one more guest of this size could be built."""
        return actual_kib + self.guest_overhead_kib <= self.free_kib

    def run(self, seconds: float) -> None:
        """Let time pass: donors move first, then who grows."""
        self.clock.now_s += seconds
        now_s = self.clock.now_s
        self._deliver_slow_calls()
        for guest in self.guests.values():
            guest.work(now_s)
            guest.begin(seconds)
            guest.look(now_s)
        self._move_balloons(int(self.speed_kib_s * seconds))
        for guest in self.guests.values():
            guest.live(seconds)
            if guest.speaks_every_s and guest.is_due(now_s):
                guest.speak(now_s)
                self.spoke.add(guest.uuid)

    def _deliver_slow_calls(self) -> None:
        now_s = self.clock.now_s
        due = [call for call in self._slow if call[0] <= now_s]
        self._slow = [call for call in self._slow if call[0] > now_s]
        for _due_s, guest, target_kib in due:
            guest.told(target_kib)

    def _move_balloons(self, step_kib: int) -> None:
        now_s = self.clock.now_s
        free_kib = self.free_kib
        moving = [g for g in self.guests.values() if g.gap_kib]
        moving.sort(key=lambda guest: guest.gap_kib)
        for guest in moving:
            gap_kib = guest.gap_kib
            if not guest.obeys(now_s):
                continue
            if gap_kib < 0:
                free_kib += guest.inflate(min(step_kib, -gap_kib))
            else:
                taken_kib = max(0, min(step_kib, gap_kib, free_kib))
                guest.actual_kib += taken_kib
                free_kib -= taken_kib

    # The hypervisor's side.

    def _require_reachable(self) -> None:
        if self.unreachable:
            raise exception.HypervisorError("libvirtd is gone")

    def domains(self) -> list[Domain]:
        self._require_reachable()
        return [guest.domain() for guest in self.guests.values()]

    def host_memory(self, domains: Sequence[Domain]) -> HostMemory:
        del domains
        self._require_reachable()
        kept_kib = self.kept_kib + self.building_kib
        free_kib = max(0, self.free_kib)
        return HostMemory(self.physical_kib, free_kib, kept_kib)

    def disk_counters(
        self, domains: Sequence[Domain]
    ) -> Mapping[str, DiskCounters]:
        self._require_reachable()
        if self.disks_fail:
            raise exception.HypervisorError("no disk is counted")
        self.disk_looks += 1
        asked = [self.guests.get(domain.uuid) for domain in domains]
        return {one.uuid: one.disk_counters() for one in asked if one}

    def set_target(self, domain: Domain, target_kib: int) -> None:
        self._count_down()
        guest = self.guests.get(domain.uuid)
        if guest is not None and guest.dies_at_call:
            self.end(guest)
            guest = None
        if guest is None or guest.fails_calls or self.unreachable:
            raise exception.HypervisorError(f"guest {domain.name}: refused")
        self.calls.append((guest.uuid, target_kib))
        # A later call overtakes one that is under way.
        self._slow = [call for call in self._slow if call[1] is not guest]
        if guest.slow_calls_s or guest.hangs_calls:
            due_s = self.clock.now_s + guest.slow_calls_s
            self._slow.append((due_s, guest, target_kib))
        else:
            guest.told(target_kib)
        if guest.hangs_calls:
            raise Unanswered(f"guest {domain.name}: no answer")

    def _count_down(self) -> None:
        if self.kill_after_calls is None:
            return
        self.kill_after_calls -= 1
        if self.kill_after_calls < 0:
            self.kill_after_calls = None
            raise AgentKilled

    @property
    def rebuilds_at_reboot(self) -> bool:
        return True

    def set_restart_memory(self, domain: Domain, start_kib: int) -> None:
        guest = self.guests[domain.uuid]
        if guest.fails_calls:
            raise exception.HypervisorError(f"guest {domain.name}: refused")
        guest.restart_kib = start_kib

    def overhead_kib(self, flavor_kib: int, vcpus: int, os_type: str) -> int:
        del flavor_kib, vcpus, os_type
        return self.guest_overhead_kib

    # The sensor's side.

    def read(self, guests: Sequence[GuestRef]) -> Mapping[str, MemorySample]:
        if self.sensor_fails:
            raise exception.OvercommitError("the sensor has no answer")
        now_s = self.clock.now_s
        samples = {}
        for ref in guests:
            guest = self.guests.get(ref.uuid)
            if guest is not None and not guest.silent:
                samples[ref.uuid] = self.garbage or guest.sample(now_s)
        return samples

    def close(self) -> None:
        """Nothing is held."""
