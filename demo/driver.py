# SPDX-License-Identifier: Apache-2.0
"""The substitute on Nova's side: a virt driver for ``test:///``.

Nova's libvirt driver needs domain capabilities, node memory statistics and
disk images, none of which the embedded hypervisor has. So disks, networks
and consoles come from Nova's fake driver here. All that is about memory is
ours and real: the domains are libvirt's, and reservations, report, promise
and guest metadata are the very parts that XenOvercommitDriver is made of.
"""

import contextlib
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import libvirt
from nova import conf as nova_conf
from nova import exception as nova_exception
from nova.compute import power_state
from nova.virt import fake, hardware

from demo import host
from nova_xen_overcommit import guest_metadata
from nova_xen_overcommit.agent import client
from nova_xen_overcommit.virt import facts, guest_xml, publisher, starts

CONF = nova_conf.CONF

_MEMORY_MB = "MEMORY_MB"
_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: power_state.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: power_state.PAUSED,
    libvirt.VIR_DOMAIN_CRASHED: power_state.CRASHED,
}


class DemoDriver(fake.FakeDriver):  # type: ignore[misc]
    """Nova's fake driver with real domains of real, measured memory."""

    vcpus = 64
    memory_mb = host.HOST_MIB
    local_gb = 1000

    def __init__(self, virtapi: Any, read_only: bool = False) -> None:
        super().__init__(virtapi, read_only)
        self._connection = host.connection(CONF.libvirt.connection_uri)
        agent = client.AgentClient(CONF.xen_overcommit.agent_socket)
        self._publisher = publisher.Publisher(CONF, agent, time.time)
        self._starts = starts.Starts(
            CONF, agent, self._publisher.mode, self._free_kib
        )

    def _free_kib(self) -> int:
        usable_mib: int = host.HOST_MIB - CONF.reserved_host_memory_mb
        held_kib = sum(g.actual_kib for g in host.guests(self._connection))
        return usable_mib * host.KIB - held_kib

    # What the scheduler and Placement hear: as in XenOvercommitDriver.

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        """Give the fake driver's figures, memory measured, with the report."""
        resource: dict[str, Any] = super().get_available_resource(nodename)
        held_kib = sum(g.actual_kib for g in host.guests(self._connection))
        resource["memory_mb_used"] = held_kib // host.KIB
        resource["stats"] = self._publisher.add_stats(resource.get("stats"))
        return resource

    def update_provider_tree(
        self, provider_tree: Any, nodename: str, allocations: Any = None
    ) -> None:
        """Publish the inventory with our promise of memory."""
        super().update_provider_tree(provider_tree, nodename, allocations)
        inventory = dict(provider_tree.data(nodename).inventory)
        reserved_mib = inventory[_MEMORY_MB]["reserved"]
        inventory[_MEMORY_MB] = self._publisher.set_ratio(
            inventory[_MEMORY_MB], host.HOST_MIB - reserved_mib
        )
        provider_tree.update_inventory(nodename, inventory)

    # Guests: real domains, started with what was granted.

    def spawn(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Reserve memory, then define and start the domain."""
        needs = facts.InstanceFacts.of(instance)
        domain = self._connection.defineXML(domain_xml(needs))
        try:
            self._start(domain, needs)
        except Exception:
            domain.undefine()
            raise
        super().spawn(context, instance, *args, **kwargs)

    def _start(
        self, domain: libvirt.virDomain, needs: facts.InstanceFacts
    ) -> None:
        with self._starts.reserve(needs.request("hvm")) as start_kib:
            xml = guest_xml.with_current_memory(domain_xml(needs), start_kib)
            self._connection.defineXML(xml)
            domain.create()

    def power_on(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Reserve memory and start the domain again."""
        with self._domain(instance.uuid) as domain:
            if not domain.isActive():
                self._start(domain, facts.InstanceFacts.of(instance))
        super().power_on(context, instance, *args, **kwargs)

    def power_off(self, instance: Any, *args: Any, **kwargs: Any) -> None:
        """Stop the domain."""
        with self._domain(instance.uuid) as domain:
            if domain.isActive():
                domain.destroy()
        super().power_off(instance, *args, **kwargs)

    def destroy(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Stop the domain and forget it."""
        with (
            contextlib.suppress(nova_exception.InstanceNotFound),
            self._domain(instance.uuid) as domain,
        ):
            if domain.isActive():
                domain.destroy()
            domain.undefine()
        super().destroy(context, instance, *args, **kwargs)

    def get_info(
        self, instance: Any, use_cache: bool = True
    ) -> hardware.InstanceInfo:
        """Give the domain's state; ``use_cache`` has no meaning here."""
        del use_cache
        with self._domain(instance.uuid) as domain:
            state, _maximum = domain.state()
        return hardware.InstanceInfo(
            state=_STATES.get(state, power_state.SHUTDOWN)
        )

    @contextlib.contextmanager
    def _domain(self, uuid: str) -> Iterator[libvirt.virDomain]:
        try:
            yield self._connection.lookupByUUIDString(uuid)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            raise nova_exception.InstanceNotFound(instance_id=uuid) from error


def domain_xml(needs: facts.InstanceFacts) -> str:
    """Give the definition of a guest: its memory, and what the agent reads."""
    domain = ET.Element("domain", type="test")
    ET.SubElement(domain, "name").text = needs.name
    ET.SubElement(domain, "uuid").text = needs.uuid
    metadata = ET.SubElement(domain, "metadata")
    ET.SubElement(
        metadata, guest_metadata.TAG, needs.metadata().to_attributes()
    )
    ET.SubElement(domain, "memory", unit="KiB").text = str(needs.flavor_kib)
    ET.SubElement(domain, "vcpu").text = str(needs.vcpus)
    operating_system = ET.SubElement(domain, "os")
    ET.SubElement(operating_system, "type").text = "hvm"
    return ET.tostring(domain, encoding="unicode")
