# SPDX-License-Identifier: Apache-2.0
"""What the balancer wants of a hypervisor; KiB throughout."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.sensors.base import GuestRef
from nova_xen_overcommit.guest_metadata import GuestMetadata
from nova_xen_overcommit.policy.traffic import DiskCounters


class Unanswered(exception.HypervisorError):
    """A call gave no answer in time; it may still be carried out."""


@dataclasses.dataclass(frozen=True, slots=True)
class HostMemory:
    """The host's memory as the hypervisor measures it, in KiB.

    ``physical_kib`` is all it has (or the configured limit), ``free_kib``
    what nobody holds and guests may have, ``kept_kib`` what the host itself
    holds or must keep.
    """

    physical_kib: int
    free_kib: int
    kept_kib: int


@dataclasses.dataclass(frozen=True, slots=True)
class Disks:
    """A guest's disks by what the guest is told of them (``xvda``).

    ``swap`` is the flavor's swap disk, ``files`` are all others that the
    guest may write to.
    """

    swap: str
    files: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Domain(GuestRef):
    """A running guest as the hypervisor sees it, and as sensors are told.

    ``busy`` says why it must not be touched now (paused, in build,
    migrated, saved …), "" when it may. ``exempt`` says why it is never
    ballooned (no balloon device, huge pages, passthrough …), "" when it
    may be. ``asked_kib`` is the last target the hypervisor knows, whoever
    asked for it; while a guest runs it changes only because somebody did.
    ``disks`` is None where it isn't known which of them is the swap disk.
    ``foreign``: it isn't Nova's, so Placement knows nothing of it.
    """

    actual_kib: int
    asked_kib: int
    overhead_kib: int
    vcpus: int = 1
    os_type: str = "hvm"
    metadata: GuestMetadata = dataclasses.field(default_factory=GuestMetadata)
    busy: str = ""
    exempt: str = ""
    disks: Disks | None = None
    foreign: bool = False

    @property
    def held_kib(self) -> int:
        """What it holds, its overhead included."""
        return self.actual_kib + self.overhead_kib


class Hypervisor(Protocol):
    """The only way to measure guests and to move their memory."""

    @property
    def kind(self) -> str:
        """``xen``, ``qemu`` or ``test``."""

    def host_memory(self, domains: Sequence[Domain]) -> HostMemory:
        """Measure the host; ``domains`` are of the same pass.

        :raises HypervisorError: it can't be measured now.
        """

    def domains(self) -> list[Domain]:
        """List running guests; the host's own domain is not among them.

        A guest that vanishes meanwhile is left out.

        :raises HypervisorError: they can't be listed now.
        """

    def disk_counters(
        self, domains: Sequence[Domain]
    ) -> Mapping[str, DiskCounters]:
        """Read what the host counts on these guests' disks, by UUID.

        A guest is absent if that isn't counted for one of its disks, or
        can't be read now.

        :raises HypervisorError: none can be read now.
        """

    def set_target(self, domain: Domain, target_kib: int) -> None:
        """Ask a guest to have ``target_kib``; returns before it has.

        :raises HypervisorError: the call failed; the guest is named.
        :raises Unanswered: it hangs, and may have its way later.
        """

    @property
    def rebuilds_at_reboot(self) -> bool:
        """Whether a guest that reboots gives up its memory and asks anew."""

    def set_restart_memory(self, domain: Domain, start_kib: int) -> None:
        """Let a guest come back with ``start_kib`` when it reboots.

        :raises HypervisorError: the call failed; the guest is named.
        """

    def overhead_kib(self, flavor_kib: int, vcpus: int, os_type: str) -> int:
        """Give what a guest costs the hypervisor beyond its memory."""
