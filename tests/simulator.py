# SPDX-License-Identifier: Apache-2.0
"""A host that doesn't exist, with guests that misbehave on request.

Implements the agent's Hypervisor and Sensor on a virtual clock, so that the
production balancer runs in it unchanged. Balloons move with a finite
speed, and only while there is free memory to move into; faults are switches
of each guest. All sizes are KiB.
"""

import dataclasses
import uuid as uuids
from collections.abc import Mapping, Sequence

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.hypervisor.base import Domain, HostMemory
from nova_xen_overcommit.agent.sensors.base import GuestRef
from nova_xen_overcommit.guest_metadata import GuestMetadata
from nova_xen_overcommit.policy.sample import MemorySample

MIB = 1024
GIB = 1024 * MIB
# What a guest's kernel holds outside MemTotal.
_KERNEL_KIB = 64 * MIB


class VirtualClock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_s(self) -> float:
        return self.now_s


@dataclasses.dataclass
class SimulatedGuest:
    """One guest and its faults; ``wants_kib`` is what its programs use."""

    uuid: str
    name: str
    domain_id: int
    flavor_kib: int
    actual_kib: int
    target_kib: int
    wants_kib: int
    swap_kib: int
    stuck: bool = False
    silent: bool = False
    lie: MemorySample | None = None
    busy: str = ""
    exempt: str = ""
    offset_kib: int = 0
    fails_calls: bool = False
    swap_in_kib: int = 0
    restart_kib: int = 0
    speaks_every_s: float = 0.0
    said: MemorySample | None = None

    @property
    def in_ram_kib(self) -> int:
        room_kib = max(0, self.actual_kib - _KERNEL_KIB)
        return min(self.wants_kib, room_kib)

    @property
    def killed(self) -> bool:
        """Whether it ran out of memory and swap."""
        return self.wants_kib - self.in_ram_kib > self.swap_kib


class SimulatedHost:
    """Hypervisor, sensor and world in one."""

    kind = "test"

    def __init__(
        self,
        physical_kib: int = 4 * GIB,
        kept_kib: int = 512 * MIB,
        speed_kib_s: int = 100 * MIB,
    ) -> None:
        self.clock = VirtualClock()
        self.physical_kib = physical_kib
        self.kept_kib = kept_kib
        self.speed_kib_s = speed_kib_s
        self.guests: dict[str, SimulatedGuest] = {}
        self.calls: list[tuple[str, int]] = []
        self.unreachable = False
        # Taken by domains that are being built and not listed yet; looks
        # like the host's own, as on Xen.
        self.building_kib = 0
        self._ids = 0

    def start(
        self,
        name: str = "guest",
        flavor_kib: int = GIB,
        actual_kib: int | None = None,
        wants_kib: int = 60 * MIB,
        swap_kib: int | None = None,
        uuid: str | None = None,
    ) -> SimulatedGuest:
        """Start a guest, as libvirt would when told to."""
        self._ids += 1
        actual_kib = flavor_kib if actual_kib is None else actual_kib
        assert actual_kib <= self.free_kib, "the hypervisor has no memory"
        guest = SimulatedGuest(
            uuid=uuid or str(uuids.UUID(int=self._ids)),
            name=f"{name}-{self._ids}",
            domain_id=self._ids,
            flavor_kib=flavor_kib,
            actual_kib=actual_kib,
            target_kib=actual_kib,
            wants_kib=wants_kib,
            swap_kib=flavor_kib if swap_kib is None else swap_kib,
        )
        self.guests[guest.uuid] = guest
        return guest

    def end(self, guest: SimulatedGuest) -> None:
        """Let a guest be gone: shut down, or in the midst of a reboot."""
        del self.guests[guest.uuid]

    def come_back(self, guest: SimulatedGuest) -> SimulatedGuest:
        """Build a guest that rebooted, as Xen does without asking."""
        return self.start(
            guest.name,
            flavor_kib=guest.flavor_kib,
            actual_kib=guest.restart_kib or guest.flavor_kib,
            swap_kib=guest.swap_kib,
            uuid=guest.uuid,
        )

    @property
    def free_kib(self) -> int:
        held_kib = sum(guest.actual_kib for guest in self.guests.values())
        return self.physical_kib - self.kept_kib - held_kib - self.building_kib

    def run(self, seconds: float) -> None:
        """Let time pass: donors move first, then who grows."""
        self.clock.now_s += seconds
        step_kib = int(self.speed_kib_s * seconds)
        guests = sorted(
            self.guests.values(), key=lambda g: g.target_kib - g.actual_kib
        )
        for guest in guests:
            if not guest.stuck:
                self._move(guest, step_kib)
            missing_kib = guest.wants_kib - guest.in_ram_kib
            guest.swap_in_kib += missing_kib // 4

    def _move(self, guest: SimulatedGuest, step_kib: int) -> None:
        gap_kib = guest.target_kib + guest.offset_kib - guest.actual_kib
        if gap_kib < 0:
            guest.actual_kib -= min(step_kib, -gap_kib)
        else:
            guest.actual_kib += min(step_kib, gap_kib, self.free_kib)

    # The hypervisor's side.

    def domains(self) -> list[Domain]:
        if self.unreachable:
            raise exception.HypervisorError("libvirtd is gone")
        return [
            Domain(
                uuid=guest.uuid,
                name=guest.name,
                domain_id=guest.domain_id,
                flavor_kib=guest.flavor_kib,
                actual_kib=guest.actual_kib,
                asked_kib=guest.target_kib,
                overhead_kib=0,
                metadata=GuestMetadata(swap_kib=guest.swap_kib),
                busy=guest.busy,
                exempt=guest.exempt,
            )
            for guest in self.guests.values()
        ]

    def host_memory(self, domains: Sequence[Domain]) -> HostMemory:
        del domains
        kept_kib = self.kept_kib + self.building_kib
        return HostMemory(self.physical_kib, self.free_kib, kept_kib)

    def set_target(self, domain: Domain, target_kib: int) -> None:
        guest = self.guests.get(domain.uuid)
        if guest is None or guest.fails_calls:
            raise exception.HypervisorError(f"guest {domain.name}: refused")
        self.calls.append((guest.uuid, target_kib))
        guest.target_kib = target_kib

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
        return 0

    # The sensor's side.

    def read(self, guests: Sequence[GuestRef]) -> Mapping[str, MemorySample]:
        samples = {}
        for ref in guests:
            guest = self.guests.get(ref.uuid)
            if guest is not None and not guest.silent:
                samples[ref.uuid] = self._sample(guest)
        return samples

    def _sample(self, guest: SimulatedGuest) -> MemorySample:
        if guest.lie is not None:
            return dataclasses.replace(guest.lie, time_s=self.clock.now_s)
        said = guest.said
        now_s = self.clock.now_s
        if said is not None and now_s - said.time_s < guest.speaks_every_s:
            return said
        guest.said = self._figures(guest)
        return guest.said

    def _figures(self, guest: SimulatedGuest) -> MemorySample:
        total_kib = max(1, guest.actual_kib - _KERNEL_KIB)
        swapped_kib = guest.wants_kib - guest.in_ram_kib
        return MemorySample(
            time_s=self.clock.now_s,
            max_age_s=15.0,
            mem_total_kib=total_kib,
            mem_available_kib=max(0, total_kib - guest.in_ram_kib),
            swap_total_kib=guest.swap_kib,
            swap_free_kib=max(0, guest.swap_kib - swapped_kib),
            swap_in_kib=guest.swap_in_kib,
        )

    def close(self) -> None:
        """Nothing is held."""
