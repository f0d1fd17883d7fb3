# SPDX-License-Identifier: Apache-2.0
"""Xen's disks and interfaces in Nova's module-level functions.

These are functions of modules, which a subclass can't override. Each is
wrapped so that only Xen's cases are ours and all others stay Nova's.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from nova.network import model as network_model
from nova.virt.libvirt import blockinfo, vif

from nova_xen_overcommit.virt import xen_guest

XEN = "xen"
DISK_PREFIX = "xvd"
# Those that libxl takes: "scsi" is an emulated adapter with DMA, which
# firmware reads from many times faster than from "ide".
_DISK_BUSES = [XEN, "ide", "scsi"]
_ONE_UNIT = (DISK_PREFIX, "hd", "sd")
_OURS = "_nova_xen_overcommit"
_VIF_MODELS = [
    network_model.VIF_MODEL_NETFRONT,
    network_model.VIF_MODEL_NE2K_PCI,
    network_model.VIF_MODEL_PCNET,
    network_model.VIF_MODEL_RTL8139,
    network_model.VIF_MODEL_E1000,
]


def apply() -> None:
    """Teach Nova Xen's disk bus and interface models; repeatable."""
    blockinfo.SUPPORTED_DEVICE_BUSES[XEN] = _DISK_BUSES
    vif.SUPPORTED_VIF_MODELS.setdefault(XEN, _VIF_MODELS)
    _wrap(blockinfo, "get_dev_prefix_for_disk_bus", _prefix)
    _wrap(blockinfo, "get_disk_bus_for_disk_dev", _bus_of_device)
    _wrap(blockinfo, "get_disk_bus_for_device_type", _bus_of_type)
    _wrap(blockinfo, "get_config_drive_type", _config_drive_type)
    _wrap(blockinfo, "has_disk_dev", _has_disk)


def kind_of(instance: Any) -> xen_guest.Kind:
    """Give the kind of an instance."""
    properties = instance.image_meta.properties
    return xen_guest.kind_of(
        properties.get("hw_vm_mode") or instance.vm_mode,
        properties.get("hw_machine_type"),
    )


def _wrap(module: Any, name: str, wrapper: Callable[..., Any]) -> None:
    stock = getattr(module, name)
    if not hasattr(stock, _OURS):
        ours = functools.wraps(stock)(functools.partial(wrapper, stock))
        setattr(ours, _OURS, True)
        setattr(module, name, ours)


def _prefix(stock: Callable[..., Any], disk_bus: str) -> Any:
    if disk_bus == XEN:
        return blockinfo.CONF.libvirt.disk_prefix or DISK_PREFIX
    return stock(disk_bus)


def _bus_of_device(
    stock: Callable[..., Any], virt_type: str, disk_dev: str
) -> Any:
    if disk_dev.startswith(DISK_PREFIX):
        return XEN
    return stock(virt_type, disk_dev)


def _config_drive_type(stock: Callable[..., Any]) -> Any:
    # An emulated CD-ROM takes one of only four units from the disks.
    if blockinfo.CONF.libvirt.virt_type == XEN:
        return "disk"
    return stock()


def _has_disk(
    stock: Callable[..., Any], mapping: Mapping[str, Any], disk_dev: str
) -> bool:
    # An HVM guest sees hda and sda as xvda, too: they are one unit of one
    # machine.
    for prefix in _ONE_UNIT:
        if disk_dev.startswith(prefix):
            unit = disk_dev.removeprefix(prefix)
            return any(stock(mapping, other + unit) for other in _ONE_UNIT)
    return bool(stock(mapping, disk_dev))


def _bus_of_type(
    stock: Callable[..., Any],
    instance: Any,
    virt_type: str,
    image_meta: Any,
    device_type: str = "disk",
) -> Any:
    if virt_type != XEN or _asks_for_bus(image_meta, device_type):
        return stock(instance, virt_type, image_meta, device_type)
    if device_type == "floppy":
        return None
    emulated = kind_of(instance) is xen_guest.Kind.HVM
    return "ide" if device_type == "cdrom" and emulated else XEN


def _asks_for_bus(image_meta: Any, device_type: str) -> bool:
    return image_meta.properties.get(f"hw_{device_type}_bus") is not None
