# SPDX-License-Identifier: Apache-2.0
"""What is asked for in which order, and what few lack."""

import unittest

from nova_xen_overcommit.policy import targets
from nova_xen_overcommit.policy.limits import Limit
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


class StarvedTest(unittest.TestCase):
    """Whoever is starved says so itself, and may say so for ever."""

    def starved(self, target_mib: int, demand_mib: int = 1024, **more):
        fields = {
            "shrinkable": False,
            "starved": True,
            "yields_if_short": True,
            "hold": Limit.STARVED,
            "used_kib": demand_mib * MIB,
        }
        return guest("starved", target_mib, demand_mib, **{**fields, **more})

    def others(self, *sizes_mib: int, demand_mib: int = 800):
        return [
            guest(f"{n}", size, demand_mib, used_kib=demand_mib * MIB)
            for n, size in enumerate(sizes_mib)
        ]

    def test_it_yields_what_is_far_above_its_fair_share(self) -> None:
        # Given 2000 MiB for four, so that all stand at 500
        guests = [self.starved(1024), *self.others(326, 325, 325)]
        found = plan_mib(guests, host(16), EXACT)
        # Then it keeps a quarter more above its floor, and others get the rest
        self.assertEqual(106 + 394 * 1.25, found.pop("starved"))
        self.assertAlmostEqual(2000 - 598.5, sum(found.values()), delta=0.01)

    def test_it_gets_its_floor_of_what_does_not_reach_for_it(self) -> None:
        # Given one that somebody left with less than its floor
        floor_kib = 512 * MIB
        guests = [self.starved(200, floor_kib=floor_kib), *self.others(106)]
        self.assertEqual(
            {"starved": 512, "0": 106}, plan_mib(guests, host(116))
        )

    def test_it_is_told_that_memory_is_short(self) -> None:
        guests = [self.starved(1024), *self.others(326, 325, 325)]
        decision = targets.plan(guests, host(16), EXACT)["starved"]
        self.assertEqual((Limit.SHORT,), decision.limits)

    def test_it_yields_by_the_largest_step(self) -> None:
        guests = [self.starved(1024), *self.others(326, 325, 325)]
        self.assertEqual(768, plan_mib(guests, host(16))["starved"])

    def test_it_yields_nothing_within_the_dead_band(self) -> None:
        guests = [self.starved(602), *self.others(466, 466, 466)]
        self.assertEqual(602, plan_mib(guests, host(16))["starved"])

    def test_it_keeps_its_fair_share(self) -> None:
        for has_mib in (300, 500, 598):
            rest_mib = (2000 - has_mib) // 3
            guests = [
                self.starved(has_mib),
                *self.others(rest_mib, rest_mib, rest_mib),
            ]
            found = plan_mib(guests, host(16), EXACT)
            self.assertGreaterEqual(found["starved"], has_mib)

    def test_it_keeps_all_it_has_where_what_is_used_is_there(self) -> None:
        # Given that only head room is missing
        others = [
            guest(f"{n}", 326, 400, bare_kib=325 * MIB) for n in range(3)
        ]
        guests = [self.starved(1024), *others]
        found = plan_mib(guests, host(16), EXACT)
        self.assertEqual(1024, found["starved"])
        # Or that a start wants memory, or the reserve does
        for wanted_mib in (0, 600):
            guests = [self.starved(1024), *self.others(800, 800)]
            found = plan_mib(guests, host(16, wanted_mib), EXACT)
            self.assertEqual(1024, found["starved"])

    def test_it_keeps_all_it_has_while_it_cools_down(self) -> None:
        cooling = self.starved(1024, yields_if_short=False)
        guests = [cooling, *self.others(326, 325, 325)]
        found = plan_mib(guests, host(16), EXACT)
        self.assertEqual(1024, found["starved"])

    def test_who_claims_all_and_has_it_is_not_made_whole_first(self) -> None:
        # Given one that says it uses all it has, and isn't even starved
        greedy = guest("greedy", 1024, 1024, used_kib=1024 * MIB)
        guests = [greedy, *self.others(326, 325, 325, demand_mib=700)]
        found = plan_mib(guests, host(16), EXACT)
        self.assertLess(found["greedy"], 500)
        self.assertEqual(700, max(found.values()))

    def test_after_it_has_yielded_nothing_moves_any_more(self) -> None:
        sizes_mib = {"starved": 1024, "0": 326, "1": 325, "2": 325}
        passes = []
        for _ in range(20):
            has_mib = [sizes_mib[name] for name in "012"]
            guests = [
                self.starved(sizes_mib["starved"]),
                *self.others(*has_mib),
            ]
            sizes_mib = plan_mib(guests, host(2016 - sum(sizes_mib.values())))
            passes.append(sizes_mib)
        self.assertEqual(passes[-10:], passes[-1:] * 10)
