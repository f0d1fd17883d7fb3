# SPDX-License-Identifier: Apache-2.0
"""What a guest costs besides its own memory."""

import unittest

from nova_xen_overcommit.policy import overhead

MIB = 1024
ESTIMATE_KIB = 40 * MIB


class MeasuredTest(unittest.TestCase):
    def measured(self, resident_mib, actual_mib, before_mib=40) -> int:
        found_kib = overhead.measured_kib(
            before_mib * MIB,
            ESTIMATE_KIB,
            resident_mib * MIB,
            actual_mib * MIB,
        )
        return found_kib // MIB

    def test_memory_not_touched_yet_hides_no_overhead(self) -> None:
        # Given a guest of 512 MiB that has used 100, QEMU included
        self.assertEqual(40, self.measured(100, 512))

    def test_what_is_resident_beyond_the_balloon_is_overhead(self) -> None:
        self.assertEqual(60, self.measured(220, 160))

    def test_it_is_rounded_up(self) -> None:
        self.assertEqual(44, self.measured(201, 160))

    def test_a_process_that_breathes_changes_nothing(self) -> None:
        for resident_mib in (216, 210, 205):
            self.assertEqual(
                56, self.measured(resident_mib, 160, before_mib=56)
            )

    def test_what_is_given_back_counts_no_more(self) -> None:
        self.assertEqual(40, self.measured(170, 160, before_mib=56))

    def test_more_counts_at_once(self) -> None:
        self.assertEqual(140, self.measured(300, 160, before_mib=56))
