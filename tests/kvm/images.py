# SPDX-License-Identifier: Apache-2.0
"""Kernel and initramfs of the guests: the lab's, with virtio's modules.

The distribution's kernel and busybox are unpacked, not installed: this
machine keeps its own.
"""

import pathlib
import re
import shutil
import subprocess

from tests.lab import guest_images, initramfs, layers, paths, steps

KERNEL_ARGS = "rdinit=/init loglevel=4 console=ttyS0 psi=1"
# Debian's and Ubuntu's smallest kernels for virtual machines.
_KERNELS = ("linux-image-cloud-amd64", "linux-image-virtual")
_KERNEL_PARTS = re.compile(r"^linux-(image|modules)-\d\S*$", re.MULTILINE)
_BUSYBOX = "busybox-static"
# In the order in which they must be loaded.
_MODULES = tuple(
    f"kernel/drivers/{name}"
    for name in (
        "virtio/virtio_ring virtio/virtio virtio/virtio_pci_legacy_dev "
        "virtio/virtio_pci_modern_dev virtio/virtio_pci block/virtio_blk "
        "virtio/virtio_balloon"
    ).split()
)


def _depends(package: str) -> str:
    return subprocess.run(
        ["apt-cache", "depends", "--recurse", "--important", package],
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def _known() -> list[str]:
    for kernel in _KERNELS:
        found = {m[0] for m in _KERNEL_PARTS.finditer(_depends(kernel))}
        if found:
            return [*sorted(found), _BUSYBOX]
    return []


def _packages(log: pathlib.Path) -> list[str]:
    """Names of the packages with the newest kernel and its modules.

    :raises LabError: the distribution has none that we know.
    """
    packages = _known()
    if not packages:
        steps.run(["apt-get", "-q", "update"], log)
        packages = _known()
    if not packages:
        raise steps.LabError(f"no package of {', '.join(_KERNELS)}")
    return packages


def _unpack(
    packages: list[str], out: pathlib.Path, log: pathlib.Path
) -> pathlib.Path:
    steps.run(["apt-get", "-q", "download", *packages], log, cwd=out)
    tree = out / "tree"
    for package in sorted(out.glob("*.deb")):
        steps.run(["dpkg", "-x", package, tree], log)
        package.unlink()
    return tree


def _build(packages: list[str], out: pathlib.Path, log: pathlib.Path) -> None:
    tree = _unpack(packages, out, log)
    busybox = next(p for p in (tree / "bin", tree / "usr/bin") if p.is_dir())
    eater = guest_images.build_eater(out, log)
    entries = guest_images.common_entries(busybox / "busybox", eater)
    modules = next((tree / "lib/modules").iterdir())
    initramfs.write(
        out / "initrd.gz",
        [*entries, *guest_images.modules(modules, _MODULES)],
    )
    shutil.copy(guest_images.kernel_of(tree), out / "vmlinuz")
    shutil.rmtree(tree)


def build(log: pathlib.Path) -> pathlib.Path:
    """Give the directory with vmlinuz and initrd.gz, built if need be.

    :raises LabError: a package can't be had; the message names the log.
    """
    packages = _packages(log)
    code = [
        pathlib.Path(__file__),
        pathlib.Path(guest_images.__file__),
        *sorted(guest_images.SOURCE.iterdir()),
    ]
    return layers.layer(
        "kvm-guest",
        layers.key(*packages, *code),
        lambda out: _build(packages, out, log),
    )


def main() -> None:
    """Build them and say where they are."""
    steps.say(str(build(paths.cache() / "kvm-guest.log")))


if __name__ == "__main__":
    main()
