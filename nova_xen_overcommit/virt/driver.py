# SPDX-License-Identifier: Apache-2.0
"""The virt driver: Nova's libvirt driver with memory on demand.

Every method only delegates: to Nova's, and to :mod:`starts` (reservations
and holds), :mod:`publisher` (report and capacity), :mod:`notices` (what
others should hear of) and :mod:`platforms` (Xen or QEMU).
"""

import time
from typing import Any

from nova import conf as nova_conf
from nova.virt.libvirt import driver as libvirt_driver
from oslo_log import log as logging

from nova_xen_overcommit import conf, report
from nova_xen_overcommit.agent import client, protocol
from nova_xen_overcommit.virt import (
    compute_node,
    facts,
    guest_element,
    guest_xml,
    notices,
    notifications,
    platforms,
    publisher,
    saved_memory,
    starts,
    xen_capabilities,
    xen_devices,
    xen_guest,
    xen_patches,
)

CONF = nova_conf.CONF
LOG = logging.getLogger(__name__)

_MEMORY_MB = "MEMORY_MB"


class XenOvercommitDriver(libvirt_driver.LibvirtDriver):
    """Libvirt driver that places and starts by measured memory."""

    def __init__(self, virtapi: Any, read_only: bool = False) -> None:
        conf.register_opts(CONF)
        conf.check(CONF)
        super().__init__(virtapi, read_only)
        stock_host: Any = self._host
        self._platform = platforms.of(
            CONF.libvirt.virt_type, stock_host, self._uri(), read_only
        )
        self._host: Any = self._platform.host
        self.vif_driver = self._platform.vif_driver()
        agent = client.AgentClient(CONF.xen_overcommit.agent_socket)
        self._publisher = publisher.Publisher(CONF, agent, time.time)
        self._notices = notices.Notices(
            agent.tidings,
            self._publisher.require_fresh,
            notifications.Sender(CONF.host),
        )
        self._starts = starts.Starts(
            CONF, agent, self._publisher.mode, self._platform.free_kib
        )

    @staticmethod
    def _uri() -> str:
        if CONF.libvirt.virt_type == xen_patches.XEN:
            return CONF.libvirt.connection_uri or "xen:///system"
        return str(libvirt_driver.LibvirtDriver._uri())

    @staticmethod
    def _live_migration_uri(dest: str) -> str:
        stock = CONF.libvirt.virt_type != xen_patches.XEN
        if stock or CONF.libvirt.live_migration_uri:
            return str(libvirt_driver.LibvirtDriver._live_migration_uri(dest))
        return xen_capabilities.migration_uri(
            dest, CONF.libvirt.live_migration_scheme
        )

    def _get_instance_capabilities(self) -> list[tuple[str, str, str]]:
        if CONF.libvirt.virt_type == xen_patches.XEN:
            return xen_capabilities.instances(self._host.get_capabilities())
        return list(super()._get_instance_capabilities())

    # What the scheduler and Placement hear.

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        """Give Nova's figures with the agent's report among the stats."""
        resource: dict[str, Any] = super().get_available_resource(nodename)
        stats = dict(resource.get("stats") or {})
        stats[report.RESERVED_KEY] = str(CONF.reserved_host_memory_mb)
        resource["stats"] = self._publisher.add_stats(stats)
        self._notices.look(nodename)
        return resource

    def update_provider_tree(
        self, provider_tree: Any, nodename: str, allocations: Any = None
    ) -> None:
        """Publish Nova's inventory with our promise of memory."""
        super().update_provider_tree(provider_tree, nodename, allocations)
        inventory = dict(provider_tree.data(nodename).inventory)
        if _MEMORY_MB in inventory:
            reserved_mib = inventory[_MEMORY_MB]["reserved"]
            inventory[_MEMORY_MB] = self._publisher.set_ratio(
                inventory[_MEMORY_MB], self._platform.usable_mib(reserved_mib)
            )
            provider_tree.update_inventory(nodename, inventory)
            compute_node.set_ram_ratio(
                self.virtapi,
                nodename,
                inventory[_MEMORY_MB]["allocation_ratio"],
            )

    # What a guest is made of.

    def _get_guest_config(
        self, instance: Any, *args: Any, **kwargs: Any
    ) -> Any:
        guest = super()._get_guest_config(instance, *args, **kwargs)
        needs = facts.InstanceFacts.of(instance)
        self._platform.convert(guest, instance, needs)
        element = guest_element.MetadataElement(needs.metadata())
        guest.metadata.append(element)
        return guest

    def get_device_name_for_instance(
        self, instance: Any, bdms: Any, block_device_obj: Any
    ) -> str:
        """Name a disk to be attached; Xen takes no emulated one later.

        Nor may it be one once the guest starts anew: its firmware could take
        it for the disk to boot from.
        """
        on_xen = CONF.libvirt.virt_type == xen_patches.XEN
        if on_xen:
            bus = block_device_obj.disk_bus or xen_patches.XEN
            block_device_obj.disk_bus = bus
        name = str(
            super().get_device_name_for_instance(
                instance, bdms, block_device_obj
            )
        )
        kind = xen_patches.kind_of(instance) if on_xen else None
        if kind is not xen_guest.Kind.HVM:
            return name
        taken = [bdm.device_name for bdm in bdms]
        return xen_devices.never_emulated(name, taken)

    def _get_volume_config(self, *args: Any, **kwargs: Any) -> Any:
        config = super()._get_volume_config(*args, **kwargs)
        if CONF.libvirt.virt_type == xen_patches.XEN:
            return xen_devices.convert_disk(config, emulated=False)
        return config

    def _detach_from_live_and_wait_for_event(
        self, dev: Any, guest: Any, instance_uuid: str, device_name: str
    ) -> None:
        """Take a device from a guest that runs.

        libxl gives devices no alias, sends no event when one is gone, and
        doesn't return before that.
        """
        if CONF.libvirt.virt_type != xen_patches.XEN:
            super()._detach_from_live_and_wait_for_event(
                dev, guest, instance_uuid, device_name
            )
            return
        self._detach_sync(
            dev,
            guest,
            instance_uuid,
            device_name,
            persistent=False,
            live=True,
        )

    # Starts: each goes through one of these three.

    def _request(self, instance: Any, os_type: str) -> protocol.StartRequest:
        needs = facts.InstanceFacts.of(instance)
        restore_kib = saved_memory.recall(
            instance, self._host, needs.flavor_kib
        )
        return needs.request(os_type, restore_kib)

    def _create_guest(
        self,
        context: Any,
        xml: str,
        instance: Any,
        power_on: bool = True,
        pause: bool = False,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        start = super()._create_guest
        if not (power_on or pause):
            return start(
                context, xml, instance, power_on, pause, *args, **kwargs
            )
        request = self._request(instance, guest_xml.os_type(xml))
        with self._starts.reserve(request) as start_kib:
            xml = guest_xml.with_current_memory(xml, start_kib)
            guest = start(
                context, xml, instance, power_on, pause, *args, **kwargs
            )
        saved_memory.forget(instance)
        return guest

    def _resume_guest_after_snapshot(
        self,
        context: Any,
        live_snapshot: bool,
        original_power_state: int,
        instance: Any,
        guest: Any,
    ) -> None:
        resume = super()._resume_guest_after_snapshot
        arguments = (context, live_snapshot, original_power_state)
        if not self._needs_suspend_resume_for_snapshot(
            live_snapshot, original_power_state
        ):
            return
        request = self._request(instance, self._platform.os_type(instance))
        with self._starts.reserve(request):
            resume(*arguments, instance, guest)
        saved_memory.forget(instance)

    def reboot(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        reboot_type: str,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Reboot; a soft one shuts down first, then starts like any other.

        Nova's own soft reboot starts the guest without asking anybody.
        """
        if reboot_type == "SOFT":
            wait_s = CONF.libvirt.wait_soft_reboot_seconds
            self._clean_shutdown(instance, wait_s, wait_s)
        super().reboot(
            context, instance, network_info, "HARD", *args, **kwargs
        )

    # Incoming live migration: libvirt starts the guest.

    def pre_live_migration(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Make room for all of the guest, then prepare as Nova does."""
        needs = facts.InstanceFacts.of(instance)
        os_type = self._platform.os_type(instance)
        self._starts.reserve_incoming(needs.request(os_type, needs.flavor_kib))
        try:
            return super().pre_live_migration(
                context, instance, *args, **kwargs
            )
        except Exception:
            self._starts.release_incoming(instance.uuid)
            raise

    def post_live_migration_at_destination(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Finish as Nova does; the guest runs, its reservation ends."""
        self._starts.release_incoming(instance.uuid)
        super().post_live_migration_at_destination(
            context, instance, *args, **kwargs
        )

    def rollback_live_migration_at_destination(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Undo as Nova does; the guest won't come."""
        self._starts.release_incoming(instance.uuid)
        super().rollback_live_migration_at_destination(
            context, instance, *args, **kwargs
        )

    # What the agent must not disturb.

    def suspend(self, context: Any, instance: Any) -> None:
        """Save the guest to disk and remember how much memory it needs."""
        with self._starts.hold(instance.uuid, "suspend"):
            saved_memory.remember(instance, self._host)
            super().suspend(context, instance)

    def pause(self, instance: Any) -> None:
        """Pause the guest."""
        with self._starts.hold(instance.uuid, "pause"):
            super().pause(instance)

    def snapshot(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Take a snapshot of the guest."""
        with self._starts.hold(instance.uuid, "snapshot"):
            super().snapshot(context, instance, *args, **kwargs)

    def rescue(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Boot the guest from a rescue image."""
        with self._starts.hold(instance.uuid, "rescue"):
            super().rescue(context, instance, *args, **kwargs)

    def unrescue(self, context: Any, instance: Any) -> None:
        """Boot the guest from its own disks again."""
        with self._starts.hold(instance.uuid, "unrescue"):
            super().unrescue(context, instance)

    def migrate_disk_and_power_off(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Stop the guest and move its disks."""
        with self._starts.hold(instance.uuid, "resize"):
            return super().migrate_disk_and_power_off(
                context, instance, *args, **kwargs
            )

    def live_migration(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Move the running guest to another host."""
        with self._starts.hold(instance.uuid, "live migration"):
            super().live_migration(context, instance, *args, **kwargs)
