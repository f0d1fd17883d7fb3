# SPDX-License-Identifier: Apache-2.0
import ctypes
import random
import unittest

from hypothesis import example, given
from hypothesis import strategies as st

from nova_xen_overcommit.virt import inventory

# On a host of 100,000,000 MiB; see what single precision makes of it.
LARGE_MIB = 240_891_000


def as_single(ratio: float) -> float:
    """Give what a FLOAT column keeps of a number."""
    return ctypes.c_float(ratio).value


class RatioTestCase(unittest.TestCase):
    """The ratio that stands for a number of MiB."""

    def check(self, total: int, reserved: int, wanted: int) -> None:
        ratio = inventory.ratio_for(total, reserved, wanted)
        case = (total, reserved, wanted, ratio)
        self.assertGreater(ratio, 0.0, case)
        single = as_single(ratio)
        for stored in (ratio, single, float(f"{single:.6g}")):
            # Placement shows a capacity that is cut to an integer
            capacity = int((total - reserved) * stored)
            self.assertLessEqual(capacity, wanted, case)
            self.assertGreaterEqual(capacity, wanted - 1 - wanted // 100_000)
            # Where it checks an allocation it compares without cutting
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

    @given(st.integers(1, 1 << 30), st.integers(0, 1 << 30), st.floats(0, 64))
    @example(100_000_000, 0, LARGE_MIB / 100_000_000)
    def test_any_size_and_any_promise(
        self, total: int, reserved: int, share: float
    ) -> None:
        if reserved < total:
            self.check(total, reserved, int(share * total))

    def test_single_precision_may_round_up(self) -> None:
        # Given a host so large that MySQL's FLOAT, rounded up, would stand
        # for more than was promised
        ratio = float(f"{(LARGE_MIB + 0.5) / 100_000_000:.6g}")
        self.assertLessEqual(int(100_000_000 * ratio), LARGE_MIB)
        self.assertGreater(int(100_000_000 * as_single(ratio)), LARGE_MIB)
        # Then a smaller one is taken
        self.check(100_000_000, 0, LARGE_MIB)
        taken = inventory.ratio_for(100_000_000, 0, LARGE_MIB)
        self.assertLess(taken, ratio)

    def test_it_comes_back_as_it_was_sent(self) -> None:
        # Or nova-compute would write the inventory again and again
        for wanted in range(1, 200_000, 997):
            ratio = inventory.ratio_for(65536, 2048, wanted)
            self.assertEqual(ratio, inventory.stored(ratio)[2])

    def test_edges(self) -> None:
        for total, reserved in ((1, 0), (4096, 4095), (1 << 30, 0)):
            for wanted in (0, 1, total, total * 64):
                self.check(total, reserved, wanted)

    def test_refuses_what_no_ratio_can_say(self) -> None:
        for total, reserved, wanted in ((10, 10, 1), (10, 11, 1), (10, 0, -1)):
            with self.assertRaises(ValueError):
                inventory.ratio_for(total, reserved, wanted)
