# SPDX-License-Identifier: Apache-2.0
"""Every symbol of Nova that we override, call or patch, in one table.

Nova promises none of them to anybody, so they are checked at start-up: a
Nova that changed one is told by name instead of failing in the middle of a
start. The table holds what Nova 31, 33 and 34 have in common; calls pass
everything else through (``*args, **kwargs``), which covers what a release
adds at the end, such as ``old_guest`` of ``_get_guest_config`` in 33.
"""

import dataclasses
import importlib
import inspect
from collections.abc import Iterable
from typing import Any

from nova_xen_overcommit import exception

_DRIVER = "nova.virt.libvirt.driver:LibvirtDriver"
_HOST = "nova.virt.libvirt.host:Host"
_VIF = "nova.virt.libvirt.vif:"
_BLOCK = "nova.virt.libvirt.blockinfo:"
_CONFIG = "nova.virt.libvirt.config:"


@dataclasses.dataclass(frozen=True, slots=True)
class Symbol:
    """One symbol, ``module:qualified.name``.

    ``parameters`` must be the names of its first ones, None for a symbol
    that isn't called.
    """

    target: str
    why: str
    parameters: str | None = None


SYMBOLS = (
    Symbol(f"{_DRIVER}.init_host", "start-up", "self host"),
    Symbol(
        f"{_DRIVER}._create_guest",
        "reservation before nearly every start",
        "self context xml instance power_on pause post_xml_callback",
    ),
    Symbol(
        f"{_DRIVER}._resume_guest_after_snapshot",
        "reservation before the start after a snapshot",
        "self context live_snapshot original_power_state instance guest",
    ),
    Symbol(
        f"{_DRIVER}._needs_suspend_resume_for_snapshot",
        "whether a snapshot restarts the guest",
        "self live_snapshot current_power_state",
    ),
    Symbol(
        f"{_DRIVER}.reboot",
        "soft reboot, which starts the guest past _create_guest",
        "self context instance network_info reboot_type",
    ),
    Symbol(
        f"{_DRIVER}._clean_shutdown",
        "soft reboot",
        "self instance timeout retry_interval",
    ),
    Symbol(
        f"{_DRIVER}._get_guest_config",
        "guest configuration for Xen, metadata for the agent",
        "self instance network_info image_meta disk_info",
    ),
    Symbol(
        f"{_DRIVER}.get_available_resource",
        "report to the scheduler",
        "self nodename",
    ),
    Symbol(
        f"{_DRIVER}.update_provider_tree",
        "memory inventory",
        "self provider_tree nodename allocations",
    ),
    Symbol(
        f"{_DRIVER}.snapshot",
        "hold while a snapshot is taken",
        "self context instance",
    ),
    Symbol(
        f"{_DRIVER}.suspend",
        "hold, and remember the memory of a suspended guest",
        "self context instance",
    ),
    Symbol(
        f"{_DRIVER}.resume",
        "restart with the memory the guest was suspended with",
        "self context instance network_info",
    ),
    Symbol(f"{_DRIVER}.pause", "hold", "self instance"),
    Symbol(f"{_DRIVER}.rescue", "hold", "self context instance"),
    Symbol(f"{_DRIVER}.unrescue", "hold", "self context instance"),
    Symbol(
        f"{_DRIVER}.migrate_disk_and_power_off",
        "hold during a resize",
        "self context instance dest",
    ),
    Symbol(
        f"{_DRIVER}.live_migration",
        "hold at the source",
        "self context instance dest",
    ),
    Symbol(
        f"{_DRIVER}.pre_live_migration",
        "reservation at the destination",
        "self context instance",
    ),
    Symbol(
        f"{_DRIVER}.post_live_migration_at_destination",
        "end of the reservation at the destination",
        "self context instance",
    ),
    Symbol(
        f"{_DRIVER}.rollback_live_migration_at_destination",
        "end of the reservation at the destination",
        "self context instance",
    ),
    Symbol(f"{_DRIVER}._uri", "connection to Xen", ""),
    Symbol(f"{_DRIVER}._live_migration_uri", "migration to Xen", "dest"),
    Symbol(
        f"{_DRIVER}._get_instance_capabilities",
        "guest kinds that Nova has no name for",
        "self",
    ),
    Symbol(
        f"{_DRIVER}.get_device_name_for_instance",
        "volumes attached to Xen guests",
        "self instance bdms block_device_obj",
    ),
    Symbol(
        f"{_DRIVER}._get_volume_config",
        "volumes attached to Xen guests",
        "self",
    ),
    Symbol(
        f"{_DRIVER}._detach_from_live_and_wait_for_event",
        "volumes and interfaces detached from Xen guests",
        "self dev guest instance_uuid device_name",
    ),
    Symbol(
        f"{_DRIVER}._detach_sync",
        "volumes and interfaces detached from Xen guests",
        "dev guest instance_uuid device_name persistent live",
    ),
    Symbol(
        f"{_HOST}.__init__",
        "connection to Xen",
        "self uri read_only conn_event_handler lifecycle_event_handler",
    ),
    Symbol(
        f"{_HOST}.list_instance_domains",
        "Domain-0 is no instance",
        "self only_running",
    ),
    Symbol(f"{_HOST}.get_available_cpus", "no CPU map on Xen", "self"),
    Symbol(f"{_HOST}.get_online_cpus", "no CPU map on Xen", "self"),
    Symbol(f"{_HOST}.get_memory_mb_used", "memory of Xen", "self"),
    Symbol(f"{_HOST}.get_memory_mb_total", "memory of the host", "self"),
    Symbol(f"{_HOST}._get_hardware_info", "CPUs of Xen", "self"),
    Symbol(f"{_HOST}._get_avail_memory_kb", "free memory of the host", ""),
    Symbol(f"{_HOST}._get_domain", "suspended guests", "self instance"),
    Symbol(f"{_HOST}.get_guest", "migration of Xen guests", "self instance"),
    Symbol(f"{_HOST}.write_instance_config", "Xen guests", "self xml"),
    Symbol(
        "nova.virt.libvirt.guest:Guest.launch",
        "starts of Xen guests, one at a time",
        "self pause",
    ),
    Symbol(
        "nova.virt.libvirt.guest:Guest.migrate",
        "migration of Xen guests",
        "self destination migrate_uri migrate_disks destination_xml flags",
    ),
    Symbol(f"{_HOST}.get_connection", "memory of Xen", "self"),
    Symbol(
        f"{_VIF}LibvirtGenericVIFDriver.get_config",
        "network interfaces of Xen guests",
        "self instance vif image_meta flavor virt_type",
    ),
    Symbol(
        f"{_VIF}LibvirtGenericVIFDriver.get_vif_model",
        "network interfaces of Xen guests",
        "self image_meta vif_model",
    ),
    Symbol(f"{_VIF}SUPPORTED_VIF_MODELS", "interface models of Xen"),
    Symbol(f"{_BLOCK}SUPPORTED_DEVICE_BUSES", "disk buses of Xen"),
    Symbol(f"{_BLOCK}get_dev_prefix_for_disk_bus", "xvd disks", "disk_bus"),
    Symbol(
        f"{_BLOCK}get_disk_bus_for_disk_dev",
        "xvd disks",
        "virt_type disk_dev",
    ),
    Symbol(
        f"{_BLOCK}get_disk_bus_for_device_type",
        "disk bus xen",
        "instance virt_type image_meta device_type",
    ),
    Symbol(f"{_BLOCK}get_config_drive_type", "config drive", ""),
    Symbol(f"{_BLOCK}has_disk_dev", "xvd disks", "mapping disk_dev"),
    *(
        Symbol(f"{_CONFIG}LibvirtConfig{name}", "guest configuration")
        for name in (
            "Guest",
            "GuestConsole",
            "GuestDevice",
            "GuestDisk",
            "GuestFeature",
            "GuestFeatureACPI",
            "GuestFeatureAPIC",
            "GuestGraphics",
            "GuestHostdevPCI",
            "GuestInput",
            "GuestInterface",
            "GuestSerial",
            "GuestVideo",
            "MemoryBalloon",
            "Object",
        )
    ),
)


def check(symbols: Iterable[Symbol] = SYMBOLS) -> None:
    """Check that Nova has all that we lean on.

    :raises InvalidConfiguration: names every symbol that is missing or has
        other parameters, and what it is needed for.
    """
    faults = [fault for symbol in symbols if (fault := _fault(symbol))]
    if faults:
        raise exception.InvalidConfiguration(
            "this Nova doesn't fit nova_xen_overcommit: " + "; ".join(faults)
        )


def _fault(symbol: Symbol) -> str:
    try:
        found = _resolve(symbol.target)
    except (ImportError, AttributeError):
        return f"{symbol.target} is missing (needed for: {symbol.why})"
    if symbol.parameters is None:
        return ""
    expected = symbol.parameters.split()
    actual = list(inspect.signature(found).parameters)[: len(expected)]
    if actual == expected:
        return ""
    return (
        f"{symbol.target} takes ({', '.join(actual)}, …), expected "
        f"({', '.join(expected)}, …) (needed for: {symbol.why})"
    )


def _resolve(target: str) -> Any:
    module, _, path = target.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found
