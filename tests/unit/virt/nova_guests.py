# SPDX-License-Identifier: Apache-2.0
"""Guest configurations as Nova's libvirt driver builds them for virt_type xen.

Taken from what ``_get_guest_config`` of Nova 34 does, with all that QEMU has
and libxl refuses.
"""

from typing import Any

from nova.virt.libvirt import config as vconfig

UUID = "c5b7f0c2-5b2d-4b9e-8f0a-4f6b8f4f1a52"
NOVA_CMDLINE = "root=/dev/xvda console=tty0 console=ttyS0 console=hvc0"


def guest(*, kernel: bool, nic: bool = True) -> Any:
    """Give a guest of 1 GiB with root, swap and config drive."""
    config = vconfig.LibvirtConfigGuest()
    config.virt_type = "xen"
    config.uuid = UUID
    config.name = "instance-00000001"
    config.memory = 1024 * 1024
    config.vcpus = 1
    config.os_type = "hvm"
    config.iothreads = 1
    config.membacking = vconfig.LibvirtConfigGuestMemoryBacking()
    config.cpu = vconfig.LibvirtConfigGuestCPU()
    config.cputune = vconfig.LibvirtConfigGuestCPUTune()
    config.features = [vconfig.LibvirtConfigGuestFeatureVMCoreInfo()]
    clock = vconfig.LibvirtConfigGuestClock()
    clock.offset = "utc"
    config.set_clock(clock)
    config.perf_events = ["cmt"]
    if kernel:
        config.os_kernel = "/instances/kernel"
        config.os_initrd = "/instances/ramdisk"
        config.os_cmdline = NOVA_CMDLINE
    else:
        config.os_boot_dev = ["hd"]
    config.devices = devices(nic=nic)
    return config


def devices(*, nic: bool) -> list[Any]:
    """Give all devices that Nova may add."""
    found = [
        disk("disk", "xvda", "qcow2", boot_order="1"),
        disk("disk.swap", "xvdb", "raw"),
        cdrom(),
        serial(),
        channel(),
        graphics("vnc"),
        graphics("spice"),
        video(),
        tablet(),
        vconfig.LibvirtConfigGuestUSBHostController(),
        vconfig.LibvirtConfigGuestWatchdog(),
        vconfig.LibvirtConfigGuestRng(),
        balloon(),
    ]
    return [*found, interface()] if nic else found


def disk(
    name: str, device: str, image_format: str, boot_order: str | None = None
) -> Any:
    """Give a local disk as imagebackend makes it."""
    config = vconfig.LibvirtConfigGuestDisk()
    config.source_type = "file"
    config.source_path = f"/instances/{name}"
    config.driver_format = image_format
    config.driver_cache = "none"
    config.driver_io = "native"
    config.driver_discard = "unmap"
    config.target_dev = device
    config.target_bus = "xen"
    config.boot_order = boot_order
    return config


def cdrom() -> Any:
    """Give a config drive."""
    config = disk("disk.config", "hdc", "raw")
    config.source_device = "cdrom"
    config.target_bus = "ide"
    return config


def serial() -> Any:
    """Give the serial port with its log."""
    config = vconfig.LibvirtConfigGuestSerial()
    config.type = "pty"
    config.log = vconfig.LibvirtConfigGuestCharDeviceLog()
    config.log.file = "/instances/console.log"
    return config


def channel() -> Any:
    """Give the spice channel."""
    config = vconfig.LibvirtConfigGuestChannel()
    config.type = "spicevmc"
    config.target_name = "com.redhat.spice.0"
    return config


def graphics(kind: str) -> Any:
    """Give a display."""
    config = vconfig.LibvirtConfigGuestGraphics()
    config.type = kind
    config.listen = "127.0.0.1"
    return config


def video() -> Any:
    """Give the video card Nova chooses for x86."""
    config = vconfig.LibvirtConfigGuestVideo()
    config.type = "virtio"
    return config


def tablet() -> Any:
    """Give Nova's pointer device."""
    config = vconfig.LibvirtConfigGuestInput()
    config.type = "tablet"
    config.bus = "usb"
    return config


def interface() -> Any:
    """Give a bridged network interface."""
    config = vconfig.LibvirtConfigGuestInterface()
    config.net_type = "bridge"
    config.mac_addr = "fa:16:3e:00:00:01"
    config.source_dev = "br-int"
    config.target_dev = "tap0"
    config.mtu = 1450
    return config


def balloon() -> Any:
    """Give virtio's balloon."""
    config = vconfig.LibvirtConfigMemoryBalloon()
    config.model = "virtio"
    config.period = 10
    return config
