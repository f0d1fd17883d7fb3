# SPDX-License-Identifier: Apache-2.0
"""Guest images: a busybox with publisher, memory eater and a root shell.

Kernel, busybox and Xenstore tools are those of the host image, so nothing
is downloaded for them.
"""

import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator

from tests.lab import initramfs, steps

SOURCE = pathlib.Path(__file__).parent / "guest"
PUBLISHER = (
    pathlib.Path(__file__).parents[2]
    / "nova_xen_overcommit/guest/nova-xen-overcommit-publisher"
)
# No serial console: each letter on an emulated port costs some 30 ms.
KERNEL_ARGS = "root=/dev/ram0 rdinit=/init loglevel=4 console=hvc0 psi=1"
_XENSTORE = ("read", "write", "rm", "list", "ls", "exists", "watch", "chmod")
_MODULES = (
    "kernel/drivers/block/xen-blkfront.ko",
    "kernel/drivers/net/xen-netfront.ko",
)
_HVM_IMAGE_MIB = 24
_SYSLINUX = """\
DEFAULT lab
PROMPT 0
TIMEOUT 1
LABEL lab
  KERNEL vmlinuz
  INITRD initrd.gz
  APPEND {args}
"""


def kernel_of(base: pathlib.Path) -> pathlib.Path:
    """The newest kernel in the host image."""
    return max((base / "boot").glob("vmlinuz-*"))


def _libraries(base: pathlib.Path, program: str) -> list[str]:
    told = subprocess.run(
        ["chroot", base, "ldd", program],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return re.findall(r"(/lib\S+)", told)


def _busybox_applets(base: pathlib.Path) -> list[str]:
    told = subprocess.run(
        ["chroot", base, "/bin/busybox", "--list"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return told.split()


def _entries(
    base: pathlib.Path, eater: pathlib.Path
) -> Iterator[initramfs.Entry]:
    for name in (
        "bin dev proc sys run tmp root usr usr/bin lib lib/modules lib64 "
        "lib/x86_64-linux-gnu"
    ).split():
        yield initramfs.directory(name)
    yield initramfs.link("sbin", "bin")
    yield initramfs.program("init", SOURCE / "init")
    yield initramfs.program("bin/busybox", base / "bin/busybox")
    for applet in _busybox_applets(base):
        if applet != "busybox":
            yield initramfs.link(f"bin/{applet}", "busybox")
    yield initramfs.program("usr/bin/eat", eater)
    if PUBLISHER.exists():
        yield initramfs.program(f"usr/bin/{PUBLISHER.name}", PUBLISHER)
    yield initramfs.program("usr/bin/xenstore", base / "usr/bin/xenstore")
    for verb in _XENSTORE:
        yield initramfs.link(f"usr/bin/xenstore-{verb}", "xenstore")
    for library in _libraries(base, "/usr/bin/xenstore"):
        yield initramfs.program(library[1:], base / library[1:])
    modules = max((base / "lib/modules").iterdir())
    for module in _MODULES:
        path = modules / module
        yield initramfs.program(f"lib/modules/{path.name}", path)


def _hvm_disk(out: pathlib.Path, log: pathlib.Path) -> None:
    """A disk without partitions: FAT, syslinux, kernel and initramfs."""
    disk = out / "hvm.raw"
    settings = out / "syslinux.cfg"
    settings.write_text(_SYSLINUX.format(args=KERNEL_ARGS))
    with disk.open("wb") as empty:
        empty.truncate(_HVM_IMAGE_MIB << 20)
    steps.run(["mkfs.fat", "-F", "16", disk], log)
    steps.run(["syslinux", "--install", disk], log)
    files = [out / "vmlinuz", out / "initrd.gz", settings]
    steps.run(["mcopy", "-i", disk, *files, "::/"], log)


def build(base: pathlib.Path, out: pathlib.Path, log: pathlib.Path) -> None:
    """Make vmlinuz, initrd.gz, empty.raw and hvm.raw in ``out``.

    ``base`` is the unpacked host image. PV and PVH boot vmlinuz and
    initrd.gz, with empty.raw as the disk that Nova insists on.
    """
    eater = out / "eat"
    source = SOURCE / "eat.c"
    steps.run(["gcc", "-O2", "-static", "-o", eater, source], log)
    steps.run(["strip", eater], log)
    shutil.copy(kernel_of(base), out / "vmlinuz")
    initramfs.write(out / "initrd.gz", _entries(base, eater))
    with (out / "empty.raw").open("wb") as empty:
        empty.truncate(1 << 20)
    _hvm_disk(out, log)
