# SPDX-License-Identifier: Apache-2.0
"""What users of other balancers complain about, and don't get here.

Each test brings about one complaint's situation and looks at what guests
really have. Where another balancer's rule, or ours with a protection
switched off, shows the complaint in the same situation, that is shown too.
"""

import dataclasses
import random
from unittest import mock

from benchmarks.balancer.policies.base import RuleMover
from benchmarks.balancer.policies.mom import Mom
from benchmarks.balancer.policies.proxmox import Proxmox
from benchmarks.balancer.policies.qmemman import Qmemman
from benchmarks.balancer.policies.squeezed import Squeezed
from benchmarks.balancer.policies.xenballoond import Xenballoond
from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import guests as agent_guests
from nova_xen_overcommit.agent.core import Agent
from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.guest_metadata import GuestMetadata
from nova_xen_overcommit.policy.progress import advance
from nova_xen_overcommit.policy.sample import MemorySample
from tests.simulator import GIB, MIB, SimulatedGuest, SimulatedHost
from tests.simulator.stage import Waiting
from tests.simulator.workload import steady
from tests.simulator.world import World
from tests.unit.simulator.worlds import (
    Quiet,
    changed,
    guests_of,
    wait,
    world_of,
)


def short_mib(guest: SimulatedGuest) -> int:
    """Give what it lacks to what its programs use."""
    return max(0, guest.need_kib - guest.actual_kib) // MIB


def under(rule, host: SimulatedHost, seconds: float, waiting=()) -> None:
    """Let another balancer's rule move the memory for a while."""
    mover, until_s = RuleMover(rule, host), host.clock.now_s + seconds
    while host.clock.now_s < until_s:
        host.run(min(mover.run_pass(waiting), until_s - host.clock.now_s))


class Complaints(Quiet):
    def tearDown(self) -> None:
        for world in getattr(self, "worlds", []):
            self.assertEqual([], world.broken)

    def judged(self, world: World) -> World:
        """Give a world in which no rule may be broken."""
        self.worlds = [*getattr(self, "worlds", []), world]
        return world

    def test_1_a_migration_does_not_squeeze_a_database(self) -> None:
        """Migration squeezed guests to their minimum; MySQL crashed."""

        def host_with_database() -> tuple[World, SimulatedGuest]:
            world = world_of(800, *[400] * 5)
            database = guests_of(world)[0]
            database.wants_kib = 650 * MIB
            world.run(1)
            return world, database

        # Given a database, and idle guests beside it
        world, database = host_with_database()
        # When a guest migrates in
        start = self.judged(world).ask(
            GIB, incoming=True, restore_kib=700 * MIB
        )
        for _ in range(40):
            world.run(1)
            # Then the database has what it needs all the time
            self.assertEqual(0, short_mib(database))
        self.assertIsNotNone(start.guest)
        # With everyone at the same part of its range it doesn't
        other, database = host_with_database()
        asks = Waiting("in", GIB, GIB, 0.0, mock.Mock())
        under(Squeezed(), other.host, 40, [asks])
        self.assertGreater(short_mib(database), 100)

    def test_2_a_start_gets_idle_memory_or_a_reason(self) -> None:
        """A start fails with "cannot free this much memory"."""
        # Given a full host of idle guests, one of which doesn't yield
        world = self.judged(world_of(*[448] * 4))
        stuck, *_idle = guests_of(world)
        stuck.stuck = True
        # When one more is started, Then the idle ones make room
        start = world.ask(GIB)
        world.run(20)
        self.assertIsNotNone(start.guest)
        # When all need what they have, Then the refusal says why
        for guest in guests_of(world):
            guest.wants_kib = 900 * MIB
        world.run(30)
        refused = world.ask(GIB, wait_s=10).reservation
        world.run(15)
        assert isinstance(refused.failure, exception.NoRoom)
        self.assertIn(stuck.name, refused.failure.unyielding)
        self.assertIn("asked for 256 MiB", str(refused.failure))

    def test_3_memory_does_not_oscillate(self) -> None:
        """Memory oscillates every few seconds."""

        def breathing() -> World:
            world = world_of(*[330] * 8, free_mib=200)
            for number, guest in enumerate(guests_of(world)):
                base_kib = (60 + 25 * number) * MIB
                course = steady(random.Random(number), 900.0, base_kib)
                guest.course = course.beginning_at(world.host.clock.now_s)
                guest.speaks_every_s = 1.0
            return world

        # Given guests that breathe by 5 %
        world = self.judged(breathing())
        world.run(60)
        before = len(world.host.calls)
        # When ten minutes go by, Then next to nothing moves
        world.run(600)
        moves = len(world.host.calls) - before
        self.assertLess(moves, 20)
        # Where memory follows use it does, many times more
        other = breathing()
        other.host.calls.clear()
        under(Qmemman(), other.host, 600)
        self.assertGreater(len(other.host.calls), 5 * max(1, moves))

    def test_4_a_constant_offset_is_no_disobedience(self) -> None:
        """A constant 1 MiB offset marks every HVM guest uncooperative."""

        def play() -> World:
            world = world_of(1024, 1024)
            for guest in guests_of(world):
                guest.offset_kib = -MIB - 512
            wait(world, flavor_kib=800 * MIB)
            world.run(60)
            return world

        named = self.judged(play()).agent.report()["uncooperative"]
        self.assertEqual(0, named)

        def unlearning(
            before, target_kib, actual_kib, now_s, settings, **more
        ):
            settings = dataclasses.replace(settings, max_offset_kib=0)
            return advance(
                before, target_kib, actual_kib, now_s, settings, **more
            )

        with mock.patch.object(agent_guests, "advance", unlearning):
            named = play().agent.report()["uncooperative"]
        self.assertEqual(2, named)

    def test_5_who_thrashes_at_its_floor_need_not_ask(self) -> None:
        """A guest at its minimum thrashes and can't ask for memory."""

        def play() -> SimulatedGuest:
            world = self.judged(world_of(180, 1024, 1024))
            guest, *others = guests_of(world)
            for other in others:
                other.wants_kib = 900 * MIB
            world.run(10)
            guest.wants_kib = 900 * MIB
            world.run(1.2)
            # It is too busy with its swap to say any more
            guest.silent = True
            world.run(20)
            for other in others:
                other.wants_kib = 60 * MIB
            world.run(60)
            return guest

        self.assertEqual(GIB, play().target_kib)
        off = changed(TrackedGuest, "_silent_in_need", lambda _need: False)
        with off:
            self.assertGreater(short_mib(play()), 100)

    def test_6_a_big_host_is_used(self) -> None:
        """An 80 % goal wastes big hosts."""

        def play() -> tuple[World, SimulatedGuest]:
            world = world_of(600, *[1024] * 7, free_mib=1700)
            needy = guests_of(world)[0]
            needy.wants_kib = 940 * MIB
            return world, needy

        world, needy = play()
        self.judged(world).run(10)
        self.assertEqual(0, short_mib(needy))
        world, needy = play()
        under(Proxmox(), world.host, 60)
        self.assertGreater(short_mib(needy), 100)

    def test_6_a_figure_that_is_none_is_told_of(self) -> None:
        """Ballooning silently dead: a number came as a string."""
        # Given a guest that writes words for figures
        world = self.judged(world_of(300, 1024, 1024))
        odd, needy, _idle = guests_of(world)
        odd.garbage = (
            b"v=1 seq=1 mem_total_kib=many mem_available_kib=few "
            b"swap_total_kib=0 swap_free_kib=0"
        )
        world.run(20)
        # Then it is named with the reason
        told = {g["uuid"]: g for g in world.agent.status()["guests"]}
        self.assertEqual("no believable figures", told[odd.uuid]["hands_off"])
        self.assertEqual("", told[needy.uuid]["hands_off"])

    def test_7_no_exception_stops_memory_for_ever(self) -> None:
        """A VM stops receiving memory; the loop died of an exception."""

        def play() -> SimulatedGuest:
            world = world_of(300, 1024, 1024)
            if not self.off:
                self.judged(world)
            # When whatever can fail has failed
            world.host.unreachable = True
            world.run(3)
            world.host.unreachable = False
            world.store.fault = ZeroDivisionError("a bug")
            world.run(3)
            world.store.fault = None
            world.run(3)
            # Then who needs memory gets it
            needy = guests_of(world)[0]
            needy.wants_kib = 900 * MIB
            world.run(20)
            return needy

        self.off = False
        self.assertEqual(0, short_mib(play()))
        self.off = True
        with mock.patch.object(Agent, "tick", _once_and_for_all(Agent.tick)):
            self.assertGreater(short_mib(play()), 100)

    def test_8_the_host_keeps_memory_for_itself(self) -> None:
        """dom0 out of memory."""

        def play() -> World:
            world = world_of(*[600] * 4, free_mib=130)
            for guest in guests_of(world):
                guest.wants_kib = 1000 * MIB
            return world

        # Given guests that want all there is
        world = self.judged(play())
        for _ in range(40):
            world.run(1)
            # Then what the hypervisor needs is never given away
            self.assertGreaterEqual(world.host.free_kib, 16 * MIB)
        # When dom0 grows, Then its memory is made free again
        for guest in guests_of(world):
            guest.wants_kib = 60 * MIB
        world.run(200)
        world.host.kept_kib += world.host.free_kib - MIB
        world.run(30)
        self.assertGreaterEqual(world.host.free_kib, 120 * MIB)
        # Where guests take what they want nothing is left
        other = play()
        under(Xenballoond(), other.host, 40)
        self.assertLess(other.host.free_kib, 16 * MIB)

    def test_9_no_words_stop_the_others(self) -> None:
        """A parser crash stops all policy."""
        # Given guests that write what no parser expects
        world = self.judged(world_of(300, *[700] * 5))
        needy, *odd = guests_of(world)
        for guest, garbage in zip(
            odd, (b"\xff", b"=" * 5000, b"v=1 v=1", b"\0"), strict=False
        ):
            guest.garbage = garbage
        # When another needs memory, Then it gets what the sane can spare
        needy.wants_kib = 600 * MIB
        world.run(30)
        self.assertEqual(0, short_mib(needy))
        self.assertEqual("", world.agent.status()["complaint"])

    def test_10_no_figures_are_not_zero(self) -> None:
        """Stale or missing guest statistics treated as zero."""

        def play() -> SimulatedGuest:
            # Given a guest that was idle when it last spoke
            world = world_of(1024, 1024)
            guest = guests_of(world)[0]
            guest.silent = True
            guest.wants_kib = 800 * MIB
            world.run(20)
            # When a start wants memory
            wait(world, flavor_kib=512 * MIB)
            wait(world, flavor_kib=512 * MIB)
            wait(world, flavor_kib=900 * MIB)
            world.run(30)
            return guest

        self.assertEqual(0, short_mib(play()))
        with mock.patch.object(MemorySample, "is_fresh", return_value=True):
            self.assertGreater(short_mib(play()), 100)

    def test_11_an_idle_guest_that_matters_has_a_floor(self) -> None:
        """The idle infrastructure VM is squeezed hardest."""

        def play(floor_kib: int) -> SimulatedGuest:
            world = self.judged(world_of(*[700] * 4))
            idle, *busy = guests_of(world)
            idle.metadata = GuestMetadata(floor_kib=floor_kib, swap_kib=GIB)
            for guest in busy:
                guest.wants_kib = 1000 * MIB
            world.run(60)
            return idle

        self.assertGreaterEqual(play(512 * MIB).actual_kib, 512 * MIB)
        self.assertLess(play(0).actual_kib, 400 * MIB)

    def test_12_a_sudden_need_is_met_in_seconds(self) -> None:
        """Give-back late: 262 to 706 MiB short after 5 s."""

        def play() -> tuple[World, SimulatedGuest]:
            world = world_of(*[280] * 12, free_mib=130)
            needy = guests_of(world)[0]
            needy.wants_kib = 700 * MIB
            return world, needy

        world, needy = play()
        self.judged(world).run(5)
        self.assertLess(short_mib(needy), 262)
        world.run(10)
        self.assertEqual(0, short_mib(needy))
        for rule in (Mom(), Proxmox()):
            world, needy = play()
            under(rule, world.host, 5)
            self.assertGreater(short_mib(needy), 262, rule.name)

    def test_13_no_target_is_above_what_a_guest_may_have(self) -> None:
        """The balloon thread burns a CPU when target > maxmem."""
        # Given guests that rest above their targets, lie, or don't obey
        world = self.judged(world_of(*[1024] * 3, free_mib=600))
        over, liar, stuck = guests_of(world)
        over.actual_kib += 6 * MIB
        over.target_kib = 500 * MIB
        over.stuck = stuck.stuck = True
        liar.lie = MemorySample(0.0, 15.0, GIB, 0, GIB, 0)
        wait(world, flavor_kib=2 * GIB)
        world.run(60)
        # Then none is ever asked to have more than its flavor
        asked = [target_kib for _uuid, target_kib in world.host.calls]
        self.assertTrue(asked)
        self.assertLessEqual(max(asked), GIB)


def _once_and_for_all(tick):
    """Give a loop that ends with the first pass that fails."""

    def until_it_fails(self) -> float:
        if self.status()["complaint"]:
            return 1.0
        return tick(self)

    return until_it_fails
