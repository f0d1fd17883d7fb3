# SPDX-License-Identifier: Apache-2.0
"""The devices of Nova's guest configuration made Xen's; pure.

``emulated`` tells whether the guest has an emulated machine (HVM) or
paravirtual devices only (PV, PVH).
"""

import itertools
import re
import string
from collections.abc import Callable, Collection, Sequence
from typing import Any

from nova.virt.libvirt import config as vconfig

NETFRONT = "netfront"
# Attributes of a disk that are QEMU's own, or that libxl refuses.
_DISK_UNKNOWN = (
    "driver_cache",
    "driver_discard",
    "driver_io",
    "driver_iommu",
    "logical_block_size",
    "physical_block_size",
    "device_addr",
    "boot_order",
    "alias",
)
_NIC_UNKNOWN = (
    "driver_name",
    "driver_iommu",
    "vhost_queues",
    "vhost_rx_queue_size",
    "vhost_tx_queue_size",
    "alias",
)


# libxl gives an HVM guest these disks as emulated IDE disks, too.
_EMULATED = re.compile(r"/dev/xvd[abcd]")
_LETTERS = string.ascii_lowercase
_NEVER_EMULATED = [
    f"/dev/xvd{unit}"
    for unit in itertools.chain(_LETTERS[4:], map("a".__add__, _LETTERS))
]


class Emulator(vconfig.LibvirtConfigGuestDevice):
    """``<emulator>``, which Nova's configuration has no word for."""

    def __init__(self, path: str) -> None:
        super().__init__(root_name="emulator")
        self.path = path

    def format_dom(self) -> Any:
        """Give the element."""
        node = super().format_dom()
        node.text = self.path
        return node


class _Balloon(vconfig.LibvirtConfigGuestDevice):
    # Nova's own class writes attributes that are virtio's.

    def __init__(self) -> None:
        super().__init__(root_name="memballoon")

    def format_dom(self) -> Any:
        node = super().format_dom()
        node.set("model", "xen")
        return node


class _Video(vconfig.LibvirtConfigGuestDevice):
    # Nova's own class writes heads and other models' attributes.

    def __init__(self, model: str) -> None:
        super().__init__(root_name="video")
        self.model = model

    def format_dom(self) -> Any:
        node = super().format_dom()
        node.append(self._new_node("model", type=self.model))
        return node


def never_emulated(device: str, taken: Collection[str | None]) -> str:
    """Give a name by which libxl makes no emulated disk of ``device``.

    ``taken`` are the names of the guest's other disks. With 48 of them it is
    ``device`` itself.
    """
    if not _EMULATED.fullmatch(device):
        return device
    free = (name for name in _NEVER_EMULATED if name not in taken)
    return next(free, device)


def balloon() -> Any:
    """Give Xen's balloon."""
    return _Balloon()


def convert(device: Any, *, emulated: bool) -> Any | None:
    """Give the device for Xen, None where it is to be left out."""
    for device_class, converter in _CONVERTERS:
        if isinstance(device, device_class):
            return converter(device, emulated)
    return None


def convert_disk(disk: Any, emulated: bool) -> Any:
    """Give the disk as libxl takes it.

    Block devices, and raw images of guests without a QEMU of their own, go
    through blkback (``phy``), which needs no process in dom0; all else is
    QEMU's. A guest without emulated devices sees a CD-ROM as a read-only
    disk.
    """
    for name in _DISK_UNKNOWN:
        if hasattr(disk, name):
            setattr(disk, name, None)
    if disk.source_device == "cdrom" and not emulated:
        disk.source_device = "disk"
        disk.readonly = True
    disk.driver_format = disk.driver_format or "raw"
    disk.driver_name = _disk_driver(disk, emulated)
    return disk


def convert_interface(interface: Any, emulated: bool) -> Any:
    """Give the network interface as libxl takes it."""
    for name in _NIC_UNKNOWN:
        if hasattr(interface, name):
            setattr(interface, name, None)
    if interface.net_type == "hostdev":
        interface.managed = "no"
    elif interface.model is None or not emulated:
        interface.model = NETFRONT
    return interface


def without_display(devices: Sequence[Any]) -> list[Any]:
    """Give the devices without graphics and video."""
    display = (vconfig.LibvirtConfigGuestGraphics, _Video)
    return [device for device in devices if not isinstance(device, display)]


def with_one_console(devices: Sequence[Any]) -> list[Any]:
    """Give the devices with exactly one paravirtual console."""
    kind = vconfig.LibvirtConfigGuestConsole
    consoles = [device for device in devices if isinstance(device, kind)]
    rest = [device for device in devices if not isinstance(device, kind)]
    return [*rest, *(consoles[:1] or [_console()])]


def _disk_driver(disk: Any, emulated: bool) -> str:
    if disk.driver_format != "raw" or disk.source_device == "cdrom":
        return "qemu"
    if disk.source_type == "block":
        return "phy"
    # An image file needs a hotplug script for its loop device; that isn't
    # worth it where there is a QEMU anyway.
    return "phy" if disk.source_type == "file" and not emulated else "qemu"


def _console() -> Any:
    console = vconfig.LibvirtConfigGuestConsole()
    console.type = "pty"
    console.target_type = "xen"
    console.target_port = 0
    return console


def _serial(serial: Any, emulated: bool) -> Any | None:
    if not emulated:
        return _console()
    # Without virtlogd nobody writes a log.
    serial.log = None
    if serial.type == "file":
        serial.type, serial.source_path = "pty", None
    return serial


def _graphics(graphics: Any, _emulated: bool) -> Any | None:
    return graphics if graphics.type == "vnc" else None


def _video(_video: Any, emulated: bool) -> Any:
    return _Video("vga" if emulated else "xen")


def _input(device: Any, emulated: bool) -> Any | None:
    return device if emulated and device.bus == "usb" else None


def _pci(device: Any, _emulated: bool) -> Any:
    # Nova detaches and attaches the device itself.
    device.managed = "no"
    return device


_CONVERTERS: tuple[tuple[type, Callable[[Any, bool], Any | None]], ...] = (
    (vconfig.LibvirtConfigGuestDisk, convert_disk),
    (vconfig.LibvirtConfigGuestInterface, convert_interface),
    (vconfig.LibvirtConfigGuestSerial, _serial),
    (vconfig.LibvirtConfigGuestConsole, _serial),
    (vconfig.LibvirtConfigGuestGraphics, _graphics),
    (vconfig.LibvirtConfigGuestVideo, _video),
    (vconfig.LibvirtConfigGuestInput, _input),
    (vconfig.LibvirtConfigGuestHostdevPCI, _pci),
)
