# SPDX-License-Identifier: Apache-2.0
"""Guests that say nothing, under the production balancer.

The host is short by what one guest wants that speaks, so all that the
silent ones may give is asked of them.
"""

import unittest

from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.policy import probe
from nova_xen_overcommit.policy.probe import Phase
from nova_xen_overcommit.policy.progress import Status
from tests.simulator import GIB, MIB, SimulatedGuest
from tests.unit.agent.harness import Harness

GRACE_S = 180
STEP_KIB = 16 * MIB


class SilentTest(unittest.TestCase):
    """Three guests of 1 GiB that never spoke, and one that lacks memory."""

    count = 3

    def setUp(self) -> None:
        self.make()

    def make(self, **options) -> None:
        self.harness = Harness(**{"probe_silent_guests": True, **options})
        self.host = self.harness.host
        self.silent = [
            self.host.start(wants_kib=100 * MIB, file_kib=200 * MIB)
            for _ in range(self.count)
        ]
        for guest in self.silent:
            guest.silent = True
        self.needy = self.host.start(actual_kib=400 * MIB, wants_kib=200 * MIB)

    def need(self) -> None:
        """Let memory be wanted that only the silent ones have."""
        self.needy.wants_kib = GIB

    def run_to_the_floor(self) -> None:
        """Let the silent ones give all that they may.

        Half of each would be enough; less is wanted, so some are ended.
        """
        self.need()
        self.harness.run(GRACE_S + 30, 1.0)

    def tracked(self, guest: SimulatedGuest) -> TrackedGuest:
        return self.harness.balancer.guests[guest.uuid]

    def probe(self, guest: SimulatedGuest) -> probe.Probe:
        seen = self.tracked(guest).probe
        assert seen is not None
        return seen

    def taken_kib(self) -> int:
        return sum(GIB - guest.target_kib for guest in self.silent)


class YieldTest(SilentTest):
    def test_idle_silent_guests_yield_slowly_when_memory_is_wanted(self):
        self.need()
        self.harness.run(GRACE_S, 1.0)
        # Nothing in the grace in which its publisher may start
        self.assertEqual(0, self.taken_kib())
        last_kib = {guest.uuid: GIB for guest in self.silent}
        last_s = {guest.uuid: -60.0 for guest in self.silent}
        for _ in range(400):
            self.harness.run(0.5)
            for guest in self.silent:
                step_kib = last_kib[guest.uuid] - guest.target_kib
                if not step_kib:
                    continue
                # Never more than one step, never sooner than in 10 s
                now_s = self.host.clock.now_s
                self.assertGreater(step_kib, 0)
                self.assertLessEqual(step_kib, STEP_KIB)
                self.assertGreater(now_s - last_s[guest.uuid], 9.9)
                last_kib[guest.uuid] = guest.target_kib
                last_s[guest.uuid] = now_s
        # Then the needy one has what it wants, and none was hurt
        self.assertEqual(GIB, self.needy.target_kib)
        self.assertGreater(self.taken_kib(), 500 * MIB)
        for guest in self.silent:
            self.assertEqual(0, guest.swap_out_kib)
            self.assertEqual(0, self.probe(guest).pains)

    def test_nothing_is_taken_that_nobody_wants(self) -> None:
        self.host.end(self.needy)
        self.harness.run(GRACE_S + 600, 1.0)
        self.assertTrue(self.probe(self.silent[0]).opens)
        self.assertEqual([], self.host.calls)

    def test_without_the_option_nothing_moves_nor_is_read(self) -> None:
        self.make(probe_silent_guests=False)
        self.need()
        self.harness.run(GRACE_S + 300, 1.0)
        self.assertEqual(0, self.taken_kib())
        self.assertEqual(0, self.host.disk_looks)

    def test_turned_off_it_gives_all_back(self) -> None:
        self.need()
        self.harness.run(GRACE_S + 200, 1.0)
        self.assertGreater(self.taken_kib(), 0)
        self.harness.conf.set_override(
            "probe_silent_guests", False, "xen_overcommit"
        )
        self.host.end(self.needy)
        self.harness.run(10)
        self.assertEqual(0, self.taken_kib())

    def test_observe_only_tells(self) -> None:
        self.make(mode="observe")
        self.need()
        self.harness.run(GRACE_S + 100, 1.0)
        self.assertEqual([], self.host.calls)
        told = self.harness.agent.explain(self.silent[0].uuid)
        self.assertEqual(GIB - STEP_KIB, told["demand"]["demand_kib"])

    def test_disks_are_read_once_a_second_at_most(self) -> None:
        self.harness.run(100, 1.0)
        looks = self.host.disk_looks
        self.harness.run(20, 0.2)
        self.assertLessEqual(self.host.disk_looks - looks, 20)

    def test_the_floor_of_silent_guests_is_kept(self) -> None:
        # Given one silent guest of which all is wanted, whose others gave
        # way to one that holds their memory
        for guest in self.silent[1:]:
            self.host.end(guest)
        self.host.start(flavor_kib=2 * GIB, wants_kib=2000 * MIB)
        self.need()
        self.harness.run(GRACE_S + 600, 1.0)
        self.assertEqual(512 * MIB, self.silent[0].target_kib)
        self.assertIs(Phase.FLOOR, self.probe(self.silent[0]).phase)

    def test_what_is_taken_fits_its_swap_disk(self) -> None:
        small = self.silent[0]
        self.host.end(self.silent[1])
        self.host.end(self.silent[2])
        self.host.end(small)
        small = self.host.start(swap_kib=128 * MIB)
        small.silent = True
        self.host.start(flavor_kib=2 * GIB, wants_kib=2000 * MIB)
        self.need()
        self.harness.run(GRACE_S + 300, 1.0)
        self.assertEqual(GIB - 128 * MIB, small.target_kib)

    def test_without_a_swap_disk_it_is_left_alone(self) -> None:
        for guest in self.silent:
            guest.swap_kib = 0
            guest.metadata = type(guest.metadata)()
        self.need()
        self.harness.run(GRACE_S + 300, 1.0)
        self.assertEqual(0, self.taken_kib())


class PainTest(SilentTest):
    def setUp(self) -> None:
        # As much is wanted as the host has
        super().setUp()
        self.needy.wants_kib = 560 * MIB
        self.harness.run(GRACE_S + 200, 1.0)
        self.guest = self.silent[0]
        self.had_kib = self.guest.target_kib
        self.assertLess(self.had_kib, GIB - 80 * MIB)
        self.assertGreater(self.host.free_kib, 120 * MIB)

    def test_a_guest_that_gets_busy_has_all_back_in_seconds(self) -> None:
        # When it wants nearly all it may have
        self.guest.wants_kib = 940 * MIB
        self.harness.run(3)
        # Then it was given more at once, and soon all
        self.assertGreater(self.guest.target_kib, self.had_kib)
        self.harness.run(4)
        self.assertEqual(GIB, self.guest.target_kib)
        self.harness.run(20)
        self.assertEqual(940 * MIB, self.guest.in_ram_kib)
        self.assertEqual(1, self.probe(self.guest).pains)

    def test_it_counts_as_starved_while_it_lacks(self) -> None:
        self.guest.wants_kib = 940 * MIB
        self.harness.run(1.5)
        self.assertTrue(self.tracked(self.guest).starved)

    def test_it_is_held_off_then(self) -> None:
        self.guest.wants_kib = 940 * MIB
        self.harness.run(20)
        self.guest.wants_kib = 100 * MIB
        # When memory is wanted all the time
        self.host.start(flavor_kib=self.host.free_kib)
        self.need()
        self.harness.run(90, 1.0)
        self.assertEqual(GIB, self.guest.target_kib)
        self.harness.run(240, 1.0)
        self.assertLess(self.guest.target_kib, GIB)

    def test_page_cache_that_is_read_again_comes_back(self) -> None:
        # Given a guest that reads files all the time, which fit its cache
        self.guest.wants_kib = self.guest.actual_kib - 300 * MIB
        self.guest.file_touch_kib_s = 50 * MIB
        self.harness.run(30, 1.0)
        # When more is wanted of it than is free in it
        self.need()
        self.harness.run(200, 1.0)
        # Then it hurts by that alone, and not for long
        seen = self.probe(self.guest)
        self.assertIn("files read", " ".join(seen.signs))
        self.assertEqual(0, self.guest.swap_out_kib)
        self.assertEqual(200 * MIB, self.guest.cache_kib)

    def test_a_balloon_that_stalls_is_let_go(self) -> None:
        # Given a balloon that is caught half way down a step
        self.need()
        while self.guest.target_kib == self.had_kib:
            self.harness.agent.tick()
            if self.guest.target_kib != self.had_kib:
                self.guest.actual_kib -= STEP_KIB // 2
                self.guest.stuck = True
            self.host.run(0.5)
        self.harness.run(6)
        # Then nothing presses on it any more
        self.assertGreaterEqual(self.guest.target_kib, self.guest.actual_kib)
        self.assertEqual(("its balloon stalls",), self.probe(self.guest).signs)
        # And it gets more than it was comfortable with, when that is there
        self.host.end(self.needy)
        self.harness.run(2)
        self.assertEqual(self.had_kib + STEP_KIB, self.guest.target_kib)

    def test_who_can_not_be_seen_is_not_touched_and_gets_all_back(self):
        self.host.disks_fail = True
        self.host.start(flavor_kib=self.host.free_kib)
        self.harness.run(2)
        before_kib = self.taken_kib()
        self.harness.run(40, 1.0)
        self.assertEqual(before_kib, self.taken_kib())
        self.host.end(self.needy)
        self.harness.run(60, 1.0)
        self.assertEqual(0, self.taken_kib())

    def test_a_failure_to_see_fails_no_pass(self) -> None:
        def fail(_domains):
            raise KeyError("block.0")

        self.host.disk_counters = fail
        before = self.harness.agent.status()["failures"]
        with self.assertLogs("nova_xen_overcommit", "WARNING") as logs:
            self.harness.run(10)
        self.assertEqual(before, self.harness.agent.status()["failures"])
        told = [line for line in logs.output if "from outside" in line]
        self.assertEqual(1, len(told))

    def test_a_paused_or_held_guest_is_neither_seen_nor_touched(self):
        asked: list[str] = []
        read = self.host.disk_counters

        def spy(domains):
            asked.extend(domain.uuid for domain in domains)
            return read(domains)

        self.host.disk_counters = spy
        self.silent[1].busy = "paused"
        with self.harness.agent.hold(self.guest.uuid, "snapshot"):
            self.host.start(flavor_kib=self.host.free_kib)
            self.harness.run(1)
            asked.clear()
            targets = [guest.target_kib for guest in self.silent]
            self.harness.run(60, 1.0)
            now = [guest.target_kib for guest in self.silent]
        self.assertEqual({self.silent[2].uuid}, set(asked))
        self.assertEqual(targets[:2], now[:2])
        self.assertLess(now[2], targets[2])


class ShortTest(SilentTest):
    def test_when_memory_is_short_no_more_than_a_step_is_taken(self):
        # Given that all the silent ones are calm
        self.harness.run(GRACE_S + 30, 1.0)
        # When two guests want more than there is
        other = self.host.start(actual_kib=self.host.free_kib, wants_kib=GIB)
        self.need()
        before = [guest.target_kib for guest in self.silent]
        self.harness.run(5)
        # Then the silent ones aren't squeezed by their weight
        self.assertGreater(other.wants_kib, other.target_kib)
        for guest, target_kib in zip(self.silent, before, strict=True):
            self.assertLessEqual(target_kib - guest.target_kib, STEP_KIB)


class WhoTest(SilentTest):
    def squeezed(self) -> int:
        self.need()
        self.harness.run(GRACE_S + 120, 1.0)
        return self.taken_kib()

    def test_who_fell_silent_is_left_alone(self) -> None:
        for guest in self.silent:
            guest.silent = False
        self.harness.run(5)
        for guest in self.silent:
            guest.silent = True
        self.harness.run(20)
        taken_kib = self.taken_kib()
        self.assertEqual(taken_kib, self.squeezed())
        self.assertIsNone(self.tracked(self.silent[0]).probe)

    def test_who_is_not_believed_is_left_alone(self) -> None:
        # Given words that a sensor found, and doesn't believe
        self.host.heard = {guest.uuid for guest in self.silent}
        self.assertEqual(0, self.squeezed())

    def test_who_was_once_heard_stays_so(self) -> None:
        self.host.heard = {guest.uuid for guest in self.silent}
        self.harness.run(5)
        self.host.heard = frozenset()
        self.assertEqual(0, self.squeezed())

    def test_while_a_sensor_fails_nobody_knows_who_is_silent(self) -> None:
        class Broken:
            name = "broken"

            def read(self, _guests):
                raise ValueError("no xenstore")

        self.harness.balancer._sensors = [Broken(), self.host]
        with self.assertLogs("nova_xen_overcommit", "WARNING"):
            self.assertEqual(0, self.squeezed())

    def test_who_begins_to_speak_is_believed_from_then_on(self) -> None:
        self.squeezed()
        guest = self.silent[0]
        guest.silent = False
        self.harness.run(2)
        self.assertIsNone(self.tracked(guest).probe)
        self.assertTrue(self.tracked(guest).speaks)

    def test_one_without_a_balloon_shows_itself_as_such(self) -> None:
        stuck = self.silent[0]
        stuck.stuck = True
        self.need()
        self.harness.run(GRACE_S + 22, 1.0)
        self.assertIs(Status.STUCK, self.tracked(stuck).progress.status)
        self.harness.run(15, 1.0)
        self.assertIs(
            Status.UNCOOPERATIVE, self.tracked(stuck).progress.status
        )
        self.assertEqual(GIB, stuck.target_kib)
        self.assertEqual(1, self.harness.agent.report()["uncooperative"])
        self.assertEqual(0, self.probe(stuck).pains)

    def test_the_promise_counts_it_in_full(self) -> None:
        # Given a host with memory to spare that gave much of it away
        self.squeezed()
        report = self.harness.agent.report()
        self.assertGreaterEqual(report["peak_mib"], 3 * 1024)
        self.assertEqual(
            "probed from outside", self.tracked(self.silent[0]).in_full(0)
        )

    def test_an_agent_started_anew_gives_nothing_back_that_is_not_missed(
        self,
    ) -> None:
        self.squeezed()
        targets = [guest.target_kib for guest in self.silent]
        self.harness.restart()
        self.harness.run(GRACE_S + 10, 1.0)
        now = [guest.target_kib for guest in self.silent]
        for before_kib, now_kib in zip(targets, now, strict=True):
            self.assertLessEqual(now_kib, before_kib)


class ExplainTest(SilentTest):
    def explain(self) -> dict:
        return self.harness.agent.explain(self.silent[0].uuid)

    def test_what_is_seen_and_what_holds_it(self) -> None:
        self.harness.run(100, 1.0)
        told = self.explain()
        # In the grace it is only watched
        self.assertEqual(["never spoke: found 100 s ago"], told["limits"])
        self.assertEqual(
            {
                "sensor": "its disks, from outside",
                "age_s": 1.0,
                "swap_read_kib_s": 0,
                "swap_written_kib_s": 0,
                "file_read_kib_s": 0,
                "usual_file_read_kib_s": 0,
            },
            told["observation"],
        )
        self.assertFalse(told["status"]["probed"])

    def test_an_open_step(self) -> None:
        self.host.end(self.needy)
        self.harness.run(GRACE_S + 10, 1.0)
        told = self.explain()
        self.assertEqual([], told["limits"])
        self.assertEqual(
            {
                "demand_kib": GIB - STEP_KIB,
                "causes": ["says nothing, is calm: one step less than it has"],
                "comfort_kib": GIB,
                "probe_floor_kib": 512 * MIB,
                "pains": 0,
            },
            told["demand"],
        )
        self.assertTrue(told["status"]["probed"])
        self.assertEqual(
            "probed from outside", told["status"]["counts_in_full"]
        )
        brief = self.harness.agent.explain("")["guests"][0]
        self.assertEqual(GIB - STEP_KIB, brief["demand_kib"])

    def test_a_guest_that_is_watched_after_its_step(self) -> None:
        self.need()
        self.harness.run(GRACE_S + 4, 1.0)
        (limit,) = self.explain()["limits"]
        self.assertRegex(
            limit, r"^probed from outside: watched, for \d+ s at least$"
        )

    def test_a_guest_that_is_held_off(self) -> None:
        self.needy.wants_kib = 560 * MIB
        self.harness.run(GRACE_S + 100, 1.0)
        self.silent[0].wants_kib = 950 * MIB
        self.harness.run(30)
        told = self.explain()
        self.assertRegex(
            told["limits"][0],
            r"^probed from outside: held off for \d+ s after swap disk read",
        )
        self.assertEqual(1, told["demand"]["pains"])
        self.assertEqual(
            "it hurt: more than it was comfortable with",
            told["demand"]["causes"][0],
        )
