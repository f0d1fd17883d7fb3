# SPDX-License-Identifier: Apache-2.0
"""Who gives memory and who gets it: exact cases."""

import dataclasses
import unittest

from nova_xen_overcommit.policy import targets
from nova_xen_overcommit.policy.limits import Limit
from tests.unit.policy.plans import MIB, SETTINGS, guest, host, plan_mib


class EnoughForAllTest(unittest.TestCase):
    def test_nothing_moves_without_need(self) -> None:
        guests = [guest("a", 1024, 200), guest("b", 1024, 200)]
        self.assertEqual({"a": 1024, "b": 1024}, plan_mib(guests, host(128)))

    def test_a_need_is_met_from_free_memory_and_nobody_is_touched(self):
        guests = [guest("idle", 1024, 200), guest("needy", 300, 500)]
        self.assertEqual(
            {"idle": 1024, "needy": 500}, plan_mib(guests, host(400))
        )

    def test_idle_guests_pay_in_proportion_to_what_they_have_spare(self):
        guests = [
            guest("rich", 600, 200),
            guest("poor", 400, 200),
            guest("needy", 300, 450),
        ]
        self.assertEqual(
            {"rich": 500, "poor": 350, "needy": 450},
            plan_mib(guests, host(128)),
        )

    def test_what_guests_left_by_themselves_goes_first(self) -> None:
        # Given a guest that has left 300 MiB and is giving 100 more
        left = {"left_kib": 300 * MIB, "actual_kib": 400 * MIB}
        guests = [guest("idle", 1024, 200), guest("left", 700, 300, **left)]
        for wanted_mib, idle_mib, left_mib in (
            (100, 1024, 600),
            (300, 1024, 400),
            # Then all that is idle, in proportion
            (300 + 462, 612, 350),
        ):
            with self.subTest(wanted_mib=wanted_mib):
                steps = dataclasses.replace(SETTINGS, max_step_kib=1 << 30)
                self.assertEqual(
                    {"idle": idle_mib, "left": left_mib},
                    plan_mib(guests, host(128, wanted_mib=wanted_mib), steps),
                )

    def test_the_reserve_is_refilled_from_idle_memory(self) -> None:
        self.assertEqual(
            {"idle": 896}, plan_mib([guest("idle", 1024, 200)], host(0))
        )

    def test_a_start_takes_idle_memory_without_touching_the_reserve(self):
        self.assertEqual(
            {"idle": 768},
            plan_mib([guest("idle", 1024, 200)], host(128, wanted_mib=256)),
        )

    def test_small_wants_of_many_idle_guests_are_not_damped_away(self):
        guests = [guest(f"{n:03}", 300, 200) for n in range(100)]
        taken_mib = 30_000 - sum(
            plan_mib(guests, host(128, wanted_mib=64)).values()
        )
        self.assertEqual(64, taken_mib)

    def test_no_step_is_larger_than_the_largest(self) -> None:
        self.assertEqual(
            {"idle": 768},
            plan_mib([guest("idle", 1024, 200)], host(0, wanted_mib=600)),
        )

    def test_a_large_guests_largest_step_is_a_quarter_of_its_flavor(self):
        large = guest("idle", 8192, 200, flavor_kib=8192 * MIB)
        self.assertEqual(
            {"idle": 6144}, plan_mib([large], host(0, wanted_mib=6000))
        )

    def test_a_guest_that_speaks_while_it_yields_goes_on(self) -> None:
        moving = guest(
            "idle", 768, 200, actual_kib=900 * MIB, felt_kib=900 * MIB
        )
        self.assertEqual(
            {"idle": 644}, plan_mib([moving], host(0, wanted_mib=600))
        )

    def test_what_it_has_not_felt_yet_is_one_step(self) -> None:
        moving = guest(
            "idle", 768, 200, actual_kib=800 * MIB, felt_kib=1000 * MIB
        )
        self.assertEqual(
            {"idle": 744}, plan_mib([moving], host(0, wanted_mib=600))
        )

    def test_a_guest_that_has_not_followed_is_not_asked_for_more(self):
        moving = guest("idle", 768, 200, actual_kib=1024 * MIB)
        self.assertEqual(
            {"idle": 768}, plan_mib([moving], host(0, wanted_mib=600))
        )

    def test_a_start_gets_idle_memory_and_no_more(self) -> None:
        guests = [guest("idle", 300, 200), guest("busy", 500, 500)]
        self.assertEqual(
            {"idle": 200, "busy": 500},
            plan_mib(guests, host(128, wanted_mib=600)),
        )


class NotEnoughTest(unittest.TestCase):
    def test_equal_guests_share_alike(self) -> None:
        guests = [guest(name, 200, 1024) for name in "abc"]
        shares = plan_mib(guests, host(46))
        self.assertEqual({"a": 210, "b": 210, "c": 210}, shares)

    def test_idle_memory_is_taxed(self) -> None:
        busy = guest("busy", 500, 900, used_kib=900 * MIB)
        idle = guest("idle", 500, 900, used_kib=180 * MIB)
        shares = plan_mib([busy, idle], host(16))
        # k = 4: the idle one pays (0.2 + 4·0.8) times per MiB.
        above = (1000 - 2 * 106) / (1 + 1 / 3.4)
        self.assertAlmostEqual(106 + above, shares["busy"], delta=1)

    def test_without_tax_only_weights_count(self) -> None:
        untaxed = targets.TargetSettings(idle_tax=0.0, max_step_kib=1024 * MIB)
        guests = [
            guest("heavy", 400, 900, weight=3.0),
            guest("light", 400, 900, weight=1.0),
        ]
        shares = plan_mib(guests, host(16), untaxed)
        self.assertEqual(
            3.0, (shares["heavy"] - 106) / (shares["light"] - 106)
        )

    def test_a_guest_that_may_not_shrink_keeps_what_it_has(self) -> None:
        guests = [
            guest("starved", 700, 1024, shrinkable=False, starved=True),
            guest("other", 300, 1024),
        ]
        shares = plan_mib(guests, host(16))
        self.assertGreaterEqual(shares["starved"], 700)

    def test_an_untouchable_guest_keeps_its_target(self) -> None:
        guests = [
            guest("frozen", 700, 100, shrinkable=False, growable=False),
            guest("other", 300, 1024),
        ]
        self.assertEqual(700, plan_mib(guests, host(0))["frozen"])


class LimitsTest(unittest.TestCase):
    """What is told to have limited a target, case by case."""

    def assert_limited(self, *limits: Limit, of: str, guests, where) -> None:
        plan = targets.plan(guests, where, SETTINGS)
        self.assertEqual(limits, plan[of].limits)

    def test_nothing_limits_a_guest_nobody_wants_anything_of(self) -> None:
        one = guest("a", 1024, 200, hold=Limit.COOL_DOWN, shrinkable=False)
        self.assert_limited(of="a", guests=[one], where=host(128))

    def test_nothing_limits_a_need_that_is_met(self) -> None:
        one = guest("a", 300, 500)
        self.assert_limited(of="a", guests=[one], where=host(400))

    def test_nothing_limits_who_yields_a_part_of_what_is_idle(self) -> None:
        one = guest("a", 300, 120)
        self.assert_limited(of="a", guests=[one], where=host(100))

    def test_the_flavor_limits_who_needs_more(self) -> None:
        for has_mib in (1000, 1024):
            with self.subTest(has_mib=has_mib):
                one = guest("a", has_mib, 1500)
                self.assert_limited(
                    Limit.FLAVOR, of="a", guests=[one], where=host(400)
                )

    def test_a_demand_of_just_the_flavor_is_not_limited(self) -> None:
        one = guest("a", 1024, 1024)
        self.assert_limited(of="a", guests=[one], where=host(400))

    def test_the_floor_limits_who_could_yield_more(self) -> None:
        one = guest("a", 300, 50)
        self.assert_limited(
            Limit.FLOOR, of="a", guests=[one], where=host(0, 600)
        )

    def test_the_floor_does_not_limit_who_stays_above_it(self) -> None:
        one = guest("a", 300, 50)
        self.assert_limited(of="a", guests=[one], where=host(100))

    def test_a_step_limits_who_is_far_above(self) -> None:
        one = guest("a", 1024, 200)
        self.assert_limited(
            Limit.LARGEST_STEP, of="a", guests=[one], where=host(0, 600)
        )

    def test_it_is_told_when_that_waits_for_the_guest_to_speak(self) -> None:
        one = guest("a", 768, 200, felt_kib=1024 * MIB)
        self.assert_limited(
            Limit.NOT_FELT, of="a", guests=[one], where=host(0, 600)
        )

    def test_a_step_that_just_fits_is_not_limited(self) -> None:
        one = guest("a", 1024, 768)
        self.assert_limited(of="a", guests=[one], where=host(0, 600))

    def test_the_dead_band_limits_small_needs(self) -> None:
        one = guest("a", 300, 304)
        self.assert_limited(
            Limit.DEAD_BAND, of="a", guests=[one], where=host(400)
        )

    def test_the_dead_band_limits_small_gifts(self) -> None:
        one = guest("a", 204, 200)
        self.assert_limited(
            Limit.DEAD_BAND, of="a", guests=[one], where=host(125)
        )

    def test_shortage_limits_who_gets_less_than_it_needs(self) -> None:
        guests = [guest(name, 200, 1024) for name in "abc"]
        self.assert_limited(Limit.SHORT, of="a", guests=guests, where=host(46))

    def test_shortage_does_not_limit_who_has_all_it_needs(self) -> None:
        guests = [guest("modest", 110, 110), guest("greedy", 200, 1024)]
        self.assert_limited(of="modest", guests=guests, where=host(46))

    def test_shortage_and_dead_band_are_both_told(self) -> None:
        guests = [guest(name, 200, 1024) for name in "abc"]
        self.assert_limited(
            Limit.SHORT, Limit.DEAD_BAND, of="a", guests=guests, where=host(28)
        )

    def test_a_cool_down_limits_who_would_have_to_yield(self) -> None:
        cooling = guest("a", 1024, 200, shrinkable=False, hold=Limit.COOL_DOWN)
        guests = [cooling, guest("b", 1024, 200)]
        self.assert_limited(
            Limit.COOL_DOWN, of="a", guests=guests, where=host(0)
        )

    def test_a_cool_down_does_not_limit_who_has_nothing_idle(self) -> None:
        cooling = guest("a", 200, 200, shrinkable=False, hold=Limit.COOL_DOWN)
        guests = [cooling, guest("b", 1024, 200)]
        self.assert_limited(of="a", guests=guests, where=host(0))

    def test_starvation_keeps_what_a_guest_has_when_memory_is_short(self):
        starved = guest(
            "a", 700, 1024, shrinkable=False, starved=True, hold=Limit.STARVED
        )
        self.assert_limited(
            Limit.SHORT,
            Limit.STARVED,
            of="a",
            guests=[starved, guest("b", 300, 1024)],
            where=host(16),
        )

    def test_a_frozen_guest_is_always_limited_by_that_alone(self) -> None:
        for free_mib in (0, 400):
            for demand_mib in (50, 200, 1500):
                with self.subTest(free_mib=free_mib, demand_mib=demand_mib):
                    frozen = guest(
                        "a",
                        1024,
                        demand_mib,
                        growable=False,
                        shrinkable=False,
                        hold=Limit.HELD,
                    )
                    guests = [frozen, guest("b", 300, 1024)]
                    self.assert_limited(
                        Limit.HELD, of="a", guests=guests, where=host(free_mib)
                    )
