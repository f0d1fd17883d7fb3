# SPDX-License-Identifier: Apache-2.0
import tempfile
import unittest
from pathlib import Path

from nova_xen_overcommit.virt import xen_paths
from nova_xen_overcommit.virt.xen_guest import HvmPaths

NAMED = HvmPaths("/usr/lib/xen/boot/hvmloader", "/usr/lib/xen/bin/qemu")
DEBIAN = HvmPaths(
    "/usr/lib/xen-4.17/boot/hvmloader", "/usr/libexec/xen-qemu-system-i386"
)


class ExistingTestCase(unittest.TestCase):
    """Which firmware and emulator an HVM guest gets."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)

    def add(self, *names: str | None) -> None:
        for name in names:
            path = self.root / str(name).lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def test_debian_has_them_elsewhere_than_libvirt_says(self) -> None:
        self.add(DEBIAN.loader, DEBIAN.emulator)
        self.assertEqual(DEBIAN, xen_paths.existing(NAMED, self.root))

    def test_what_libvirt_names_comes_first(self) -> None:
        self.add(NAMED.loader, NAMED.emulator)
        self.add(DEBIAN.loader, DEBIAN.emulator)
        self.assertEqual(NAMED, xen_paths.existing(NAMED, self.root))

    def test_the_newest_version_is_taken(self) -> None:
        self.add("/usr/lib/xen-4.17/boot/hvmloader")
        self.add("/usr/lib/xen-4.19/boot/hvmloader")
        found = xen_paths.existing(NAMED, self.root)
        self.assertEqual("/usr/lib/xen-4.19/boot/hvmloader", found.loader)

    def test_nothing_there_leaves_the_word_to_libvirt(self) -> None:
        self.assertEqual(NAMED, xen_paths.existing(NAMED, self.root))
        nothing = HvmPaths(None, None)
        self.assertEqual(nothing, xen_paths.existing(nothing, self.root))
