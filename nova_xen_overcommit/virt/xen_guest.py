# SPDX-License-Identifier: Apache-2.0
"""Nova's guest configuration made Xen's; pure.

libxl refuses much of what Nova writes for QEMU, so everything is left out
that isn't known to be understood: a device class that a later Nova adds
can't break a start. Directions differ by kind of guest:

PV
    paravirtual, kernel and ramdisk from the image (``hw_vm_mode=xen``)
PVH
    hardware-assisted without emulated devices, kernel and ramdisk from the
    image (``hw_machine_type=xenpvh``)
HVM
    a whole emulated machine, the default
"""

import dataclasses
import enum
from collections.abc import Collection, Sequence
from typing import Any, Self

from nova.virt.libvirt import config as vconfig

from nova_xen_overcommit.virt import errors, xen_devices

_ARCH = "x86_64"
# What Nova appends to the command line of a guest with its own kernel; only
# hvc0 exists in a guest without emulated devices.
_NOVA_CONSOLES = "console=tty0 console=ttyS0 console=hvc0"
_PV_CONSOLE = "console=hvc0"


class Kind(enum.Enum):
    """The kinds of Xen guests: OS type and machine in libvirt's words."""

    PV = ("linux", "xenpv")
    PVH = ("xenpvh", "xenpvh")
    HVM = ("hvm", "xenfv")

    @property
    def os_type(self) -> str:
        """The text of ``<os><type>``."""
        return self.value[0]

    @property
    def machine(self) -> str:
        """The machine attribute of ``<os><type>``."""
        return self.value[1]


def kind_of(vm_mode: str | None, machine_type: str | None) -> Kind:
    """Give the kind that an image's properties ask for."""
    if machine_type == Kind.PVH.machine:
        return Kind.PVH
    if vm_mode in ("xen", "linux") or machine_type == Kind.PV.machine:
        return Kind.PV
    return Kind.HVM


@dataclasses.dataclass(frozen=True, slots=True)
class HvmPaths:
    """Where an HVM guest's firmware and emulator are; None: libxl's own."""

    loader: str | None = None
    emulator: str | None = None

    @classmethod
    def from_capabilities(cls, capabilities: Any) -> Self:
        """Read libvirt's ``<capabilities>``."""
        for guest in capabilities.iterfind("guest"):
            arch = guest.find("arch")
            if arch is None or arch.get("name") != _ARCH:
                continue
            if guest.findtext("os_type") == Kind.HVM.os_type:
                return cls(
                    loader=arch.findtext("loader"),
                    emulator=arch.findtext("emulator"),
                )
        return cls()


def convert(guest: Any, kind: Kind, paths: HvmPaths) -> None:
    """Turn Nova's LibvirtConfigGuest into one that libxl takes, in place.

    :raises UnsupportedGuest: a guest without emulated devices has no
        kernel to boot.
    """
    guest.virt_type = "xen"
    guest.os_type = kind.os_type
    guest.os_arch = _ARCH
    guest.os_mach_type = kind.machine
    pins = _pins(guest)
    _drop_unknown(guest)
    guest.cputune = pins
    if kind is Kind.HVM:
        _convert_hvm(guest, paths)
    else:
        _convert_kernel(guest, kind)
    guest.devices = _devices(guest.devices, kind, paths)


def _pins(guest: Any) -> Any | None:
    """Give where the guest's processors may run; None: anywhere.

    libxl reads ``<vcpupin>`` alone: ``<vcpu cpuset>``, in which Nova writes
    ``[compute] cpu_shared_set``, is ignored without a word.
    """
    tune = vconfig.LibvirtConfigGuestCPUTune()
    if guest.cputune:
        tune.vcpupin = guest.cputune.vcpupin
    if not tune.vcpupin and guest.cpuset:
        tune.vcpupin = [_pin(n, guest.cpuset) for n in range(guest.vcpus)]
    return tune if tune.vcpupin else None


def _pin(number: int, processors: Collection[int]) -> Any:
    pin = vconfig.LibvirtConfigGuestCPUTuneVCPUPin()
    pin.id = number
    pin.cpuset = processors
    return pin


def _drop_unknown(guest: Any) -> None:
    for name in ("membacking", "memtune", "numatune", "cpu"):
        setattr(guest, name, None)
    for name in ("iothreads", "sysinfo", "os_smbios", "launch_security"):
        if hasattr(guest, name):
            setattr(guest, name, None)
    guest.idmaps = []
    guest.perf_events = []
    guest.os_bootmenu = False


def _convert_hvm(guest: Any, paths: HvmPaths) -> None:
    guest.os_loader = paths.loader
    guest.features = [
        vconfig.LibvirtConfigGuestFeature("pae"),
        vconfig.LibvirtConfigGuestFeatureACPI(),
        vconfig.LibvirtConfigGuestFeatureAPIC(),
    ]


def _convert_kernel(guest: Any, kind: Kind) -> None:
    if not guest.os_kernel:
        raise errors.UnsupportedGuest(
            reason=f"a {kind.name} guest boots the kernel that its image "
            "names (kernel_id); this image names none"
        )
    guest.os_boot_dev = []
    guest.features = []
    if guest.os_cmdline:
        guest.os_cmdline = guest.os_cmdline.replace(
            _NOVA_CONSOLES, _PV_CONSOLE
        )


def _devices(devices: Sequence[Any], kind: Kind, paths: HvmPaths) -> list[Any]:
    emulated = kind is Kind.HVM
    converted = [
        device
        for device in (
            xen_devices.convert(device, emulated=emulated)
            for device in devices
        )
        if device is not None
    ]
    if kind is Kind.PVH:
        converted = xen_devices.without_display(converted)
    if not emulated:
        converted = xen_devices.with_one_console(converted)
    elif paths.emulator:
        converted.insert(0, xen_devices.Emulator(paths.emulator))
    return [*converted, xen_devices.balloon()]
