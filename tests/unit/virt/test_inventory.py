# SPDX-License-Identifier: Apache-2.0
import random
import struct
import unittest

from nova_xen_overcommit.virt import inventory


def as_mysql_gives_it_back(ratio: float) -> float:
    """Store in a FLOAT column and read it: single, then six digits."""
    single = struct.unpack("f", struct.pack("f", ratio))[0]
    return float(f"{single:.6g}")


class RatioTestCase(unittest.TestCase):
    """The ratio that stands for a number of MiB."""

    def check(self, total: int, reserved: int, wanted: int) -> None:
        ratio = inventory.ratio_for(total, reserved, wanted)
        case = (total, reserved, wanted, ratio)
        self.assertGreater(ratio, 0.0, case)
        for stored in (ratio, as_mysql_gives_it_back(ratio)):
            capacity = inventory.capacity_mib(total, reserved, stored)
            self.assertLessEqual(capacity, wanted, case)
            self.assertGreaterEqual(capacity, wanted - 1 - wanted // 100_000)
            # Placement's SQL compares without cutting to an integer
            uncut = (total - reserved) * stored
            self.assertFalse(wanted + 1 <= uncut, case)

    def test_exactly_on_a_small_host(self) -> None:
        # On hosts of this size no MiB is lost at all
        for wanted in range(0, 16384, 7):
            ratio = inventory.ratio_for(4096, 512, wanted)
            found = inventory.capacity_mib(4096, 512, ratio)
            self.assertEqual(wanted, found)

    def test_promises_nothing_with_a_ratio_above_zero(self) -> None:
        ratio = inventory.ratio_for(4096, 512, 0)
        self.assertGreater(ratio, 0.0)
        self.assertEqual(0, inventory.capacity_mib(4096, 512, ratio))

    def test_any_host(self) -> None:
        source = random.Random(20080801)
        for _ in range(20_000):
            total = source.choice(
                (source.randint(1, 10**4), source.randint(1, 10**8))
            )
            reserved = source.randint(0, total - 1)
            wanted = int(source.uniform(0, 64) * total)
            self.check(total, reserved, wanted)

    def test_edges(self) -> None:
        for total, reserved in ((1, 0), (4096, 4095), (1 << 30, 0)):
            for wanted in (0, 1, total, total * 64):
                self.check(total, reserved, wanted)

    def test_refuses_what_no_ratio_can_say(self) -> None:
        for total, reserved, wanted in ((10, 10, 1), (10, 11, 1), (10, 0, -1)):
            with self.assertRaises(ValueError):
                inventory.ratio_for(total, reserved, wanted)
