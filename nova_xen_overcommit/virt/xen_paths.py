# SPDX-License-Identifier: Apache-2.0
"""Where a host keeps the firmware and the emulator of HVM guests.

libvirt's capabilities name where they are by default; Debian's libvirt
names files that Debian's Xen doesn't have. So the places that distributions
use are looked at too.
"""

from collections.abc import Iterable
from pathlib import Path

from nova_xen_overcommit.virt.xen_guest import HvmPaths

LOADERS = (
    "usr/lib/xen/boot/hvmloader",
    "usr/lib/xen-*/boot/hvmloader",
    "usr/libexec/xen/boot/hvmloader",
    "usr/lib64/xen/boot/hvmloader",
)
EMULATORS = (
    "usr/libexec/xen-qemu-system-i386",
    "usr/lib/xen/bin/qemu-system-i386",
    "usr/lib/xen-*/bin/qemu-system-i386",
    "usr/libexec/xen/bin/qemu-system-i386",
    "usr/bin/qemu-system-i386",
    "usr/bin/qemu-system-x86_64",
)


def existing(named: HvmPaths, root: Path = Path("/")) -> HvmPaths:
    """Give the paths that exist, first those that libvirt names.

    Where nothing is found what libvirt names is kept: its error then tells
    which file is missing.
    """
    return HvmPaths(
        loader=_first(named.loader, LOADERS, root),
        emulator=_first(named.emulator, EMULATORS, root),
    )


def _first(
    named: str | None, patterns: Iterable[str], root: Path
) -> str | None:
    relative = [named.lstrip("/")] if named else []
    for pattern in (*relative, *patterns):
        # The newest of several versions.
        for found in sorted(root.glob(pattern), reverse=True):
            return f"/{found.relative_to(root)}"
    return named
