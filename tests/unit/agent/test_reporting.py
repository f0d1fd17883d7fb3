# SPDX-License-Identifier: Apache-2.0
"""The report of each pass, and the promise in it."""

import unittest

from nova_xen_overcommit import report
from nova_xen_overcommit.agent.reporting import Sums
from tests.simulator import GIB, MIB
from tests.unit.agent.harness import Harness


class ReportTest(unittest.TestCase):
    def setUp(self) -> None:
        self.harness = Harness()

    def report(self) -> report.HostReport:
        self.harness.agent.tick()
        return report.HostReport.from_dict(self.harness.agent.report())

    def test_an_empty_host_promises_its_physical_memory_only(self) -> None:
        made = self.report()
        self.assertEqual(made.usable_mib - made.reserve_mib, made.promise_mib)

    def test_a_young_guest_counts_in_full(self) -> None:
        self.harness.boot()
        made = self.report()
        self.assertEqual(1024, made.peak_mib)
        self.assertEqual(made.usable_mib - made.reserve_mib, made.promise_mib)

    def test_a_known_idle_guest_raises_the_promise(self) -> None:
        self.harness.boot()
        self.harness.run(20)
        made = self.report()
        self.assertGreater(
            made.promise_mib, made.usable_mib - made.reserve_mib + 500
        )

    def test_what_a_guest_needed_to_boot_is_no_history(self) -> None:
        self.harness = Harness(warm_up_s=300)
        guest = self.harness.boot(wants_kib=600 * MIB)
        self.harness.run(5)
        guest.wants_kib = 60 * MIB
        self.harness.run(400)
        # What it needs now, and a surge as of one that is hardly known;
        # without what it booted with.
        self.assertLess(self.report().peak_mib, 600)

    def test_who_has_just_begun_promises_what_is_physically_there(self):
        # Given idle guests that an agent knows, in a promise that has held
        self.harness = Harness(warm_up_s=0, promise_raise_delay_s=60)
        for _ in range(3):
            self.harness.boot()
        self.harness.run(90)
        before = self.report()
        physical_mib = before.usable_mib - before.reserve_mib
        self.assertGreater(before.promise_mib, physical_mib + 1000)
        # When another agent begins, which knows of no warm-up
        self.harness.restart()
        made = self.report()
        # Then it promises no more until that has held, too
        self.assertEqual(physical_mib, made.promise_mib)
        self.harness.run(50)
        self.assertEqual(physical_mib, self.report().promise_mib)
        self.harness.run(20)
        self.assertEqual(before.promise_mib, self.report().promise_mib)

    def test_what_bounds_the_promise_is_told(self) -> None:
        self.harness.boot()
        self.harness.run(20)
        status = self.harness.agent.status()
        self.assertEqual("demand", status["promise_bound"])
        self.assertEqual("surge", status["predictor"])
        self.assertGreater(status["past_s"], 0)

    def test_a_start_in_flight_is_committed(self) -> None:
        self.harness.ask()
        self.assertEqual(1024, self.report().committed_mib)

    def test_a_need_lowers_the_promise_at_once(self) -> None:
        guest = self.harness.boot()
        self.harness.run(20)
        before = self.report().promise_mib
        guest.wants_kib = 900 * MIB
        self.harness.run(2)
        self.assertLess(self.report().promise_mib, before - 500)

    def test_the_report_survives_its_way_through_stats(self) -> None:
        made = self.report()
        self.assertEqual(made, report.HostReport.from_stats(made.to_stats()))


class FloorShareTest(unittest.TestCase):
    """What floors take of flavors, as the promise reckons with it."""

    def setUp(self) -> None:
        self.harness = Harness()

    def share(self) -> float:
        self.harness.agent.tick()
        guests = self.harness.balancer.guests
        return Sums.of(guests, [], self.harness.settings).floor_share

    def test_without_guests_it_is_the_options(self) -> None:
        self.assertEqual(0.02, self.share())

    def test_it_is_that_of_the_guests_there(self) -> None:
        for _ in range(2):
            self.harness.boot(flavor_kib=GIB)
        self.assertEqual(170 / 1024, self.share())

    def test_who_is_not_ballooned_does_not_count(self) -> None:
        self.harness.boot(flavor_kib=GIB)
        self.harness.host.start(flavor_kib=GIB).exempt = "has pinned CPUs"
        self.assertEqual(170 / 1024, self.share())


class HostStateTest(unittest.TestCase):
    def setUp(self) -> None:
        self.harness = Harness()
        self.guests = [self.harness.boot() for _ in range(8)]
        self.harness.run(60)

    def state(self) -> str:
        return str(self.harness.agent.report()["state"])

    def test_a_quiet_host_is_normal(self) -> None:
        self.assertEqual(report.NORMAL, self.state())

    def test_what_is_granted_already_is_no_reserve(self) -> None:
        # Given a start that was granted, and whose domain takes its memory
        reservation = self.harness.ask()
        self.harness.run(20)
        self.assertIsNotNone(reservation.granted_kib)
        settings, host = self.harness.settings, self.harness.host
        # When no more than that is free
        others_kib = host.free_kib - reservation.granted_kib
        host.start("other", actual_kib=others_kib - settings.slack_kib)
        self.harness.agent.tick()
        # Then the reserve is to be refilled, however much is free
        self.assertGreater(host.free_kib, settings.reserve_kib)
        self.assertEqual(report.RECLAIMING, self.state())

    def test_more_need_than_memory_is_pressure_or_worse(self) -> None:
        for guest in self.guests:
            guest.wants_kib = GIB
        self.harness.run(20)
        self.assertIn(self.state(), (report.PRESSURE, report.EMERGENCY))

    def test_it_calms_down_only_after_a_while(self) -> None:
        for guest in self.guests:
            guest.wants_kib = GIB
        self.harness.run(20)
        for guest in self.guests:
            guest.wants_kib = 60 * MIB
        self.harness.run(5)
        self.assertNotEqual(report.NORMAL, self.state())
        self.harness.run(300)
        self.assertEqual(report.NORMAL, self.state())


class LadderTest(unittest.TestCase):
    """What a host does first, and what last, while needs grow."""

    def setUp(self) -> None:
        # Given guests that are known, on a host that promises
        self.harness = Harness()
        self.guests = [self.harness.boot() for _ in range(6)]
        self.harness.run(30)
        self.first: dict[str, float] = {}
        self.promise_mib = self.told().promise_mib

    def told(self) -> report.HostReport:
        self.harness.agent.tick()
        return report.HostReport.from_dict(self.harness.agent.report())

    def note(self, step: str, *, reached: bool, at_s: float) -> None:
        if reached:
            self.first.setdefault(step, at_s)

    def grow(self, kib_s: int) -> None:
        """Let all guests need more, until the alarm."""
        settings, host = self.harness.settings, self.harness.host
        targets = {g.uuid: g.target_kib for g in self.guests}
        for second in range(600):
            for guest in self.guests[:3]:
                guest.wants_kib += kib_s
            made = self.told()
            lowered = made.promise_mib < self.promise_mib
            self.note("promise less", reached=lowered, at_s=second)
            yields = any(
                g.target_kib < targets[g.uuid] for g in self.guests[3:]
            )
            self.note("balloon", reached=yields, at_s=second)
            spent = host.free_kib < settings.reserve_kib - 8 * MIB
            self.note("spend the reserve", reached=spent, at_s=second)
            alarms = made.state in (report.PRESSURE, report.EMERGENCY)
            self.note("alarm", reached=alarms, at_s=second)
            if alarms:
                return
            host.run(1.0)
        raise self.failureException(f"no alarm, but {self.first}")

    def test_admission_first_then_balloons_the_reserve_and_the_alarm(self):
        with self.assertLogs("nova_xen_overcommit", "WARNING") as logs:
            self.grow(8 * MIB)
        steps = sorted(self.first, key=lambda step: self.first[step])
        self.assertEqual(
            ["promise less", "balloon", "spend the reserve", "alarm"], steps
        )
        self.assertEqual(4, len(set(self.first.values())), self.first)
        # Then whoever reads the log is told
        self.assertRegex(
            logs.output[-1], "Host state: .* -> (pressure|emergency)"
        )
