# SPDX-License-Identifier: Apache-2.0
"""Names of disks that are attached to Xen's guests."""

import unittest

from nova_xen_overcommit.virt import xen_devices


class TestNeverEmulated(unittest.TestCase):
    """libxl emulates an IDE disk for each of the first four."""

    def test_the_first_four_are_others(self) -> None:
        for device in ("/dev/xvda", "/dev/xvdd"):
            name = xen_devices.never_emulated(device, [])
            self.assertEqual("/dev/xvde", name)

    def test_those_behind_stay(self) -> None:
        for device in ("/dev/xvde", "/dev/xvdaa", "/dev/sda"):
            name = xen_devices.never_emulated(device, [device])
            self.assertEqual(device, name)

    def test_each_has_its_own_name(self) -> None:
        taken: list[str | None] = ["/dev/sda", None]
        for _ in range(48):
            name = xen_devices.never_emulated("/dev/xvdd", taken)
            self.assertNotIn(name, taken)
            taken.append(name)
        self.assertEqual("/dev/xvdaz", taken[-1])

    def test_when_all_are_taken_it_is_emulated(self) -> None:
        taken = [f"/dev/xvd{unit}" for unit in "efghijklmnopqrstuvwxyz"]
        taken += [f"/dev/xvda{unit}" for unit in "abcdefghijklmnopqrstuvwxyz"]
        name = xen_devices.never_emulated("/dev/xvdd", taken)
        self.assertEqual("/dev/xvdd", name)
