# SPDX-License-Identifier: Apache-2.0
"""A bystander: what QEMU and the host's kernel measure, and the rules."""

import collections
import dataclasses
import pathlib
import threading
import time
from collections.abc import Sequence

import libvirt

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import client
from tests.kvm.memory_limit import MemoryLimit

KIB = 1024
_INTERVAL_S = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """A guest, by its balloon and its process; KiB."""

    uuid: str
    flavor_kib: int
    actual_kib: int
    resident_kib: int


@dataclasses.dataclass(frozen=True, slots=True)
class Moment:
    """What was seen at one time; KiB. ``used_kib`` is the group's."""

    guests: Sequence[Seen]
    used_kib: int
    swap_kib: int
    killed: int

    @property
    def resident_kib(self) -> int:
        """Sum of the processes' RSS; what they share counts in each."""
        return sum(guest.resident_kib for guest in self.guests)


def swap_used_kib() -> int:
    """How much of the host's own swap is in use."""
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    sizes = {x.split(":")[0]: int(x.split()[1]) for x in lines}
    return sizes["SwapTotal"] - sizes["SwapFree"]


class Watch:
    """Looks until the context is left, and counts broken rules.

    ``limit`` is the guests' control group, None where there is none.
    """

    def __init__(
        self,
        connection: libvirt.virConnect,
        agent: client.AgentClient,
        limit: MemoryLimit | None,
        host_mib: int,
    ) -> None:
        self._connection = connection
        self._agent = agent
        self._limit = limit
        self._host_kib = host_mib * KIB
        self._swap_kib = swap_used_kib()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.faults: collections.Counter[str] = collections.Counter()
        self.most_resident_kib = 0
        self.most_used_kib = 0
        self.most_swap_kib = 0
        self.looks = 0

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._leaving.set()
        self._thread.join(timeout=10.0)

    def look(self) -> Moment:
        """Measure all guests; QEMU is asked for each balloon."""
        guests = []
        for domain in self._connection.listAllDomains(
            libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
        ):
            try:
                told = domain.memoryStats()
                most_kib = domain.maxMemory()
            except libvirt.libvirtError:
                continue  # it starts or stops just now
            guests.append(
                Seen(
                    domain.UUIDString(),
                    most_kib,
                    told["actual"],
                    told.get("rss", 0),
                )
            )
        return Moment(
            guests,
            self._limit.used_kib() if self._limit else 0,
            swap_used_kib() - self._swap_kib,
            self._limit.killed() if self._limit else 0,
        )

    def _watch(self) -> None:
        while not self._leaving.wait(_INTERVAL_S):
            try:
                moment = self.look()
                self.faults.update(self._broken(moment))
            except (libvirt.libvirtError, exception.OvercommitError) as error:
                # An agent that takes its new options is away for a second.
                time.sleep(1.0)
                if self._leaving.is_set():
                    return
                del error
                continue
            self.looks += 1
            self.most_resident_kib = max(
                self.most_resident_kib, moment.resident_kib
            )
            self.most_used_kib = max(self.most_used_kib, moment.used_kib)
            self.most_swap_kib = max(self.most_swap_kib, moment.swap_kib)

    def _broken(self, moment: Moment) -> list[str]:
        """Name each rule that is broken at ``moment``."""
        faults = [
            f"{guest.uuid} has more than its flavor"
            for guest in moment.guests
            if guest.actual_kib > guest.flavor_kib
        ]
        faults += [
            f"rule 1: {row['name']} is to have {row['target_kib']} KiB"
            for row in self._agent.status()["guests"]
            if not row["floor_kib"] <= row["target_kib"] <= row["flavor_kib"]
        ]
        if moment.used_kib > self._host_kib:
            faults.append("guests have more than the host's limit")
        if moment.swap_kib > 0:
            faults.append("the host swaps")
        if moment.killed:
            faults.append("the host's kernel killed a guest")
        return faults
