# SPDX-License-Identifier: Apache-2.0
"""What the agent says of its guests: exact words for each limit."""

import unittest

from nova_xen_overcommit import exception
from nova_xen_overcommit.policy.progress import Status
from tests.simulator import GIB, MIB, SimulatedGuest, SimulatedHost
from tests.unit.agent.harness import Harness


class ExplainedTest(unittest.TestCase):
    def setUp(self) -> None:
        self.harness = Harness()
        self.host = self.harness.host

    def explain(self, guest: SimulatedGuest) -> dict:
        return self.harness.agent.explain(guest.uuid)

    def limits(self, guest: SimulatedGuest) -> list[str]:
        return self.explain(guest)["limits"]

    def fill(self, count: int = 12) -> list[SimulatedGuest]:
        guests = [self.harness.boot() for _ in range(count)]
        self.harness.run(30)
        return guests


class AnswerTest(ExplainedTest):
    def test_a_guest_is_explained_with_all_its_figures(self) -> None:
        # Given a guest that has used half its memory for a while
        guest = self.host.start(wants_kib=400 * MIB)
        self.harness.run(20)
        told = self.explain(guest)
        # Then everything is told in exact figures
        self.assertEqual(
            {
                "name": guest.name,
                "uuid": guest.uuid,
                "flavor_kib": GIB,
                "actual_kib": GIB,
            },
            {
                name: told[name]
                for name in ("name", "uuid", "flavor_kib", "actual_kib")
            },
        )
        self.assertEqual(
            {
                "sensor": "SimulatedHost",
                "age_s": 0.5,
                "max_age_s": 15.0,
                "believed": True,
                "mem_total_kib": GIB - 64 * MIB,
                "mem_available_kib": GIB - 464 * MIB,
                "swap_total_kib": GIB,
                "swap_free_kib": GIB,
                "swap_in_kib": 0,
                "psi_some_us": 0,
                "self_more_kib": None,
            },
            told["observation"],
        )
        room_kib = 464 * MIB // 10 + 32 * MIB
        self.assertEqual(
            {
                "demand_kib": 464 * MIB + room_kib,
                "causes": ["what it uses, and head room"],
                "wanted_kib": 464 * MIB + room_kib,
                "firm_kib": 464 * MIB + room_kib,
                "hoped_kib": 464 * MIB + room_kib,
                "used_kib": 464 * MIB,
                "fast_kib": 464 * MIB,
                "slow_kib": 464 * MIB,
                "unmanaged_kib": 64 * MIB,
                "head_room_kib": room_kib,
                "raised_kib": 0,
            },
            told["demand"],
        )
        self.assertEqual(
            {
                "target_kib": GIB,
                "decided_kib": GIB,
                "reason": "keeps what it has",
                "moved": None,
            },
            told["target"],
        )
        self.assertEqual([], told["limits"])
        self.assertEqual(
            {
                "status": "settled",
                "since_s": 20.0,
                "known_since_s": 20.0,
                "offset_kib": 0,
                "starved": False,
                "starved_s": 0.0,
                "balloons_itself": False,
                "probed": False,
                "left_kib": 0,
                "foreign": False,
                "counts_in_full": "",
            },
            told["status"],
        )

    def test_the_last_move_is_told(self) -> None:
        idle = self.fill(4)[0]
        before_kib = idle.target_kib
        for _ in range(40):
            self.harness.ask(wait_s=20)
            self.harness.run(0.5)
            if idle.target_kib != before_kib:
                break
        self.harness.run(2)
        moved = self.explain(idle)["target"]["moved"]
        self.assertEqual("idle memory needed elsewhere", moved["reason"])
        self.assertLess(idle.target_kib, moved["from_kib"])
        self.assertGreater(moved["ago_s"], 0)

    def test_the_status_is_told_with_its_age(self) -> None:
        guests = self.fill(4)
        guests[0].stuck = True
        self.harness.ask(wait_s=60)
        self.harness.run(8)
        told = self.explain(guests[0])
        self.assertEqual(Status.STUCK.value, told["status"]["status"])
        self.assertAlmostEqual(2.5, told["status"]["since_s"], delta=1)

    def test_a_guest_is_found_by_its_name_too(self) -> None:
        guest = self.host.start("web")
        self.harness.run(1)
        told = self.harness.agent.explain(guest.name)
        self.assertEqual(guest.uuid, told["uuid"])

    def test_the_uuid_goes_before_another_guests_name(self) -> None:
        first = self.host.start("web")
        second = self.host.start("impostor")
        second.name = first.uuid
        self.harness.run(1)
        self.assertEqual(first.name, self.explain(first)["name"])

    def test_an_unknown_guest_is_named(self) -> None:
        self.harness.run(1)
        with self.assertRaisesRegex(exception.UnknownGuest, "'nobody'"):
            self.harness.agent.explain("nobody")

    def test_before_the_first_pass_nothing_is_explained(self) -> None:
        with self.assertRaisesRegex(exception.AgentRefused, "no report yet"):
            self.harness.agent.explain("")

    def test_the_host_and_all_guests_are_told(self) -> None:
        guests = [self.host.start() for _ in range(2)]
        self.harness.run(1)
        self.harness.ask(flavor_kib=16 * GIB)
        self.host.unreachable = True
        self.harness.run(1)
        told = self.harness.agent.explain("")
        self.assertEqual(
            [guest.name for guest in guests],
            [guest["name"] for guest in told["guests"]],
        )
        host = told["host"]
        self.assertEqual("normal", host["report"]["state"])
        self.assertEqual(1.5, host["pass_ago_s"])
        self.assertEqual(
            "HypervisorError: libvirtd is gone", host["complaint"]
        )
        (start,) = host["starts"]
        self.assertEqual(
            (16 * GIB, None), (start["flavor_kib"], start["granted_kib"])
        )

    def test_a_failing_sensor_is_named(self) -> None:
        self.host.start()
        self.harness.run(1)

        def fail(_guests):
            raise exception.OvercommitError("no xenstore")

        self.host.read = fail
        self.harness.run(1)
        host = self.harness.agent.explain("")["host"]
        self.assertEqual(["SimulatedHost"], host["failing_sensors"])

    def test_the_preferred_sensor_is_named(self) -> None:
        class Other:
            name = "other"
            read = self.host.read

        guest = self.host.start()
        self.harness.balancer._sensors = [Other(), self.host]
        self.harness.run(1)
        self.assertEqual("other", self.explain(guest)["observation"]["sensor"])


class LimitsTest(ExplainedTest):
    """Each limit once, in a world in which it is the one that holds."""

    def test_a_busy_guest(self) -> None:
        guest = self.host.start()
        guest.busy = "paused"
        self.harness.run(1)
        self.assertEqual(["busy: paused"], self.limits(guest))

    def test_a_held_guest(self) -> None:
        guest = self.host.start()
        with self.harness.agent.hold(guest.uuid, "snapshot"):
            self.harness.run(1)
        self.assertEqual(["held: snapshot"], self.limits(guest))

    def test_an_exempt_guest(self) -> None:
        guest = self.host.start()
        guest.exempt = "huge pages"
        self.harness.run(1)
        self.assertEqual(["exempt: huge pages"], self.limits(guest))

    def test_a_guest_that_fell_silent(self) -> None:
        guest = self.host.start()
        self.harness.run(2)
        guest.silent = True
        self.harness.run(20)
        told = self.explain(guest)
        self.assertEqual(["no data: silent for 20 s"], told["limits"])
        self.assertFalse(told["observation"]["believed"])
        self.assertEqual(
            {
                "demand_kib": GIB,
                "causes": ["no believable figures: its whole flavor"],
            },
            told["demand"],
        )

    def test_a_guest_that_never_spoke(self) -> None:
        guest = self.host.start()
        guest.silent = True
        self.harness.run(10)
        told = self.explain(guest)
        self.assertEqual(["never spoke: found 10 s ago"], told["limits"])
        self.assertIsNone(told["observation"])

    def test_a_guest_that_never_spoke_at_all_keeps_its_memory(self) -> None:
        silent = self.host.start()
        silent.silent = True
        self.harness.run(200)
        self.assertEqual([], self.limits(silent))

    def test_a_stuck_and_later_uncooperative_guest(self) -> None:
        guest = self.fill(12)[0]
        guest.stuck = True
        guest.wants_kib = 900 * MIB
        self.harness.run(8)
        (stuck,) = self.limits(guest)
        self.assertRegex(stuck, "^stuck: no progress for [5-8] s$")
        self.harness.run(20)
        (given_up,) = self.limits(guest)
        self.assertRegex(given_up, "^uncooperative: tried again in [0-9]+ s$")

    def test_a_guest_at_its_flavor(self) -> None:
        guest = self.host.start(wants_kib=2 * GIB)
        self.harness.run(5)
        self.assertEqual(["flavor: 1024 MiB"], self.limits(guest))

    def test_a_guest_whose_memory_has_not_come_free_yet(self) -> None:
        guests = self.fill(12)
        guests[0].wants_kib = 900 * MIB
        self.harness.run(1)
        self.assertIn("not enough free memory yet", self.limits(guests[0]))

    def test_guests_that_share_what_there_is(self) -> None:
        guests = self.fill(12)
        for guest in guests:
            guest.wants_kib = 1000 * MIB
        self.harness.run(30)
        for guest in guests:
            self.assertIn("not enough memory for all", self.limits(guest))

    def test_a_guest_whose_target_is_refused(self) -> None:
        guest = self.host.start(actual_kib=300 * MIB, wants_kib=60 * MIB)
        self.harness.run(2)
        guest.fails_calls = True
        guest.wants_kib = 600 * MIB
        self.harness.run(2)
        self.assertIn("the hypervisor refused", self.limits(guest))

    def test_observe_tells_what_it_would_do(self) -> None:
        self.harness.conf.set_override("mode", "observe", "xen_overcommit")
        guest = self.host.start(actual_kib=300 * MIB, wants_kib=400 * MIB)
        self.harness.run(5)
        told = self.explain(guest)
        self.assertIn("mode observe", told["limits"])
        self.assertEqual(300 * MIB, told["target"]["target_kib"])
        self.assertGreater(told["target"]["decided_kib"], 460 * MIB)
        self.assertEqual([], self.host.calls)


class StepsTest(unittest.TestCase):
    """A 2 GiB host with one idle guest, of which starts want memory."""

    def world(self, **options) -> tuple[Harness, SimulatedGuest]:
        host = SimulatedHost(physical_kib=2 * GIB, kept_kib=0)
        harness = Harness(host, **options)
        idle = host.start()
        host.start(actual_kib=900 * MIB, wants_kib=900 * MIB)
        return harness, idle

    def test_the_largest_step_is_told_with_its_size(self) -> None:
        # For a flavor of 1 GiB a quarter of it, which is more
        for option_mib, step_mib in ((300, 300), (64, 256)):
            harness, idle = self.world(max_step_mib=option_mib)
            harness.ask(wait_s=60)
            had_kib = idle.actual_kib
            harness.agent.tick()
            told = harness.agent.explain(idle.uuid)
            self.assertEqual([f"largest step: {step_mib} MiB"], told["limits"])
            # Then that is what was taken
            self.assertEqual(step_mib * MIB, had_kib - idle.target_kib)

    def test_a_guest_that_has_not_spoken_since_its_last_step(self) -> None:
        harness, idle = self.world(max_step_mib=64)
        idle.speaks_every_s = 10.0
        harness.ask(wait_s=60)
        harness.run(4)
        told = harness.agent.explain(idle.uuid)
        self.assertEqual(
            ["has not spoken since its last step"], told["limits"]
        )

    def test_a_guest_in_its_cool_down(self) -> None:
        harness, idle = self.world(cool_down_s=100, demand_decay_s=5)
        # Given a guest that had to be given memory, and uses some of it
        harness.host.end(list(harness.host.guests.values())[1])
        idle.actual_kib = idle.target_kib = 300 * MIB
        idle.wants_kib = 600 * MIB
        harness.run(50)
        # When the reserve has to be refilled
        harness.host.start(flavor_kib=harness.host.free_kib - 64 * MIB)
        harness.agent.tick()
        (limit,) = harness.agent.explain(idle.uuid)["limits"]
        self.assertRegex(limit, "^cool-down: [4-6][0-9] s left$")

    def test_a_guest_at_its_floor(self) -> None:
        harness, idle = self.world(max_step_mib=1024, demand_head_room_mib=8)
        idle.wants_kib = 0
        harness.ask(overcommit=False, wait_s=60)
        harness.run(2)
        told = harness.agent.explain(idle.uuid)
        floor_mib = told["floor_kib"] // MIB
        self.assertEqual([f"floor: {floor_mib} MiB"], told["limits"])
        self.assertEqual(told["floor_kib"], told["target"]["target_kib"])

    def test_a_change_within_the_dead_band(self) -> None:
        host = SimulatedHost(physical_kib=2 * GIB, kept_kib=0)
        harness = Harness(host, dead_band_mib=64)
        needy = host.start(actual_kib=1000 * MIB, wants_kib=830 * MIB)
        harness.run(2)
        told = harness.agent.explain(needy.uuid)
        self.assertEqual(["dead band: 64 MiB"], told["limits"][:1])
