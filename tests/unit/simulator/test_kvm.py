# SPDX-License-Identifier: Apache-2.0
"""Worlds of KVM guests, which speak through their balloons."""

import itertools
from collections.abc import Iterable

from nova_xen_overcommit.policy.sample import MemorySample
from tests.simulator import GIB, MIB, SimulatedGuest, SimulatedHost
from tests.simulator.world import World
from tests.unit.simulator.worlds import Quiet, squeezed


class KvmTest(Quiet):
    def world(
        self, deflates: bool, watched: bool = True, sizes_mib: int = 1024
    ) -> World:
        """Give three guests of 1 GiB, on a host that has no more."""
        host = SimulatedHost(3 * sizes_mib * MIB + 768 * MIB)
        world = World(host, watched, kvm=True, tick_interval_s=1.0)
        for _ in range(3):
            guest = world.appear(GIB, actual_kib=sizes_mib * MIB)
            guest.deflates = deflates
        world.run(20)
        self.addCleanup(lambda: self.assertEqual([], world.broken))
        return world

    @staticmethod
    def each_kind() -> Iterable[tuple[bool, bool]]:
        """Give whether balloons deflate by themselves, and are watched."""
        return itertools.product((False, True), (False, True))

    @staticmethod
    def first(world: World) -> SimulatedGuest:
        return next(iter(world.host.guests.values()))

    @staticmethod
    def told(world: World, guest: SimulatedGuest):
        status = world.agent.status()
        return next(g for g in status["guests"] if g["uuid"] == guest.uuid)

    def test_what_guests_use_is_known(self) -> None:
        for deflates, watched in self.each_kind():
            with self.subTest(deflates=deflates, watched=watched):
                # Given guests with much less than their flavors
                world = self.world(deflates, watched, sizes_mib=400)
                # Then a balloon's memory isn't taken for used
                guest = self.first(world)
                self.assertEqual(guest.need_kib, self.used_kib(world, guest))

    def used_kib(self, world: World, guest: SimulatedGuest) -> int:
        return self.told(world, guest)["used_kib"]

    def test_a_start_gets_what_others_leave_idle(self) -> None:
        for deflates, watched in self.each_kind():
            with self.subTest(deflates=deflates, watched=watched):
                world = squeezed(self.world(deflates, watched))
                taken_kib = GIB - self.first(world).actual_kib
                self.assertGreater(taken_kib, 200 * MIB)

    def test_a_sudden_need_is_met(self) -> None:
        for deflates, watched in self.each_kind():
            with self.subTest(deflates=deflates, watched=watched):
                world = self.world(deflates, watched, sizes_mib=400)
                guest = self.first(world)
                # When it uses more than it has, beside idle ones
                guest.wants_kib = 500 * MIB
                world.run(20)
                # Then it has that, and nobody's programs were killed
                self.assertGreaterEqual(guest.actual_kib, guest.need_kib)
                self.assertEqual(0, guest.oom_kills)

    def test_a_silent_guest_is_left_alone(self) -> None:
        world = self.world(deflates=True)
        guest = self.first(world)
        guest.silent = True
        world.run(20)
        squeezed(world)
        self.assertEqual(GIB, guest.actual_kib)
        self.assertEqual(
            "no believable figures", self.told(world, guest)["hands_off"]
        )

    def test_a_lie_is_what_the_sensor_reads(self) -> None:
        world = self.world(deflates=False)
        guest = self.first(world)
        guest.lie = MemorySample(0.0, 15.0, 800 * MIB, 100 * MIB)
        world.run(5)
        # Then it uses that, and what its kernel holds outside MemTotal
        used_kib = self.used_kib(world, guest)
        self.assertGreaterEqual(used_kib, 700 * MIB)

    def test_a_sensor_that_fails_is_one(self) -> None:
        world = self.world(deflates=False)
        world.balloons.fault = ZeroDivisionError("a bug of the sensor")
        world.run(3)
        self.assertEqual(["balloon"], world.agent.status()["failing_sensors"])
