# SPDX-License-Identifier: Apache-2.0
"""A whole-disk image of Debian 12 as clouds have it, made of its packages.

Partition table, GRUB, ext4, Debian's kernel for clouds and cloud-init;
nothing of ours is in it. Like everything here it is made without mounting.
"""

import pathlib
import struct

from tests.lab import layers, steps

SUITE = "bookworm"
PACKAGES = (
    "systemd-sysv dbus udev kmod procps iproute2 linux-image-cloud-amd64 "
    "grub-pc-bin grub-common cloud-init"
).split()
_LEFT_OUT = "/usr/share/man/* /usr/share/doc/* /usr/share/locale/*".split()
_DISK_MIB = 2048
# GRUB lies between the partition table and the partition.
_START_MIB = 1
_SECTOR = 512
_MBR_CODE = 440
_TABLE = 446
_ENTRY = 16
_MODULES = "biosdisk part_msdos ext2 normal linux boot configfile"
_GRUB_CFG = """\
set timeout=0
linux /vmlinuz root=LABEL=root ro console=tty0 console=hvc0
initrd /initrd.img
boot
"""
_FILES = {
    "boot/grub/grub.cfg": _GRUB_CFG,
    "etc/fstab": "LABEL=root / ext4 defaults 0 1\n",
    "etc/hostname": "debian\n",
}


def _table(start_mib: int, size_mib: int) -> bytes:
    """Give a partition table with one Linux partition, to boot from."""
    sectors = (start_mib << 20) // _SECTOR, (size_mib << 20) // _SECTOR
    # By sectors alone: 0xfeffff says that cylinders and heads don't count.
    cylinders = b"\xfe\xff\xff"
    entry = b"\x80" + cylinders + b"\x83" + cylinders
    rest = bytes(3 * _ENTRY) + b"\x55\xaa"
    return entry + struct.pack("<II", *sectors) + rest


def _grub(root: pathlib.Path, disk: pathlib.Path, log: pathlib.Path) -> None:
    """Put GRUB where firmware and the partition table leave room for it."""
    steps.run(
        ["chroot", root, "grub-mkimage", "-O", "i386-pc", "-o", "/core.img"]
        + ["-p", "(hd0,msdos1)/boot/grub", *_MODULES.split()],
        log,
    )
    boot = (root / "usr/lib/grub/i386-pc/boot.img").read_bytes()
    core = (root / "core.img").read_bytes()
    with disk.open("r+b") as file:
        file.write(boot[:_MBR_CODE])
        file.seek(_SECTOR)
        file.write(core)


def _build(out: pathlib.Path, log: pathlib.Path) -> None:
    steps.say("building a Debian image")
    root, raw = out / "root", out / "debian.raw"
    excludes = [f"--dpkgopt=path-exclude={path}" for path in _LEFT_OUT]
    steps.run(
        ["mmdebstrap", "--variant=minbase", "--mode=root"]
        + ["--format=directory", "--dpkgopt=force-unsafe-io", *excludes]
        + [f"--include={','.join(PACKAGES)}", SUITE, root],
        log,
    )
    for name, text in _FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    with raw.open("wb") as empty:
        empty.truncate(_DISK_MIB << 20)
    # The last MiB belongs to no partition.
    size_mib = _DISK_MIB - _START_MIB - 1
    with raw.open("r+b") as file:
        file.seek(_TABLE)
        file.write(_table(_START_MIB, size_mib))
    offset = f"offset={_START_MIB << 20},lazy_itable_init=1"
    _grub(root, raw, log)
    (root / "core.img").unlink()
    steps.run(
        ["mkfs.ext4", "-q", "-F", "-L", "root", "-E", offset, "-d", root]
        + [raw, f"{size_mib}M"],
        log,
    )
    image = out / "debian.qcow2"
    steps.run(["qemu-img", "convert", "-O", "qcow2", raw, image], log)
    raw.unlink()
    steps.run(["rm", "-rf", root], log)


def build(log: pathlib.Path) -> pathlib.Path:
    """Give the image, of format qcow2."""
    key = layers.key(pathlib.Path(__file__))
    built = layers.layer("debian", key, lambda out: _build(out, log))
    return built / "debian.qcow2"
