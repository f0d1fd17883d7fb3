# SPDX-License-Identifier: Apache-2.0
"""Where kinds of hypervisors differ: measuring the host, guest overhead."""

from collections.abc import Sequence
from typing import Any, Protocol

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.hypervisor.base import Domain, HostMemory
from nova_xen_overcommit.policy import overhead

_KIB = 1024
# Nova's default of reserved_host_memory_mb.
DEFAULT_KEPT_KIB = 512 * _KIB
_NODE_MEMORY_MIB = 1


def held_kib(domains: Sequence[Domain]) -> int:
    """Give what guests hold, their overhead included."""
    return sum(domain.actual_kib + domain.overhead_kib for domain in domains)


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

    def host_memory(
        self, connection: Any, domains: Sequence[Domain], kept_kib: int | None
    ) -> HostMemory:
        """Measure what the host could give, page cache included.

        A guest's untouched memory isn't allocated yet, so what the host
        measures as free is not free to promise: the smaller figure counts.
        """
        figures = connection.getMemoryStats(-1, 0)
        physical_kib = figures["total"]
        kept = DEFAULT_KEPT_KIB if kept_kib is None else kept_kib
        available_kib = (
            figures["free"]
            + figures.get("cached", 0)
            + figures.get("buffers", 0)
        )
        unclaimed_kib = physical_kib - kept - held_kib(domains)
        free_kib = max(0, min(available_kib, unclaimed_kib))
        return HostMemory(physical_kib, free_kib, min(kept, physical_kib))

    def overhead_kib(self, flavor_kib: int, vcpus: int, os_type: str) -> int:
        """Give QEMU's own memory: a base, thread stacks, page tables."""
        del os_type
        return 48 * _KIB + vcpus * _KIB + flavor_kib // 512


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


def of(connection_type: str) -> Kind:
    """Give the kind behind ``virConnect.getType()``.

    :raises HypervisorError: it is one whose guests we can't balance.
    """
    kind = _KINDS.get(connection_type.lower())
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
