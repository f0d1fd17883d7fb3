# SPDX-License-Identifier: Apache-2.0
"""The least memory of a guest."""

import unittest

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.policy import floor

MIB = 1024


class FloorTest(unittest.TestCase):
    def test_xenballoonds_table(self) -> None:
        for flavor_mib, floor_mib in (
            (64, 8.5),
            (128, 40.5),
            (1024, 106),
            (4096, 298),
        ):
            with self.subTest(flavor_mib=flavor_mib):
                self.assertEqual(
                    floor_mib * MIB,
                    floor.xenballoond_floor_kib(flavor_mib * MIB),
                )

    def test_todays_kernel_has_its_own_beside_it(self) -> None:
        # Measured: a 1 GiB guest lives at 160 MiB and dies at 113.
        self.assertEqual(170 * MIB, floor.floor_kib(1024 * MIB, 0.1))
        self.assertEqual((298 + 48 + 64) * MIB, floor.floor_kib(2**22, 0.05))

    def test_the_share_counts_where_it_is_more(self) -> None:
        self.assertEqual(4096 * MIB, floor.floor_kib(16384 * MIB, 0.25))

    def test_the_flavors_own_floor_counts_where_it_is_more(self) -> None:
        self.assertEqual(
            512 * MIB, floor.floor_kib(1024 * MIB, 0.1, 512 * MIB)
        )

    def test_what_a_guest_cant_swap_is_left_to_it(self) -> None:
        rule = floor.FloorRule(0.1, guest_swap=True)
        for swap_mib, floor_mib in (
            (0, 1024),
            (512, 512),
            (900, 170),
            (1024, 170),
            (4096, 170),
        ):
            with self.subTest(swap_mib=swap_mib):
                self.assertEqual(
                    floor_mib * MIB,
                    rule.floor_kib(1024 * MIB, swap_mib * MIB),
                )

    def test_where_no_swap_is_required_none_is_asked_for(self) -> None:
        rule = floor.FloorRule(0.1, guest_swap=False)
        self.assertEqual(170 * MIB, rule.floor_kib(1024 * MIB, 0))

    def test_the_flavors_own_floor_counts_beside_its_swap(self) -> None:
        rule = floor.FloorRule(0.1, guest_swap=True)
        for asked_mib, floor_mib in ((300, 512), (600, 600)):
            with self.subTest(asked_mib=asked_mib):
                self.assertEqual(
                    floor_mib * MIB,
                    rule.floor_kib(1024 * MIB, 512 * MIB, asked_mib * MIB),
                )

    @given(st.integers(1, 2**40), st.integers(0, 2**41))
    def test_floor_and_swap_hold_the_flavor(self, flavor, swap) -> None:
        rule = floor.FloorRule(0.02, guest_swap=True)
        counted_kib = floor.counted_swap_kib(flavor, swap)
        self.assertLessEqual(counted_kib, flavor)
        floor_kib = rule.floor_kib(flavor, swap)
        self.assertLessEqual(floor_kib, flavor)
        self.assertGreaterEqual(floor_kib + counted_kib, flavor)

    def test_a_start_takes_its_share_but_never_less_than_the_floor(self):
        self.assertEqual(
            256 * MIB, floor.start_kib(1024 * MIB, 106 * MIB, 0.25)
        )
        self.assertEqual(
            512 * MIB, floor.start_kib(1024 * MIB, 512 * MIB, 0.25)
        )

    @given(st.integers(1, 2**40), st.floats(0.02, 1.0), st.integers(0, 2**40))
    def test_never_above_the_flavor(self, flavor, share, asked) -> None:
        floor_kib = floor.floor_kib(flavor, share, asked)
        self.assertLessEqual(floor_kib, flavor)
        self.assertLessEqual(floor.start_kib(flavor, floor_kib, 0.5), flavor)
