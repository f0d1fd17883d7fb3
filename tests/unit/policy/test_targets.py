# SPDX-License-Identifier: Apache-2.0
"""Who gives memory and who gets it: exact cases and properties."""

import dataclasses
import unittest

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.policy import targets
from nova_xen_overcommit.policy.limits import Limit

MIB = 1024
SETTINGS = targets.TargetSettings()


def guest(uuid: str, target_mib: int, demand_mib: int, **more):
    fields = {
        "flavor_kib": 1024 * MIB,
        "floor_kib": 106 * MIB,
        "actual_kib": target_mib * MIB,
        "used_kib": demand_mib * MIB * 3 // 4,
    }
    return targets.Guest(
        uuid=uuid,
        target_kib=target_mib * MIB,
        demand_kib=demand_mib * MIB,
        **{**fields, **more},
    )


def host(free_mib: int, wanted_mib: int = 0) -> targets.Host:
    return targets.Host(
        expected_free_kib=free_mib * MIB,
        reserve_kib=128 * MIB,
        slack_kib=16 * MIB,
        wanted_kib=wanted_mib * MIB,
    )


def plan_mib(guests, where, settings=SETTINGS) -> dict[str, float]:
    plan = targets.plan(guests, where, settings)
    return {uuid: one.target_kib / MIB for uuid, one in plan.items()}


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


class RanksTest(unittest.TestCase):
    """What is in use comes first, then starts, then what might be used."""

    EXACT = targets.TargetSettings(dead_band_kib=0, max_step_kib=2**40)

    def test_nobody_goes_short_of_what_it_uses_for_anothers_memory(self):
        guests = [
            guest("was busy", 800, 800, firm_kib=200 * MIB),
            guest("is busy", 300, 900, firm_kib=600 * MIB),
        ]
        found = plan_mib(guests, host(128), self.EXACT)
        self.assertEqual({"was busy": 500, "is busy": 600}, found)

    def test_what_is_left_goes_to_foresight(self) -> None:
        guests = [
            guest("idle", 700, 200),
            guest("is busy", 300, 900, firm_kib=400 * MIB),
        ]
        found = plan_mib(guests, host(128), self.EXACT)
        self.assertEqual({"idle": 200, "is busy": 800}, found)

    def test_foresight_does_not_spend_the_reserve(self) -> None:
        guests = [guest(n, 300, 900, firm_kib=200 * MIB) for n in "ab"]
        self.assertEqual(
            {"a": 300, "b": 300}, plan_mib(guests, host(128), self.EXACT)
        )
        self.assertEqual(
            {"a": 250, "b": 250}, plan_mib(guests, host(28), self.EXACT)
        )

    def test_what_is_used_does(self) -> None:
        guests = [guest(n, 300, 350) for n in "ab"]
        self.assertEqual(
            {"a": 350, "b": 350}, plan_mib(guests, host(116), self.EXACT)
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
        found = plan_mib(guests, host(128), self.EXACT)
        self.assertEqual({"idle": 400, "had a peak": 600}, found)

    def test_a_peak_of_long_ago_gives_way_to_a_late_one(self) -> None:
        guests = [
            guest("long ago", 700, 200, hoped_kib=700 * MIB),
            guest("of late", 300, 500, firm_kib=200 * MIB),
        ]
        found = plan_mib(guests, host(128), self.EXACT)
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

    EXACT = RanksTest.EXACT

    def test_nobody_has_foresight(self) -> None:
        guests = [
            guest("a", 800, 1000, firm_kib=300 * MIB),
            guest("b", 300, 1000, firm_kib=900 * MIB),
        ]
        self.assertEqual(
            {"a": 300, "b": 800}, plan_mib(guests, host(16), self.EXACT)
        )

    def test_nobody_has_head_room_before_all_have_what_they_use(self):
        guests = [
            guest("full", 500, 500, bare_kib=450 * MIB),
            guest("busy", 300, 500, bare_kib=350 * MIB),
        ]
        self.assertEqual(
            {"full": 450, "busy": 350}, plan_mib(guests, host(16), self.EXACT)
        )

    def test_few_lack_much_rather_than_all_a_little(self) -> None:
        guests = [guest(name, 500, 500) for name in "abc"]
        guests.append(guest("d", 300, 500))
        found = plan_mib(guests, host(16), self.EXACT)
        self.assertEqual({"a": 500, "b": 500, "c": 500, "d": 300}, found)

    def test_but_nobody_has_less_than_half_of_its_fair_share(self) -> None:
        guests = [guest(name, 500, 500) for name in "abc"]
        guests.append(guest("d", 106, 500))
        found = plan_mib(guests, host(16), self.EXACT)
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
            found = plan_mib(guests, host(16), self.EXACT)
            # Then it stays so, whoever is cheaper to content
            self.assertEqual(500 + more_mib, found["b"])


GUESTS = st.lists(
    st.builds(
        lambda n, floor, above, has, ranks, moves, weight: targets.Guest(
            uuid=f"{n:08}",
            flavor_kib=floor + above,
            floor_kib=floor,
            actual_kib=floor + has % (above + 1),
            target_kib=floor + has % (above + 1),
            bare_kib=ranks[0],
            firm_kib=ranks[1],
            demand_kib=ranks[2],
            hoped_kib=ranks[3],
            used_kib=ranks[0] // 2,
            weight=weight,
            growable=moves != 0,
            shrinkable=moves == 2,
        ),
        st.integers(0, 10**8 - 1),
        st.integers(1, 512 * MIB),
        st.integers(0, 4096 * MIB),
        st.integers(0, 4096 * MIB),
        st.tuples(*[st.integers(0, 5000 * MIB)] * 4).map(sorted),
        st.integers(0, 2),
        st.floats(0.1, 10.0),
    ),
    max_size=12,
    unique_by=lambda one: one.uuid,
)
HOSTS = st.builds(
    targets.Host,
    expected_free_kib=st.integers(0, 4096 * MIB),
    reserve_kib=st.integers(16 * MIB, 256 * MIB),
    slack_kib=st.integers(0, 15 * MIB),
    wanted_kib=st.integers(0, 1024 * MIB),
)


class PropertiesTest(unittest.TestCase):
    @given(GUESTS, HOSTS)
    def test_targets_stay_between_floor_and_flavor(self, guests, where):
        plan = targets.plan(guests, where, SETTINGS)
        for one in guests:
            target_kib = plan[one.uuid].target_kib
            self.assertLessEqual(one.floor_kib, target_kib)
            self.assertLessEqual(target_kib, one.flavor_kib)

    @given(GUESTS, HOSTS)
    def test_only_who_may_be_moved_is_moved(self, guests, where) -> None:
        plan = targets.plan(guests, where, SETTINGS)
        for one in guests:
            change_kib = plan[one.uuid].target_kib - one.target_kib
            self.assertFalse(change_kib > 0 and not one.growable)
            self.assertFalse(change_kib < 0 and not one.shrinkable)

    @given(GUESTS, HOSTS)
    def test_no_more_is_given_than_there_will_be(self, guests, where):
        # The dead band may hold back a donor but never a wish: that is why
        # the balancer grants only what is measured free.
        exact = targets.TargetSettings(dead_band_kib=0, max_step_kib=2**40)
        plan = targets.plan(guests, where, exact)
        given_kib = sum(
            plan[one.uuid].target_kib - one.target_kib for one in guests
        )
        self.assertLessEqual(given_kib, where.expected_free_kib)

    @given(GUESTS, HOSTS)
    def test_who_has_not_what_it_needs_is_told_why(self, guests, where):
        held = [
            dataclasses.replace(
                one, hold=None if one.shrinkable else Limit.HELD
            )
            for one in guests
        ]
        plan = targets.plan(held, where, SETTINGS)
        for one in held:
            decision = plan[one.uuid]
            if decision.target_kib < one.demand_kib:
                self.assertTrue(decision.limits, decision)

    @given(GUESTS, HOSTS)
    def test_the_order_of_guests_does_not_matter(self, guests, where):
        forward = targets.plan(guests, where, SETTINGS)
        backward = targets.plan(guests[::-1], where, SETTINGS)
        self.assertEqual(forward, backward)

    @given(GUESTS, HOSTS)
    def test_nobody_gives_of_a_rank_while_others_have_more(
        self, guests, where
    ) -> None:
        exact = targets.TargetSettings(dead_band_kib=0, max_step_kib=2**40)
        plan = targets.plan(guests, where, exact)
        ranks = [
            lambda one: one.firm_need_kib,
            lambda one: one.need_kib,
            lambda one: one.hoped_need_kib,
        ]
        for rank in ranks:
            gives = any(
                plan[one.uuid].target_kib < min(one.target_kib, rank(one))
                for one in guests
            )
            for one in guests:
                if gives and one.shrinkable:
                    target_kib = plan[one.uuid].target_kib
                    self.assertLessEqual(target_kib, rank(one))

    @given(GUESTS, HOSTS)
    def test_only_firm_needs_make_anyone_give_what_it_uses(
        self, guests, where
    ) -> None:
        # Given that firm needs can be met out of what is above them
        lacking_kib = sum(
            max(0, one.firm_need_kib - one.target_kib)
            for one in guests
            if one.growable
        )
        spare_kib = sum(
            max(0, one.target_kib - one.firm_need_kib)
            for one in guests
            if one.shrinkable
        )
        missing_kib = lacking_kib + where.slack_kib - where.expected_free_kib
        if missing_kib > spare_kib:
            return
        # Then starts, reserve, foresight and hope leave them alone
        plan = targets.plan(guests, where, SETTINGS)
        for one in guests:
            target_kib = plan[one.uuid].target_kib
            self.assertGreaterEqual(
                target_kib, min(one.target_kib, one.firm_need_kib)
            )

    @given(GUESTS, HOSTS)
    def test_a_plan_that_has_come_true_moves_nothing_more(self, guests, where):
        unbounded = targets.TargetSettings(dead_band_kib=0, max_step_kib=2**40)
        plan = targets.plan(guests, where, unbounded)
        given_kib = sum(
            plan[one.uuid].target_kib - one.target_kib for one in guests
        )
        settled = [
            dataclasses.replace(
                one,
                target_kib=plan[one.uuid].target_kib,
                actual_kib=plan[one.uuid].target_kib,
            )
            for one in guests
        ]
        after = dataclasses.replace(
            where, expected_free_kib=where.expected_free_kib - given_kib
        )
        again = targets.plan(settled, after, unbounded)
        self.assertEqual(
            {one.uuid: one.target_kib for one in settled},
            {uuid: one.target_kib for uuid, one in again.items()},
        )
