# SPDX-License-Identifier: Apache-2.0
"""What differs between Xen and QEMU for the driver."""

import abc
from typing import Any

from nova.virt.libvirt import vif as libvirt_vif

from nova_xen_overcommit.virt import (
    facts,
    guest_element,
    xen_guest,
    xen_host,
    xen_patches,
    xen_vif,
)

_KIB = 1024


class Platform(abc.ABC):
    """A hypervisor, as far as the driver must know."""

    def __init__(self, host: Any) -> None:
        self.host = host

    @abc.abstractmethod
    def vif_driver(self) -> Any:
        """Give Nova's driver for network interfaces."""

    @abc.abstractmethod
    def convert(
        self, guest: Any, instance: Any, needs: facts.InstanceFacts
    ) -> None:
        """Make Nova's guest configuration fit, in place."""

    @abc.abstractmethod
    def os_type(self, instance: Any) -> str:
        """Give the OS type that an instance's domain has."""

    @abc.abstractmethod
    def free_kib(self) -> int:
        """Give the memory that is measured free."""

    @abc.abstractmethod
    def usable_mib(self, reserved_mib: int) -> int:
        """Give what guests can have, when nobody has measured it."""


class Qemu(Platform):
    """QEMU and KVM: Nova's own, with a balloon."""

    def vif_driver(self) -> Any:
        """Give Nova's own."""
        return libvirt_vif.LibvirtGenericVIFDriver(self.host)

    def convert(
        self,
        guest: Any,
        instance: Any,  # noqa: ARG002
        needs: facts.InstanceFacts,
    ) -> None:
        """Make sure there is a balloon where we may use it."""
        if needs.overcommit:
            guest_element.with_balloon(guest)

    def os_type(self, instance: Any) -> str:  # noqa: ARG002
        """All are whole machines."""
        return "hvm"

    def free_kib(self) -> int:
        """Give what the host's kernel has available."""
        return int(self.host._get_avail_memory_kb())

    def usable_mib(self, reserved_mib: int) -> int:
        """Give all that isn't reserved for the host."""
        return int(self.host.get_memory_mb_total()) - reserved_mib


class Xen(Platform):
    """Xen through libxl."""

    def __init__(self, host: xen_host.XenHost) -> None:
        super().__init__(host)
        xen_patches.apply()

    def vif_driver(self) -> Any:
        """Give one that knows netfront."""
        return xen_vif.XenVIFDriver(self.host)

    def convert(
        self,
        guest: Any,
        instance: Any,
        needs: facts.InstanceFacts,  # noqa: ARG002
    ) -> None:
        """Turn QEMU's configuration into Xen's."""
        kind = xen_patches.kind_of(instance)
        xen_guest.convert(guest, kind, self.host.hvm_paths)

    def os_type(self, instance: Any) -> str:
        """Give what the instance's image asks for."""
        return str(xen_patches.kind_of(instance).os_type)

    def free_kib(self) -> int:
        """Give what the hypervisor has free."""
        return int(self.host.free_kib())

    def usable_mib(self, reserved_mib: int) -> int:
        """Give all that dom0 hasn't, or isn't reserved for it."""
        kept_mib = max(reserved_mib, self.host.domain_0_kib() // _KIB)
        return int(self.host.get_memory_mb_total() - kept_mib)


def of(virt_type: str, stock_host: Any, uri: str, read_only: bool) -> Platform:
    """Give the platform for ``[libvirt] virt_type``.

    ``stock_host`` is what Nova's driver made; Xen replaces it before it
    has connected.
    """
    if virt_type != xen_patches.XEN:
        return Qemu(stock_host)
    events = {
        "conn_event_handler": stock_host._conn_event_handler,
        "lifecycle_event_handler": stock_host._lifecycle_event_handler,
    }
    return Xen(xen_host.XenHost(uri, read_only, **events))
