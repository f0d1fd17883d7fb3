# SPDX-License-Identifier: Apache-2.0
"""One simulated guest: memory, workload, and its faults as switches."""

import dataclasses
import math

from nova_xen_overcommit.agent.hypervisor.base import Disks, Domain
from nova_xen_overcommit.guest_metadata import GuestMetadata
from nova_xen_overcommit.policy import floor
from nova_xen_overcommit.policy.sample import MemorySample
from nova_xen_overcommit.policy.traffic import DiskCounters
from tests.simulator.memory import KERNEL_KIB, MIB, GuestMemory
from tests.simulator.workload import Course

_MAX_AGE_S = 15.0
# The share of its period in which an intermittent guest obeys.
_OBEYS_SHARE = 0.2
# How often a guest looks at itself that moves its own balloon.
_LOOK_EVERY_S = 1.0


@dataclasses.dataclass(kw_only=True)
class SimulatedGuest(GuestMemory):
    """A guest as the hypervisor and its own sensor see it.

    Faults: ``stuck`` (the balloon doesn't move), ``intermittent_s`` (it
    moves only in a fifth of each such period), ``offset_kib`` (it rests
    that far from its target), ``silent``, ``lie`` (says this instead),
    ``busy``, ``exempt``, ``deflates`` and ``foreign`` (as the hypervisor
    calls it),
    ``fails_calls`` (setMemory raises), ``slow_calls_s`` (its target takes
    that long to arrive), ``hangs_calls`` (and nobody is told whether it will),
    ``dies_at_call`` (vanishes in the midst of setMemory), ``garbage`` (this
    is what it writes into xenstore).
    ``chosen_kib`` is what a guest chose that moves its own balloon, None for
    others. ``speaks_every_s`` 0 means that its figures are always new.
    ``overhead_kib`` is what the hypervisor needs for it beside its memory.
    """

    uuid: str
    name: str
    domain_id: int
    flavor_kib: int
    target_kib: int
    metadata: GuestMetadata
    course: Course | None = None
    stuck: bool = False
    intermittent_s: float = 0.0
    offset_kib: int = 0
    silent: bool = False
    lie: MemorySample | None = None
    busy: str = ""
    exempt: str = ""
    deflates: bool = False
    foreign: bool = False
    fails_calls: bool = False
    slow_calls_s: float = 0.0
    hangs_calls: bool = False
    dies_at_call: bool = False
    garbage: bytes = b""
    restart_kib: int = 0
    overhead_kib: int = 0
    chosen_kib: int | None = None
    looked_s: float = -math.inf
    starved_looks: int = 0
    seen_swap_in_kib: int = 0
    speaks_every_s: float = 0.0
    said: MemorySample | None = None
    said_free_kib: int = 0
    said_committed_kib: int = 0

    @property
    def gap_kib(self) -> int:
        """How far its balloon is from where it would rest."""
        goal_kib = self.target_kib
        if self.chosen_kib is not None:
            goal_kib = min(goal_kib, self.chosen_kib)
        return goal_kib + self.offset_kib - self.actual_kib

    def told(self, target_kib: int) -> None:
        """Take a target from the hypervisor; its kernel forgets its own."""
        self.target_kib = target_kib
        if self.chosen_kib is not None:
            self.chosen_kib = target_kib

    def look(self, now_s: float) -> None:
        """Move its own balloon as the publisher does, if that is its way."""
        if self.chosen_kib is None or now_s - self.looked_s < _LOOK_EVERY_S:
            return
        self.looked_s = now_s
        used_kib = KERNEL_KIB + self.anon_kib + self.swapped_kib
        room_kib = used_kib // 10 + 32 * MIB
        need_kib = self._raised_kib(used_kib + room_kib, room_kib)
        least_kib = floor.floor_kib(self.flavor_kib, 0.0, 0, self.swap_kib)
        need_kib = max(need_kib, least_kib)
        held_kib = min(self.chosen_kib, self.target_kib)
        if need_kib > held_kib:
            self.chosen_kib = need_kib
        elif held_kib - need_kib > self.room_kib // 64:
            self.chosen_kib = held_kib - (held_kib - need_kib) // 10

    def _raised_kib(self, need_kib: int, room_kib: int) -> int:
        """Give what it needs if it is starved."""
        swaps_in = self.swap_in_kib > self.seen_swap_in_kib
        self.seen_swap_in_kib = self.swap_in_kib
        available_kib = max(0, self.room_kib - self.anon_kib)
        if not swaps_in and available_kib >= room_kib // 4:
            self.starved_looks = 0
            return need_kib
        self.starved_looks += 1
        need_kib = max(need_kib, self.actual_kib * 3 // 2)
        twice = self.starved_looks > 1
        return max(need_kib, self.target_kib) if twice else need_kib

    def obeys(self, now_s: float) -> bool:
        """Whether its balloon moves at this moment."""
        if self.stuck:
            return False
        period_s = self.intermittent_s
        return not period_s or now_s % period_s < period_s * _OBEYS_SHARE

    def work(self, now_s: float) -> None:
        """Let its workload want what it wants at ``now_s``."""
        if self.course is not None:
            self.wants_kib = self.course.at(now_s)

    def is_due(self, now_s: float) -> bool:
        """Whether it has something to say."""
        said = self.said
        return said is None or now_s - said.time_s >= self.speaks_every_s

    def sample(self, now_s: float) -> MemorySample:
        """Give what the sensor reads."""
        if self.lie is not None:
            return dataclasses.replace(self.lie, time_s=now_s)
        if self.said is None or self.is_due(now_s):
            return self.speak(now_s)
        return self.said

    def speak(self, now_s: float) -> MemorySample:
        """Publish new figures."""
        total_kib = max(1, self.actual_kib - KERNEL_KIB)
        self.said = MemorySample(
            time_s=now_s,
            max_age_s=_MAX_AGE_S,
            mem_total_kib=total_kib,
            mem_available_kib=max(0, total_kib - self.anon_kib),
            swap_total_kib=self.swap_kib,
            swap_free_kib=self.swap_kib - self.swapped_kib,
            swap_in_kib=self.swap_in_kib,
            psi_some_us=self.psi_some_us,
            self_more_kib=(
                None
                if self.chosen_kib is None
                else self.chosen_kib - self.actual_kib
            ),
        )
        self.said_free_kib = self.free_kib
        self.said_committed_kib = self.committed_kib
        return self.said

    def domain(self) -> Domain:
        """Give the hypervisor's view."""
        return Domain(
            uuid=self.uuid,
            name=self.name,
            domain_id=self.domain_id,
            flavor_kib=self.flavor_kib,
            actual_kib=self.actual_kib,
            asked_kib=self.target_kib,
            overhead_kib=self.overhead_kib,
            metadata=self.metadata,
            busy=self.busy,
            exempt=self.exempt,
            deflates=self.deflates,
            foreign=self.foreign,
            disks=Disks("xvdb", ("xvda",)) if self.swap_kib else None,
        )

    def disk_counters(self) -> DiskCounters:
        """Give what the host counts on its disks."""
        return DiskCounters(
            swap_read_kib=self.swap_in_kib,
            swap_written_kib=self.swap_out_kib,
            file_read_kib=self.file_read_kib,
        )
