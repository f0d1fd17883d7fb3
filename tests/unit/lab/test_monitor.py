# SPDX-License-Identifier: Apache-2.0
"""What the lab takes for a guest outside its floor and its flavor."""

import unittest

from tests.lab import monitor

RUNNING, SHUT_OFF = 1, 5
GIB = 1024 * 1024
FLOOR_SHARE = 0.1


class ViolationsTest(unittest.TestCase):
    def found(
        self, *sizes_kib: int | None, since_s: float = 0.0, number: int = 1
    ) -> list[str]:
        """Judge a guest of 1 GiB by what it had each second; None: gone."""
        samples = [
            {
                "t_s": float(second),
                "guests": {}
                if kib is None
                else {"guest": [RUNNING, GIB, kib, number]},
            }
            for second, kib in enumerate(sizes_kib)
        ]
        return monitor.violations(samples, FLOOR_SHARE, since_s)

    def test_between_floor_and_flavor_all_is_well(self) -> None:
        self.assertEqual([], self.found(GIB, GIB // 2, GIB // 4, GIB))
        self.assertEqual([], self.found())

    def test_a_dip_is_found(self) -> None:
        self.assertEqual(
            ["guest below its floor: 1000"], self.found(GIB, 1000, GIB)
        )

    def test_who_stays_below_is_found(self) -> None:
        self.assertEqual(
            ["guest below its floor: 1000"] * 2, self.found(GIB, 1000, 1000)
        )

    def test_too_much_is_found(self) -> None:
        self.assertEqual(
            [f"guest above its flavor: {2 * GIB}"], self.found(GIB, 2 * GIB)
        )

    def test_who_is_built_or_torn_down_has_less(self) -> None:
        self.assertEqual([], self.found(0, 4, 5000, GIB, GIB, 4892, 4, None))

    def test_who_dipped_before_its_end_is_found(self) -> None:
        self.assertEqual(
            ["guest below its floor: 1000"],
            self.found(GIB, 1000, GIB, 4, None),
        )

    def test_another_domain_of_the_same_name_is_another(self) -> None:
        # Given a guest that is torn down, and built anew
        samples = [
            {"t_s": 0.0, "guests": {"guest": [RUNNING, GIB, kib, number]}}
            for kib, number in ((GIB, 1), (4, 1), (4, 2), (GIB, 2))
        ]
        self.assertEqual([], monitor.violations(samples, FLOOR_SHARE, 0.0))

    def test_what_was_before_is_left_out(self) -> None:
        self.assertEqual([], self.found(GIB, 1000, GIB, GIB, since_s=2.0))

    def test_who_is_off_has_nothing(self) -> None:
        samples = [
            {"t_s": 0.0, "guests": {"guest": [state, GIB, kib, 1]}}
            for state, kib in ((RUNNING, GIB), (SHUT_OFF, 4), (SHUT_OFF, 4))
        ]
        self.assertEqual([], monitor.violations(samples, FLOOR_SHARE, 0.0))
