# SPDX-License-Identifier: Apache-2.0
"""Guests whose balloons deflate unasked before their kernels kill."""

import unittest

from tests.simulator import GIB, MIB, SimulatedGuest
from tests.unit.agent.harness import Harness

TOOK_KIB = 100 * MIB


class TakenBackTest(unittest.TestCase):
    def setUp(self) -> None:
        self.world = Harness(mode="balance")

    def guest(self, *, known_s: float = 20, deflates: bool = True):
        """Start a guest that has 300 of its 1024 MiB."""
        guest = self.world.host.start(actual_kib=300 * MIB)
        guest.deflates = deflates
        self.world.run(known_s)
        return guest

    def take(self, guest: SimulatedGuest) -> None:
        """Let it help itself, and the agent look."""
        guest.actual_kib += TOOK_KIB
        self.world.agent.tick()

    def tracked(self, guest: SimulatedGuest):
        return self.world.balancer.guests[guest.uuid]

    def expected_free_kib(self) -> int:
        balancer = self.world.balancer
        settings = self.world.settings
        memory = balancer._sense(settings)[0]
        return balancer._view(memory, settings).expected_free_kib

    def test_it_keeps_what_it_took(self) -> None:
        guest = self.guest()
        self.take(guest)
        self.assertEqual(300 * MIB + TOOK_KIB, guest.target_kib)
        move = self.tracked(guest).last_move
        self.assertEqual("took it back unasked", move.reason)
        # Then it is no balloon that doesn't follow, now and later
        self.world.run(60)
        self.assertTrue(self.tracked(guest).progress.cooperates)

    def test_what_it_took_is_not_counted_as_coming_back(self) -> None:
        guest = self.guest()
        before_kib = self.expected_free_kib()
        self.take(guest)
        self.assertEqual(before_kib - TOOK_KIB, self.expected_free_kib())

    def test_it_is_not_taken_from_it_at_once(self) -> None:
        guest = self.guest()
        self.take(guest)
        # When another guest could use it
        self.world.host.start(actual_kib=300 * MIB, wants_kib=GIB * 2 // 3)
        self.world.run(3)
        self.assertEqual(300 * MIB + TOOK_KIB, guest.target_kib)

    def test_in_observe_it_is_only_counted(self) -> None:
        self.world = Harness(mode="observe")
        guest = self.guest()
        self.take(guest)
        self.assertEqual(300 * MIB, guest.target_kib)
        self.assertEqual(300 * MIB + TOOK_KIB, self.tracked(guest).target_kib)

    def test_one_that_must_not_be_touched_is_only_counted(self) -> None:
        guest = self.guest()
        guest.busy = "paused"
        self.take(guest)
        self.assertEqual(300 * MIB, guest.target_kib)
        self.assertEqual(300 * MIB + TOOK_KIB, self.tracked(guest).target_kib)

    def test_one_that_yields_it_again_is_not_waited_for(self) -> None:
        for mode, busy in (("observe", ""), ("balance", "migrating")):
            with self.subTest(mode=mode, busy=busy):
                self.world = Harness(mode=mode)
                guest = self.guest()
                guest.busy = busy
                before_kib = self.expected_free_kib()
                self.take(guest)
                # When its balloon goes back to where it was asked to be, as
                # it does after a reboot
                self.world.run(60)
                self.assertEqual(300 * MIB, guest.actual_kib)
                # Then it has its former target, and nothing is set aside
                tracked = self.tracked(guest)
                self.assertEqual(300 * MIB, tracked.target_kib)
                self.assertTrue(tracked.progress.cooperates)
                self.assertEqual(before_kib, self.expected_free_kib())

    def test_a_call_that_hangs_is_waited_for_all_the_same(self) -> None:
        # Given one that may keep what it took without being told so
        guest = self.guest()
        guest.busy = "migrating"
        self.take(guest)
        guest.busy = ""
        # When it is to get more, and nobody knows whether it will
        guest.hangs_calls = True
        tracked, had_kib = self.tracked(guest), guest.actual_kib
        self.world.balancer._set(tracked, had_kib + TOOK_KIB, "a test")
        # Then that is nobody else's, in the next passes too
        guest.stuck = True
        self.world.agent.tick()
        self.assertEqual(had_kib + TOOK_KIB, tracked.target_kib)

    def test_who_can_not_deflate_took_nothing(self) -> None:
        guest = self.guest(deflates=False)
        self.take(guest)
        self.assertEqual(300 * MIB, self.tracked(guest).target_kib)

    def test_a_guest_that_boots_took_nothing(self) -> None:
        # Given its driver has just begun to yield what was not granted
        guest = self.guest(known_s=5)
        self.take(guest)
        self.assertEqual(300 * MIB, self.tracked(guest).target_kib)

    def test_a_balloon_on_its_way_took_nothing(self) -> None:
        # Given a guest that still grows when it is asked for less
        guest = self.guest()
        self.world.balancer._set(self.tracked(guest), 310 * MIB, "a test")
        self.world.agent.tick()
        self.take(guest)
        self.assertEqual(310 * MIB, self.tracked(guest).target_kib)
