# SPDX-License-Identifier: Apache-2.0
"""Each fault of the simulated host is one, and ends when switched off."""

import dataclasses
import unittest

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.sensors.base import GuestRef
from nova_xen_overcommit.policy.sample import MemorySample
from tests.simulator import GIB, MIB, AgentKilled, SimulatedHost
from tests.simulator.workload import Course


class FaultTest(unittest.TestCase):
    def setUp(self) -> None:
        self.host = SimulatedHost()
        self.guest = self.host.start()

    def ask(self, mib: int) -> None:
        self.host.set_target(self.guest.domain(), mib * MIB)

    def shrunk_mib(self, seconds: int = 1) -> int:
        before_kib = self.guest.actual_kib
        for _ in range(seconds * 10):
            self.host.run(0.1)
        return (before_kib - self.guest.actual_kib) // MIB

    def figures(self) -> MemorySample | None:
        guest = self.guest
        ref = GuestRef(guest.uuid, guest.name, 1, guest.flavor_kib)
        return self.host.read([ref]).get(guest.uuid)

    def test_a_balloon_moves_with_its_speed(self) -> None:
        self.ask(512)
        self.assertEqual(100, self.shrunk_mib())
        self.assertEqual(412, self.shrunk_mib(10))

    def test_it_grows_only_into_free_memory(self) -> None:
        self.ask(512)
        self.shrunk_mib(10)
        self.host.building_kib = self.host.free_kib - 100 * MIB
        self.ask(1024)
        self.assertEqual(-100, self.shrunk_mib(10))
        self.assertEqual(0, self.host.free_kib)

    def test_stuck(self) -> None:
        self.guest.stuck = True
        self.ask(512)
        self.assertEqual(0, self.shrunk_mib())
        self.guest.stuck = False
        self.assertEqual(100, self.shrunk_mib())

    def test_intermittent(self) -> None:
        self.guest.intermittent_s = 5.0
        self.ask(512)
        self.assertAlmostEqual(200, self.shrunk_mib(10), delta=10)

    def test_silent(self) -> None:
        self.assertIsNotNone(self.figures())
        self.guest.silent = True
        self.assertIsNone(self.figures())

    def test_lying(self) -> None:
        self.guest.lie = MemorySample(0.0, 15.0, GIB, 7)
        told = self.figures()
        assert told is not None
        self.assertEqual(7, told.mem_available_kib)
        self.assertEqual(self.host.clock.now_s, told.time_s)

    def test_speaking_seldom(self) -> None:
        self.guest.speaks_every_s = 10.0
        first = self.figures()
        self.shrunk_mib(9)
        self.assertIs(first, self.figures())
        self.shrunk_mib(1)
        self.assertIsNot(first, self.figures())
        self.assertEqual({self.guest.uuid}, self.host.spoke)

    def test_garbage_from_the_sensor(self) -> None:
        self.host.garbage = MemorySample(-1.0, 0.0, -5, 2**60)
        self.assertEqual(self.host.garbage, self.figures())

    def test_a_sensor_that_fails(self) -> None:
        self.host.sensor_fails = True
        with self.assertRaises(exception.OvercommitError):
            self.figures()

    def test_failing_calls(self) -> None:
        self.guest.fails_calls = True
        with self.assertRaises(exception.HypervisorError):
            self.ask(512)
        self.assertEqual(0, self.shrunk_mib())

    def test_slow_calls(self) -> None:
        self.guest.slow_calls_s = 2.0
        self.ask(512)
        self.assertEqual(0, self.shrunk_mib(1))
        self.assertGreater(self.shrunk_mib(2), 90)

    def test_dying_in_the_midst_of_a_call(self) -> None:
        self.guest.dies_at_call = True
        with self.assertRaises(exception.HypervisorError):
            self.ask(512)
        self.assertEqual({}, self.host.guests)

    def test_a_slow_call_to_one_that_is_gone(self) -> None:
        self.guest.slow_calls_s = 1.0
        self.ask(512)
        self.host.end(self.guest)
        self.host.run(2)
        self.assertEqual(3584 * MIB, self.host.free_kib)

    def test_libvirt_gone(self) -> None:
        self.host.unreachable = True
        for call in (
            self.host.domains,
            lambda: self.host.host_memory([]),
            lambda: self.ask(512),
        ):
            with self.assertRaises(exception.HypervisorError):
                call()

    def test_the_agent_is_killed_between_two_calls(self) -> None:
        self.host.kill_after_calls = 1
        self.ask(512)
        with self.assertRaises(AgentKilled):
            self.ask(256)
        self.assertEqual(512 * MIB, self.guest.target_kib)
        self.ask(300)

    def test_the_wall_clock_is_set_wrong(self) -> None:
        clock = self.host.clock
        before_s = clock.monotonic_s()
        clock.wall_offset_s = -3600.0
        self.assertEqual(before_s, clock.monotonic_s())
        self.assertEqual(before_s - 3600, clock.wall_s())

    def test_the_host_slept(self) -> None:
        self.ask(512)
        self.host.clock.leap(3600)
        self.assertEqual(GIB, self.guest.actual_kib)
        self.assertEqual(4600, self.host.clock.monotonic_s())


class CourseTest(unittest.TestCase):
    COURSE = Course([0.0, 10.0, 20.0], [100 * MIB, 300 * MIB, 200 * MIB])

    def test_it_goes_in_steps(self) -> None:
        seen = [self.COURSE.at(at_s) for at_s in (-1, 0, 9, 10, 20, 99)]
        self.assertEqual(
            [100, 100, 100, 300, 200, 200], [kib // MIB for kib in seen]
        )

    def test_or_in_lines(self) -> None:
        smooth = dataclasses.replace(self.COURSE, smooth=True)
        seen = [smooth.at(at_s) for at_s in (-1, 0, 5, 10, 15, 99)]
        self.assertEqual(
            [100, 100, 200, 300, 250, 200], [kib // MIB for kib in seen]
        )

    def test_a_sudden_need_is_a_rise_at_one_moment(self) -> None:
        later = self.COURSE.beginning_at(1000.0)
        self.assertEqual([1010.0], later.sudden_needs_s)
        smooth = dataclasses.replace(self.COURSE, smooth=True)
        self.assertEqual([], smooth.sudden_needs_s)
