# SPDX-License-Identifier: Apache-2.0
"""Which guests are probed, how they count, and what is told of them."""

from nova_xen_overcommit.policy.progress import Status
from tests.simulator import GIB, MIB
from tests.unit.agent.silent_guests import GRACE_S, STEP_KIB, SilentTest


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
