# SPDX-License-Identifier: Apache-2.0
"""Scenarios under the production balancer."""

import dataclasses
import logging
import unittest

from tests.simulator import GIB, MIB, AgentKilled, scenarios
from tests.simulator.production import Production
from tests.simulator.scenario import GuestPlan, Reboot, Scenario
from tests.simulator.stage import News, Stage
from tests.simulator.workload import constant

SIZES_MIB = [60, 60, 60, 80, 80, 100, 120, 150, 200, 300, 350, 450]


def constant_host(seconds: float = 3600, **more) -> Scenario:
    """Give a full host whose guests don't change."""
    plans = [
        GuestPlan(
            course=constant(kib * MIB),
            actual_kib=288 * MIB,
            file_kib=300 * MIB,
        )
        for kib in SIZES_MIB
    ]
    return Scenario(name="constant", seconds=seconds, guests=plans, **more)


def play(scenario: Scenario, mover_of=Production) -> tuple[Stage, list]:
    """Give the stage after the play, and all that could be seen."""
    stage = Stage(scenario)
    seen = []

    def watch(stage: Stage, _step_s: float) -> None:
        guests = stage.host.guests.values()
        seen.append([(g.actual_kib, g.swap_in_kib) for g in guests])

    stage.play(mover_of(stage.host), watch)
    return stage, seen


class Quiet(unittest.TestCase):
    def setUp(self) -> None:
        logging.disable(logging.WARNING)
        self.addCleanup(logging.disable, logging.NOTSET)


class SteadyTest(Quiet):
    def test_a_steady_host_sees_no_move_for_an_hour(self) -> None:
        # Given a full host whose guests don't change, some of which lacked
        # memory when it began
        stage = Stage(constant_host(settle_s=600, step_s=1.0))
        moved = []

        def watch(stage: Stage, _step_s: float) -> None:
            if not stage.settling:
                moved.append(len(stage.host.calls))

        # When an hour goes by after the first minutes
        stage.play(Production(stage.host), watch)
        # Then there were moves in those, and none in the hour
        self.assertEqual(3600, len(moved))
        self.assertGreater(moved[0], 0)
        self.assertEqual(moved[0], moved[-1])

    def test_nobody_is_short_there(self) -> None:
        stage, _seen = play(constant_host(60))
        for guest in stage.host.guests.values():
            self.assertGreaterEqual(guest.actual_kib, guest.need_kib)


class DeterminismTest(Quiet):
    def test_the_same_seed_gives_the_same_run(self) -> None:
        for name in ("sudden", "mishaps", "starts"):
            first, seen = play(scenarios.build(name, 7))
            again, seen_again = play(scenarios.build(name, 7))
            self.assertEqual(first.host.calls, again.host.calls)
            self.assertEqual(seen, seen_again)

    def test_another_seed_gives_another(self) -> None:
        _, seen = play(scenarios.build("sudden", 1))
        _, other = play(scenarios.build("sudden", 2))
        self.assertNotEqual(seen, other)


class ScenarioTest(Quiet):
    def test_every_scenario_keeps_within_the_host(self) -> None:
        for name in scenarios.NAMES:
            scenario = scenarios.build(name, 1)
            stage = Stage(dataclasses.replace(scenario, seconds=240))
            least = [0]

            def watch(stage: Stage, _step_s: float, least=least) -> None:
                least[0] = min(least[0], stage.host.free_kib)

            stage.play(Production(stage.host), watch)
            self.assertEqual(0, least[0], name)
            killed = [g.name for g in stage.host.guests.values() if g.killed]
            self.assertEqual([], killed, name)

    def test_starts_wait_for_memory_and_get_it(self) -> None:
        late = GuestPlan(course=constant(60 * MIB), starts_s=10)
        plans = [*constant_host().guests[:-1], late]
        scenario = Scenario(name="start", seconds=60, guests=plans)
        stage, _seen = play(scenario)
        self.assertEqual(12, len(stage.host.guests))
        self.assertEqual([], stage.waiting)

    def test_who_reboots_is_away_and_comes_back(self) -> None:
        scenario = constant_host(60, reboots=[Reboot(10, 0, away_s=20)])
        stage = Stage(scenario)
        counts = []

        def watch(stage: Stage, _step_s: float) -> None:
            counts.append(len(stage.host.guests))

        stage.play(Production(stage.host), watch)
        self.assertAlmostEqual(20 / 0.2, counts.count(11), delta=2)
        self.assertEqual(12, counts[-1])

    def test_an_agent_killed_anywhere_leaves_no_harm(self) -> None:
        class Mortal(Production):
            kills = 0

            def run_pass(self, waiting):
                if self._host.kill_after_calls is None:
                    self._host.kill_after_calls = self.kills % 4
                try:
                    return super().run_pass(waiting)
                except AgentKilled:
                    self.kills += 1
                    self.begin()
                    return 0.0

        stage = Stage(scenarios.build("sudden", 3))
        mortal = Mortal(stage.host)

        def watch(stage: Stage, _step_s: float) -> None:
            self.assertGreaterEqual(stage.host.free_kib, 0)
            for guest in stage.host.guests.values():
                self.assertLessEqual(guest.target_kib, GIB)
                self.assertFalse(guest.killed)

        stage.play(mortal, watch)
        self.assertGreater(mortal.kills, 20)


class NewsTest(Quiet):
    """What brings the production balancer's next pass at once."""

    def setUp(self) -> None:
        super().setUp()
        self.stage = Stage(constant_host(60))
        self.production = Production(self.stage.host)
        self.stage.host.run(1.0)
        self.production.run_pass([])
        self.guest = self.stage.host.guests[next(iter(self.stage.host.guests))]

    def hears(self) -> bool:
        self.stage.host.spoke.clear()
        self.stage.host.run(1.0)
        spoke = frozenset(self.stage.host.spoke)
        self.assertIn(self.guest.uuid, spoke)
        return self.production.hears(News(spoke, lived=False))

    def fill_up(self) -> None:
        self.guest.wants_kib = 600 * MIB
        self.guest.course = None

    def test_a_guest_that_published_a_need_does(self) -> None:
        self.fill_up()
        self.assertTrue(self.hears())

    def test_one_that_is_calm_does_not(self) -> None:
        self.stage.play(self.production, lambda *_: None)
        self.assertFalse(self.hears())

    def test_nor_one_that_does_not_publish_it(self) -> None:
        self.stage.play(self.production, lambda *_: None)
        self.fill_up()
        self.guest.silent = True
        self.assertFalse(self.hears())

    def test_nor_one_that_is_unknown_or_cannot_be_read(self) -> None:
        news = News(frozenset({"unknown"}), lived=False)
        self.assertFalse(self.production.hears(news))
        self.fill_up()
        self.stage.host.sensor_fails = True
        self.assertFalse(self.hears())

    def test_a_start_does(self) -> None:
        self.assertTrue(self.production.hears(News(frozenset(), lived=True)))

    def test_a_start_is_answered_before_the_next_tick(self) -> None:
        late = GuestPlan(course=constant(60 * MIB), starts_s=10.4)
        plans = [*constant_host().guests[:8], late]
        passes = []

        class Seen(Production):
            def run_pass(self, waiting):
                passes.append((self._host.clock.now_s, len(waiting)))
                return super().run_pass(waiting)

        scenario = Scenario(name="start", seconds=20, guests=plans)
        stage, _seen = play(scenario, Seen)
        asked_s = next(at_s for at_s, waiting in passes if waiting)
        self.assertAlmostEqual(10.4, asked_s - stage.began_s, delta=0.01)
