# SPDX-License-Identifier: Apache-2.0
"""The benchmark's figures are what their definitions say."""

import unittest

from benchmarks.balancer import measure
from tests.simulator import GIB, MIB
from tests.simulator.scenario import GuestPlan, Scenario
from tests.simulator.workload import Course, constant


class Nobody:
    """Moves nothing, lets guests start when it is told to."""

    def __init__(self, host) -> None:
        self.host = host

    def hears(self, news) -> bool:
        return False

    def run_pass(self, waiting) -> float:
        return 1.0

    def granted_kib(self, waiting) -> int:
        return 0

    def started(self, waiting) -> None:
        pass


def figures(*plans: GuestPlan, mover=Nobody) -> measure.Figures:
    scenario = Scenario(name="x", seconds=100, guests=plans, settle_s=10)
    return measure.run(scenario, mover).figures


def plan(wants_mib: int = 100, actual_mib: int = 512, **more) -> GuestPlan:
    course = more.pop("course", constant(wants_mib * MIB))
    return GuestPlan(course=course, actual_kib=actual_mib * MIB, **more)


class MeterTest(unittest.TestCase):
    def test_a_guest_that_has_its_need_is_not_short(self) -> None:
        found = figures(plan(wants_mib=448))
        self.assertEqual(0, found.short_guest_s)
        self.assertEqual(0, found.wasted_mib_h)

    def test_short_by_what_is_missing_as_long_as_it_is(self) -> None:
        course = Course([0, 20, 70], [0, 548 * MIB, 0])
        found = figures(plan(course=course))
        self.assertAlmostEqual(50, found.short_guest_s, delta=0.3)
        self.assertAlmostEqual(5000, found.short_mib_s, delta=30)

    def test_beyond_its_flavor_nobody_is_short(self) -> None:
        found = figures(plan(wants_mib=3000, actual_mib=1024))
        self.assertEqual(0, found.short_guest_s)

    def test_wasted_is_what_others_have_beyond_need_meanwhile(self) -> None:
        course = Course([0, 50], [0, 548 * MIB])
        others = [plan(336, 1000), plan(436, 1000)]
        found = figures(plan(course=course), *others)
        # 600 and 500 MiB of others, 1072 free, for 50 s
        expected = (600 + 500 + 3584 - 2512) * 50 / 3600
        self.assertAlmostEqual(expected, found.wasted_mib_h, delta=0.5)

    def test_a_start_that_waits_is_short_of_what_it_starts_with(self) -> None:
        found = figures(plan(), plan(starts_s=50))
        self.assertAlmostEqual(50, found.short_guest_s, delta=0.5)
        self.assertAlmostEqual(50 * 256, found.short_mib_s, delta=100)

    def test_a_sudden_need_that_is_not_met_counts_until_it_ends(self) -> None:
        course = Course([0, 20, 70], [0, 900 * MIB, 0])
        found = figures(plan(course=course))
        self.assertAlmostEqual(50, found.need_met_s_p99, delta=0.5)

    def test_one_that_is_met_counts_until_then(self) -> None:
        class Giver(Nobody):
            def run_pass(self, waiting) -> float:
                (guest,) = self.host.guests.values()
                if guest.need_kib > guest.actual_kib:
                    self.host.set_target(guest.domain(), GIB)
                return 1.0

        course = Course([0, 20, 70], [0, 700 * MIB, 0])
        found = figures(plan(course=course), mover=Giver)
        self.assertAlmostEqual(3, found.need_met_s_p99, delta=1.0)

    def test_swap_and_moves_of_the_settling_do_not_count(self) -> None:
        class Restless(Nobody):
            def run_pass(self, waiting) -> float:
                (guest,) = self.host.guests.values()
                self.host.set_target(guest.domain(), 512 * MIB)
                return 10.0

        found = figures(plan(), mover=Restless)
        self.assertEqual(10, found.moves)
        self.assertEqual(360, found.moves_per_h)

    def test_swap_traffic_counts_both_ways(self) -> None:
        course = Course([0, 20, 70], [0, 498 * MIB, 0])
        found = figures(plan(course=course, actual_mib=512))
        self.assertGreaterEqual(found.swap_mib, 50)

    def test_figures_add_up(self) -> None:
        one = measure.Figures(1, 2, 3, 4, 5, 3600, (1.0, 2.0))
        both = one + one
        self.assertEqual(2, both.short_guest_s)
        self.assertEqual(5, both.moves_per_h)
        self.assertEqual(2.0, both.need_met_s_p99)


class RankTest(unittest.TestCase):
    def test_the_99th_percentile_is_the_nearest_rank(self) -> None:
        met_s = tuple(float(n) for n in range(1, 201))
        found = measure.Figures(0, 0, 0, 0, 0, 1, met_s)
        self.assertEqual(198.0, found.need_met_s_p99)

    def test_without_needs_it_is_0(self) -> None:
        self.assertEqual(
            0, measure.Figures(0, 0, 0, 0, 0, 1, ()).need_met_s_p99
        )
