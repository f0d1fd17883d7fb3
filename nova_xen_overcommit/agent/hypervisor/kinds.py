# SPDX-License-Identifier: Apache-2.0
"""Where kinds of hypervisors differ: measuring the host, guest overhead."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.hypervisor import host_files
from nova_xen_overcommit.agent.hypervisor.base import Domain, HostMemory
from nova_xen_overcommit.policy import overhead

_KIB = 1024
# Nova's default of reserved_host_memory_mb.
DEFAULT_KEPT_KIB = 512 * _KIB
_NODE_MEMORY_MIB = 1
# What all QEMU of a host have in memory once: program and libraries. QEMU
# 7.2 with Debian's libraries has 24 MiB of files resident.
SHARED_KIB = 24 * _KIB


def held_kib(domains: Sequence[Domain]) -> int:
    """Give what guests hold, their overhead included."""
    return sum(domain.held_kib for domain in domains)


class Kind(Protocol):
    """One kind of hypervisor behind libvirt.

    ``rebuilds_at_reboot``: a guest that reboots by itself gives up its
    memory and is built anew. ``has_statistics``: one call tells the state
    and memory of all guests. ``has_domain_0``: the host's own domain is
    listed among the guests.
    """

    name: str
    rebuilds_at_reboot: bool
    has_statistics: bool
    has_domain_0: bool
    tells_targets: bool

    def host_memory(
        self, connection: Any, domains: Sequence[Domain], kept_kib: int | None
    ) -> HostMemory:
        """Measure; ``kept_kib`` is the configured figure, if any."""

    def overhead_kib(self, flavor_kib: int, vcpus: int, os_type: str) -> int:
        """Give what a guest costs beyond its memory."""


class Xen:
    """Xen through libxl: free memory is exact, and nobody else uses it."""

    name = "xen"
    rebuilds_at_reboot = True
    has_statistics = False
    has_domain_0 = True
    tells_targets = True

    def host_memory(
        self, connection: Any, domains: Sequence[Domain], kept_kib: int | None
    ) -> HostMemory:
        """Take what is neither free nor a guest's as the host's own."""
        physical_kib = connection.getInfo()[_NODE_MEMORY_MIB] * _KIB
        free_kib = connection.getFreeMemory() // _KIB
        measured_kib = physical_kib - free_kib - held_kib(domains)
        return HostMemory(
            physical_kib=physical_kib,
            free_kib=free_kib,
            kept_kib=max(0, measured_kib, kept_kib or 0),
        )

    def overhead_kib(self, flavor_kib: int, vcpus: int, os_type: str) -> int:
        """Give the overhead of a guest.

        What libxl sets aside for guests that Xen runs in hardware; a PV
        guest needs only its page tables' slack.
        """
        slack_kib = 2 * _KIB
        if os_type in ("linux", "xen"):
            return slack_kib
        return slack_kib + overhead.shadow_kib(flavor_kib, vcpus)


class Qemu:
    """KVM and plain QEMU: guests share the host's memory with processes."""

    name = "qemu"
    rebuilds_at_reboot = False
    has_statistics = True
    has_domain_0 = False
    tells_targets = False

    def __init__(
        self,
        files: host_files.HostFiles | None = None,
        stalled_percent: float = 10.0,
    ) -> None:
        self._files = files or host_files.HostFiles()
        self._stalled_percent = stalled_percent

    def host_memory(
        self, connection: Any, domains: Sequence[Domain], kept_kib: int | None
    ) -> HostMemory:
        """Measure what the host could give.

        A guest's untouched memory isn't allocated yet, so what the host
        measures as free is not free to promise; what guests took with no
        leave, or others have, is in no guest's account. So the smaller of
        both figures counts, and nothing while the host stalls for memory.
        """
        figures = connection.getMemoryStats(-1, 0)
        physical_kib = figures["total"]
        kept = DEFAULT_KEPT_KIB if kept_kib is None else kept_kib
        left_kib = self._available_kib(figures)
        bound = self._files.bound()
        if bound is not None:
            kept = max(kept, physical_kib - bound.limit_kib)
            left_kib = min(left_kib, bound.left_kib)
        kept = min(kept + SHARED_KIB, physical_kib)
        if self._files.stalled_percent() >= self._stalled_percent:
            left_kib = 0
        unclaimed_kib = physical_kib - kept - held_kib(domains)
        free_kib = max(0, min(left_kib, unclaimed_kib))
        return HostMemory(physical_kib, free_kib, kept)

    def _available_kib(self, figures: Mapping[str, int]) -> int:
        """Give what the kernel could give, page cache included.

        A host that isn't ours to read is asked by libvirt, which knows less.
        """
        available_kib = self._files.available_kib(figures["total"])
        if available_kib is not None:
            return available_kib
        return (
            figures["free"]
            + figures.get("cached", 0)
            + figures.get("buffers", 0)
        )

    def overhead_kib(self, flavor_kib: int, vcpus: int, os_type: str) -> int:
        """Give QEMU's own memory: a base, thread stacks, page tables.

        Measured of QEMU 7.2: 33 to 40 MiB for a guest of 512 MiB with one
        virtual CPU and two disks, without what all QEMU share (SHARED_KIB).
        """
        del os_type
        return 38 * _KIB + vcpus * _KIB + flavor_kib // 512


class Embedded:
    """libvirt's embedded test hypervisor: nothing but its guests."""

    name = "test"
    rebuilds_at_reboot = False
    has_statistics = False
    has_domain_0 = False
    tells_targets = True

    def host_memory(
        self, connection: Any, domains: Sequence[Domain], kept_kib: int | None
    ) -> HostMemory:
        """Reckon: the driver has a node size, but measures nothing."""
        physical_kib = connection.getInfo()[_NODE_MEMORY_MIB] * _KIB
        kept = DEFAULT_KEPT_KIB if kept_kib is None else kept_kib
        free_kib = max(0, physical_kib - kept - held_kib(domains))
        return HostMemory(physical_kib, free_kib, min(kept, physical_kib))

    def overhead_kib(self, flavor_kib: int, vcpus: int, os_type: str) -> int:
        """Give nothing: its guests are only numbers."""
        del flavor_kib, vcpus, os_type
        return 0


_KINDS: dict[str, Kind] = {
    "xen": Xen(),
    "qemu": Qemu(),
    "test": Embedded(),
}


def of(connection_type: str, qemu: Qemu | None = None) -> Kind:
    """Give the kind behind ``virConnect.getType()``.

    ``qemu`` is one that was made for this host, if it turns out to be QEMU.

    :raises HypervisorError: it is one whose guests we can't balance.
    """
    kinds = _KINDS | ({} if qemu is None else {qemu.name: qemu})
    kind = kinds.get(connection_type.lower())
    if kind is None:
        raise exception.HypervisorError(
            f"hypervisor {connection_type!r} is not supported, only "
            f"{', '.join(sorted(_KINDS))}"
        )
    return kind


def limited(memory: HostMemory, limit_kib: int) -> HostMemory:
    """Hide what is above ``limit_kib``; 0 hides nothing."""
    hidden_kib = memory.physical_kib - limit_kib if limit_kib else 0
    if hidden_kib <= 0:
        return memory
    return HostMemory(
        physical_kib=limit_kib,
        free_kib=max(0, memory.free_kib - hidden_kib),
        kept_kib=min(memory.kept_kib, limit_kib),
    )
