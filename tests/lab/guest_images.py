# SPDX-License-Identifier: Apache-2.0
"""Guest images: a busybox with publisher, memory eater and a root shell.

Kernel, busybox and Xenstore tools are those of the host image, so nothing
is downloaded for them.
"""

import lzma
import pathlib
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator

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
    "kernel/drivers/block/xen-blkfront",
    "kernel/drivers/net/xen-netfront",
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


def _busybox_applets(busybox: pathlib.Path) -> list[str]:
    told = subprocess.run(
        [busybox, "--list"], capture_output=True, text=True, check=True
    ).stdout
    return told.split()


def common_entries(
    busybox: pathlib.Path, eater: pathlib.Path
) -> Iterator[initramfs.Entry]:
    """What a guest has on every hypervisor; ``busybox`` is a static one."""
    for name in (
        "bin dev proc sys run tmp root usr usr/bin lib lib/modules lib64 "
        "lib/x86_64-linux-gnu"
    ).split():
        yield initramfs.directory(name)
    yield initramfs.link("sbin", "bin")
    yield initramfs.program("init", SOURCE / "init")
    yield initramfs.program("bin/busybox", busybox)
    for applet in _busybox_applets(busybox):
        if applet != "busybox":
            yield initramfs.link(f"bin/{applet}", "busybox")
    yield initramfs.program("usr/bin/eat", eater)


def modules(
    tree: pathlib.Path, names: Iterable[str]
) -> Iterator[initramfs.Entry]:
    """Kernel modules of ``tree``, to be loaded in this order.

    What the kernel has built in is left out.
    """
    for number, name in enumerate(names):
        found = sorted(tree.glob(f"{name}.ko*"))
        if found:
            place = f"lib/modules/{number:02}-{pathlib.Path(name).name}.ko"
            yield initramfs.Entry(
                place, stat.S_IFREG | 0o644, _unpacked(found[0])
            )


def _unpacked(module: pathlib.Path) -> bytes:
    """Read a module, however the distribution packs it."""
    if module.suffix == ".xz":
        return lzma.decompress(module.read_bytes())
    if module.suffix == ".zst":
        return subprocess.run(
            ["zstd", "-dc", module], capture_output=True, check=True
        ).stdout
    return module.read_bytes()


def build_eater(out: pathlib.Path, log: pathlib.Path) -> pathlib.Path:
    """Compile the memory eater into ``out``."""
    eater = out / "eat"
    source = SOURCE / "eat.c"
    steps.run(["gcc", "-O2", "-static", "-o", eater, source], log)
    steps.run(["strip", eater], log)
    return eater


def _entries(
    base: pathlib.Path, eater: pathlib.Path
) -> Iterator[initramfs.Entry]:
    yield from common_entries(base / "bin/busybox", eater)
    if PUBLISHER.exists():
        yield initramfs.program(f"usr/bin/{PUBLISHER.name}", PUBLISHER)
    yield initramfs.program("usr/bin/xenstore", base / "usr/bin/xenstore")
    for verb in _XENSTORE:
        yield initramfs.link(f"usr/bin/xenstore-{verb}", "xenstore")
    for library in _libraries(base, "/usr/bin/xenstore"):
        yield initramfs.program(library[1:], base / library[1:])
    tree = max((base / "lib/modules").iterdir())
    yield from modules(tree, _MODULES)


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
    eater = build_eater(out, log)
    shutil.copy(kernel_of(base), out / "vmlinuz")
    initramfs.write(out / "initrd.gz", _entries(base, eater))
    with (out / "empty.raw").open("wb") as empty:
        empty.truncate(1 << 20)
    _hvm_disk(out, log)
