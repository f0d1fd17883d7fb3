# SPDX-License-Identifier: Apache-2.0
"""How guests and host stand, in words and figures."""

import json
import tempfile
import unittest
from pathlib import Path

from nova_xen_overcommit.agent import pressure, status
from tests.simulator import GIB, MIB, SimulatedGuest
from tests.unit.agent.harness import Harness


class StateTest(unittest.TestCase):
    def setUp(self) -> None:
        self.harness = Harness()
        self.guest = self.harness.host.start("web", wants_kib=400 * MIB)

    def told(self, guest: SimulatedGuest) -> status.GuestStatus:
        by_uuid = {
            one.uuid: one for one in self.harness.agent.pictured().guests
        }
        return by_uuid[guest.uuid]

    def state(self, seconds: float = 2) -> str:
        self.harness.run(seconds)
        state = self.told(self.guest).state
        self.assertIn(state, status.STATES)
        return state

    def test_a_quiet_guest_is_settled(self) -> None:
        self.assertEqual("settled", self.state(20))

    def test_one_that_is_never_ballooned_is_exempt(self) -> None:
        self.guest.exempt = "its memory is in huge pages"
        self.guest.busy = "paused"
        self.assertEqual("exempt", self.state())
        self.assertEqual(
            "its memory is in huge pages", self.told(self.guest).exempt
        )

    def test_one_that_must_not_be_touched_is_frozen(self) -> None:
        self.guest.busy = "paused"
        self.assertEqual("frozen", self.state())
        self.assertEqual("paused", self.told(self.guest).hands_off)

    def test_so_is_one_that_is_held(self) -> None:
        with self.harness.agent.hold(self.guest.uuid, "snapshot"):
            self.assertEqual("frozen", self.state())
        self.assertEqual("snapshot", self.told(self.guest).hands_off)
        self.assertEqual("settled", self.state())

    def test_one_without_figures_is_silent(self) -> None:
        self.guest.silent = True
        self.assertEqual("silent", self.state())
        told = self.told(self.guest)
        self.assertTrue(told.silent)
        self.assertIsNone(told.sample_age_s)
        self.assertIsNone(told.swap_used_kib)
        self.assertEqual(0, told.idle_kib)

    def test_one_that_moves_its_own_balloon_is_said_to(self) -> None:
        self.guest.chosen_kib = GIB
        self.assertEqual("self-ballooning", self.state(60))

    def test_one_that_does_not_yield_is_stuck_then_uncooperative(self) -> None:
        crowd = [self.harness.host.start(f"g{n}") for n in range(2)]
        self.guest.wants_kib = 60 * MIB
        self.harness.run(20)
        self.guest.stuck = True
        crowd[0].wants_kib = crowd[1].wants_kib = GIB
        self.harness.ask(flavor_kib=2 * GIB, wait_s=60)
        states = [self.state(1) for _ in range(40)]
        self.assertIn("stuck", states)
        self.assertEqual("uncooperative", states[-1])

    def test_figures_are_the_guests(self) -> None:
        self.harness.run(20)
        told = self.told(self.guest)
        self.assertEqual(
            (GIB, GIB, 542, told.actual_kib - told.demand_kib, 1.0, 0),
            (
                told.flavor_kib,
                told.actual_kib,
                told.demand_kib // MIB,
                told.idle_kib,
                told.weight,
                told.swap_used_kib,
            ),
        )


class AnswerTest(unittest.TestCase):
    def test_it_is_plain_json_with_version_and_units(self) -> None:
        harness = Harness()
        harness.host.start("web")
        harness.ask(wait_s=600)
        harness.run(3)
        told = json.loads(json.dumps(harness.agent.status()))
        self.assertEqual(1, told["version"])
        self.assertEqual("test", told["hypervisor"])
        self.assertEqual(4096, told["report"]["physical_mib"])
        self.assertEqual(
            {
                "nova_xen_overcommit",
                "python",
                "libvirt-python",
                "oslo.service",
            },
            set(told["versions"]),
        )
        self.assertEqual("start-1", told["starts"][0]["name"])
        self.assertEqual([], told["failing_sensors"])

    def test_thousands_of_guests_fit_into_an_answer(self) -> None:
        from nova_xen_overcommit.agent import protocol

        harness = Harness()
        harness.host.start("a-name-as-nova-gives-it-0000002a")
        harness.run(3)
        told = harness.agent.status()
        guest = len(json.dumps(told["guests"][0]))
        self.assertLess(4000 * guest, protocol.MAX_LINE_BYTES)


class PressureTest(unittest.TestCase):
    def read(self, text: str) -> pressure.Pressure | None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "memory"
            path.write_text(text)
            return pressure.read(path)

    def test_the_kernels_averages(self) -> None:
        told = self.read(
            "some avg10=1.50 avg60=0.80 avg300=0.10 total=123\n"
            "full avg10=0.25 avg60=0.00 avg300=0.00 total=45\n"
        )
        self.assertEqual(pressure.Pressure(1.5, 0.25), told)

    def test_a_kernel_that_counts_none(self) -> None:
        self.assertIsNone(pressure.read(Path("/nonexistent")))
        for text in ("", "some\n", "some avg10=x\nfull avg10=0\n"):
            with self.subTest(text=text):
                self.assertIsNone(self.read(text))
