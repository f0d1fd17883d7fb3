# SPDX-License-Identifier: Apache-2.0
"""Nova's view of the hypervisor where libxl answers otherwise than QEMU."""

import functools
from typing import Any

from lxml import etree
from nova.virt.libvirt import host as libvirt_host

from nova_xen_overcommit.virt import xen_guest, xen_instance, xen_paths

DOMAIN_0 = 0
_KIB = 1024
_INFO_MEMORY = 2


class XenHost(libvirt_host.Host):
    """A libvirt host over ``xen:///system``."""

    def list_instance_domains(self, only_running: bool = True) -> list[Any]:
        """Give all domains but Domain-0, which is no instance."""
        domains = super().list_instance_domains(only_running=only_running)
        return [domain for domain in domains if domain.ID() != DOMAIN_0]

    def get_guest(self, instance: Any) -> Any:
        """Give the instance's domain."""
        return xen_instance.XenInstance(self._get_domain(instance))

    def write_instance_config(self, xml: str) -> Any:
        """Define a domain."""
        domain = self.get_connection().defineXML(xml)
        return xen_instance.XenInstance(domain)

    def get_available_cpus(self) -> set[int]:
        """Give the host's CPUs; libxl has no CPU map to ask."""
        return set(range(self._cpus()))

    def get_online_cpus(self) -> set[int]:
        """Give the host's CPUs; libxl has no CPU map to ask."""
        return set(range(self._cpus()))

    def get_memory_mb_used(self) -> int:
        """Give what the hypervisor doesn't count as free, dom0 included.

        dom0's /proc/meminfo knows of dom0's own memory only.
        """
        used_mib = self.get_memory_mb_total() - self.free_kib() // _KIB
        return max(0, int(used_mib))

    def free_kib(self) -> int:
        """Give the memory that the hypervisor could hand out now."""
        return int(self.get_connection().getFreeMemory()) // _KIB

    def domain_0_kib(self) -> int:
        """Give the memory of Domain-0; 0 when it can't be read."""
        try:
            domain = self.get_connection().lookupByID(DOMAIN_0)
            return int(domain.info()[_INFO_MEMORY])
        except libvirt_host.libvirt.libvirtError:
            return 0

    @functools.cached_property
    def hvm_paths(self) -> xen_guest.HvmPaths:
        """Give hvmloader and emulator of this host."""
        xml = self.get_connection().getCapabilities()
        return xen_paths.existing(
            xen_guest.HvmPaths.from_capabilities(etree.fromstring(xml))
        )

    def _cpus(self) -> int:
        return int(self._get_hardware_info()[2])
