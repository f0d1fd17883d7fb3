# SPDX-License-Identifier: Apache-2.0
"""What is asked for in which order, and what few lack."""

import unittest

from nova_xen_overcommit.policy import targets
from tests.unit.policy.plans import EXACT, MIB, guest, host, plan_mib


class RanksTest(unittest.TestCase):
    """What is in use comes first, then starts, then what might be used."""

    def test_nobody_goes_short_of_what_it_uses_for_anothers_memory(self):
        guests = [
            guest("was busy", 800, 800, firm_kib=200 * MIB),
            guest("is busy", 300, 900, firm_kib=600 * MIB),
        ]
        found = plan_mib(guests, host(128), EXACT)
        self.assertEqual({"was busy": 500, "is busy": 600}, found)

    def test_what_is_left_goes_to_foresight(self) -> None:
        guests = [
            guest("idle", 700, 200),
            guest("is busy", 300, 900, firm_kib=400 * MIB),
        ]
        found = plan_mib(guests, host(128), EXACT)
        self.assertEqual({"idle": 200, "is busy": 800}, found)

    def test_foresight_does_not_spend_the_reserve(self) -> None:
        guests = [guest(n, 300, 900, firm_kib=200 * MIB) for n in "ab"]
        self.assertEqual(
            {"a": 300, "b": 300}, plan_mib(guests, host(128), EXACT)
        )
        self.assertEqual(
            {"a": 250, "b": 250}, plan_mib(guests, host(28), EXACT)
        )

    def test_what_is_used_does(self) -> None:
        guests = [guest(n, 300, 350) for n in "ab"]
        self.assertEqual(
            {"a": 350, "b": 350}, plan_mib(guests, host(116), EXACT)
        )

    def test_a_start_comes_before_foresight(self) -> None:
        guests = [guest(n, 500, 500, firm_kib=200 * MIB) for n in "ab"]
        found = plan_mib(guests, host(128, wanted_mib=256))
        self.assertEqual({"a": 372, "b": 372}, found)

    def test_a_start_that_idle_memory_suffices_for_leaves_it(self) -> None:
        guests = [
            guest("idle", 500, 200),
            guest("was busy", 500, 500, firm_kib=200 * MIB),
        ]
        found = plan_mib(guests, host(128, wanted_mib=256))
        self.assertEqual({"idle": 244, "was busy": 500}, found)

    def test_a_start_takes_nothing_that_is_used(self) -> None:
        guests = [guest(n, 500, 500, firm_kib=450 * MIB) for n in "ab"]
        found = plan_mib(guests, host(128, wanted_mib=256))
        self.assertEqual({"a": 450, "b": 450}, found)

    def test_idle_memory_goes_to_who_had_a_peak(self) -> None:
        guests = [
            guest("idle", 700, 200),
            guest("had a peak", 300, 200, hoped_kib=600 * MIB),
        ]
        found = plan_mib(guests, host(128), EXACT)
        self.assertEqual({"idle": 400, "had a peak": 600}, found)
        plan = targets.plan(guests, host(128), EXACT)
        self.assertEqual("had a peak before", plan["had a peak"].reason)

    def test_a_peak_of_long_ago_gives_way_to_a_late_one(self) -> None:
        guests = [
            guest("long ago", 700, 200, hoped_kib=700 * MIB),
            guest("of late", 300, 500, firm_kib=200 * MIB),
        ]
        found = plan_mib(guests, host(128), EXACT)
        self.assertEqual({"long ago": 500, "of late": 500}, found)

    def test_nobody_hopes_for_more_than_its_flavor(self) -> None:
        one = guest("a", 300, 200, hoped_kib=9000 * MIB)
        self.assertEqual(1024 * MIB, one.hoped_need_kib)

    def test_a_rank_lies_between_floor_and_the_next(self) -> None:
        one = guest("a", 500, 400, firm_kib=2, bare_kib=1)
        self.assertEqual(106 * MIB, one.firm_need_kib)
        self.assertEqual(106 * MIB, one.bare_need_kib)
        one = guest("a", 500, 400, firm_kib=900 * MIB, bare_kib=901 * MIB)
        self.assertEqual(400 * MIB, one.firm_need_kib)
        self.assertEqual(400 * MIB, one.bare_need_kib)


class ShortageTest(unittest.TestCase):
    """Not enough for what guests use, and head room."""

    def test_nobody_has_foresight(self) -> None:
        guests = [
            guest("a", 800, 1000, firm_kib=300 * MIB),
            guest("b", 300, 1000, firm_kib=900 * MIB),
        ]
        self.assertEqual(
            {"a": 300, "b": 800}, plan_mib(guests, host(16), EXACT)
        )

    def test_nobody_has_head_room_before_all_have_what_they_use(self):
        guests = [
            guest("full", 500, 500, bare_kib=450 * MIB),
            guest("busy", 300, 500, bare_kib=350 * MIB),
        ]
        self.assertEqual(
            {"full": 450, "busy": 350}, plan_mib(guests, host(16), EXACT)
        )

    def test_few_lack_much_rather_than_all_a_little(self) -> None:
        guests = [guest(name, 500, 500) for name in "abc"]
        guests.append(guest("d", 300, 500))
        found = plan_mib(guests, host(16), EXACT)
        self.assertEqual({"a": 500, "b": 500, "c": 500, "d": 300}, found)

    def test_but_nobody_has_less_than_half_of_its_fair_share(self) -> None:
        guests = [guest(name, 500, 500) for name in "abc"]
        guests.append(guest("d", 106, 500))
        found = plan_mib(guests, host(16), EXACT)
        fair_mib = (1606 - 4 * 106) / 4
        self.assertGreaterEqual(min(found.values()), 106 + fair_mib / 2)
        self.assertEqual(500, max(found.values()))

    def test_who_has_all_it_uses_keeps_it_while_needs_waver(self) -> None:
        # Given that one of two can have all it uses, and "b" has it
        for more_mib in (-5, 0, 5):
            guests = [
                guest("a", 360, 500),
                guest("b", 500, 500 + more_mib),
            ]
            found = plan_mib(guests, host(16), EXACT)
            # Then it stays so, whoever is cheaper to content
            self.assertEqual(500 + more_mib, found["b"])
