# SPDX-License-Identifier: Apache-2.0
"""What breaks when a protection of the host is missing: one test for each.

Rules 7 to 11; the others are in test_protections.
"""

import dataclasses
from unittest import mock

from nova_xen_overcommit.agent import starts
from nova_xen_overcommit.agent.balancer import Balancer
from nova_xen_overcommit.agent.core import Agent
from nova_xen_overcommit.agent.reservations import Leases
from nova_xen_overcommit.agent.sensors import guest_line
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.agent.starts import StartDesk
from nova_xen_overcommit.agent.unlisted import Unlisted
from nova_xen_overcommit.guest_metadata import GuestMetadata
from nova_xen_overcommit.policy import floor, promise
from nova_xen_overcommit.policy.sample import MemorySample
from nova_xen_overcommit.virt import capacity
from tests.simulator import GIB, MIB, SimulatedHost
from tests.simulator.world import World
from tests.unit.simulator.worlds import (
    ProtectionTest,
    blind_to_swap,
    changed,
    guests_of,
    planned,
    together,
    wait,
    world_of,
)


class Rule7Test(ProtectionTest):
    def test_rule_7_what_a_start_was_granted_is_not_given_away(self) -> None:
        def play() -> World:
            world = world_of(300, 300, free_mib=700)
            wait(world)
            world.run(2)
            for guest in guests_of(world):
                guest.wants_kib = 1000 * MIB
            world.run(20)
            return world

        off = mock.patch.object(starts, "outstanding_kib", return_value=0)
        self.assert_needed("rule_7_granted_memory_is_there", play, off)

    def test_rule_7_nothing_leaks_when_a_client_dies(self) -> None:
        def play() -> World:
            world = world_of(300, free_mib=1250)
            client = wait(world)
            world.run(2)
            assert client.reservation.granted_kib
            # When nova-compute dies, and asks again once it is back
            world.clients.append(client)
            world.client_dies(client)
            wait(world)
            world.run(5)
            return world

        off = mock.patch.object(Leases, "remove")
        check = "rule_7_nothing_is_held_for_the_dead"
        self.assert_needed(check, play, off)

    def test_rule_7_what_arrives_is_not_set_aside_twice(self) -> None:
        def play() -> World:
            world = world_of(200, free_mib=1300)
            world.run(110)
            world.ask(GIB, incoming=True, restore_kib=700 * MIB)
            world.run(1)
            guests_of(world)[0].wants_kib = 600 * MIB
            world.run(5)
            return world

        def twice(reservation, guests) -> int:
            guest = guests.get(reservation.request.uuid)
            actual_kib = guest.domain.actual_kib if guest else 0
            return max(0, reservation.claim_kib - actual_kib)

        off = mock.patch.object(starts, "outstanding_kib", twice)
        self.assert_needed("rule_3_need_is_met_in_the_same_pass", play, off)

    def test_rule_7_no_build_of_the_dead_passes_for_anothers(self) -> None:
        def play() -> World:
            # Given a start whose client dies while its domain is in build
            world = world_of(300, free_mib=1900)
            client = world.ask(GIB, build_s=20.0)
            world.run(1)
            world.client_dies(client)
            # When another is granted, and a guest is in need
            wait(world)
            guests_of(world)[0].wants_kib = 1000 * MIB
            # Then the other's memory is there once the first one is listed
            world.run(30)
            return world

        off = mock.patch.object(Unlisted, "_find_orphans")
        self.assert_needed("rule_7_granted_memory_is_there", play, off)

    def test_rule_7_a_start_that_failed_is_due_nothing(self) -> None:
        # Given an incoming migration, and a guest in need of what it waits for
        world = world_of(200, free_mib=1300)
        world.run(110)
        client = world.ask(GIB, incoming=True, restore_kib=1000 * MIB)
        world.run(2)
        arriving = client.guest
        assert arriving is not None and arriving.busy
        guests_of(world)[0].wants_kib = 800 * MIB
        world.run(3)
        self.assertLess(guests_of(world)[0].target_kib, 700 * MIB)
        # When it fails while the host is measured, its guest listed already
        world.wire.after_steps(1, lambda: world.vanish(arriving))
        world.step()
        # Then its memory may go to the other
        self.assertEqual([], world.broken)
        self.assertGreater(guests_of(world)[0].target_kib, 700 * MIB)

    def test_rule_7_a_reboot_is_kept_what_it_may_come_back_with(self) -> None:
        # Given a guest of which couldn't be set with how much it comes back
        world = world_of(300, free_mib=1100)
        guest = guests_of(world)[0]
        world.kill_agent()
        guest.fails_calls = True
        world.run(2)
        # When it is back with less than its flavor, and in build
        world.vanish(guest, back_after_s=1.0)
        while guest.uuid not in world.host.guests:
            world.step()
        guests_of(world)[0].busy = "in build"
        client = world.ask(2 * GIB)
        world.run(3)
        # Then what it may come to have is kept until it runs
        self.assertFalse(client.reservation.answered.is_set())
        self.assertEqual([], world.broken)
        guests_of(world)[0].busy = ""
        world.run(1)
        self.assertTrue(client.reservation.answered.is_set())

    def test_rule_7_an_offset_that_may_be_learnt_frees_nothing(self) -> None:
        # Given a guest that grows by 20 MiB, and has rested near a target
        world = world_of(300, free_mib=600)
        ledger, guest = world.ledger, guests_of(world)[0]
        ledger.record(guest).asked_kib = guest.actual_kib + 20 * MIB
        known_kib = ledger.spendable_kib()
        self.assertEqual(known_kib, ledger.spendable_kib(surely=True))
        ledger.record(guest).near_s = 2.0
        # Then what is surely free is less, and what may be free hardly more
        self.assertEqual(known_kib + MIB, ledger.spendable_kib())
        surely_kib = ledger.spendable_kib(surely=True)
        self.assertEqual(known_kib - 8 * MIB, surely_kib)


class Rule8Test(ProtectionTest):
    def test_rule_8_no_words_bring_more_than_the_flavor(self) -> None:
        def play() -> World:
            world = world_of(900, free_mib=3000)
            liar = guests_of(world)[0]
            liar.lie = MemorySample(0.0, 15.0, GIB, 0, GIB, 0)
            world.run(10)
            return world

        check = "rule_8_nobody_gets_more_than_its_flavor"
        self.assert_needed(check, play, planned(flavor_kib=4 * GIB))

    @staticmethod
    def all_want_much(lie: MemorySample | None) -> World:
        """Let four guests want 700 MiB each, of 2 GiB."""
        world = world_of(480, 480, 480, 480, free_mib=128)
        liar, *_honest = guests_of(world)
        liar.lie = lie
        # It has all of its flavor before the others want anything
        world.run(120)
        for guest in guests_of(world):
            guest.wants_kib = 700 * MIB
        world.run(120)
        return world

    def test_rule_8_who_claims_all_costs_the_honest_little(self) -> None:
        def least_mib(lie: MemorySample | None) -> int:
            world = self.all_want_much(lie)
            self.assertEqual([], world.broken)
            _liar, *honest = guests_of(world)
            return min(guest.actual_kib for guest in honest) // MIB

        # Given what each has where all four are honest
        fair_mib = least_mib(None)
        # When one says that nothing is available, and has its whole flavor
        lie = MemorySample(0.0, 15.0, GIB - 64 * MIB, 0, GIB, GIB)
        # Then that costs each of the others a tenth at most
        self.assertGreaterEqual(least_mib(lie), fair_mib * 0.9)
        # Where nothing is ever taken from the starved it costs a third
        with planned(yields_if_short=False):
            self.assertLess(least_mib(lie), fair_mib * 0.7)

    def test_rule_8_what_it_claims_does_not_keep_memory_moving(self) -> None:
        lie = MemorySample(0.0, 15.0, GIB - 64 * MIB, 0, GIB, GIB)
        world = self.all_want_much(lie)
        moves = len(world.host.calls)
        world.run(480)
        self.assertEqual(moves, len(world.host.calls))

    def test_rule_8_to_use_all_by_its_own_words_gains_nothing(self) -> None:
        # Given one that says it uses all it has, and isn't starved
        lie = MemorySample(0.0, 15.0, GIB - 64 * MIB, 40 * MIB, GIB, GIB)
        world = self.all_want_much(lie)
        liar, *honest = guests_of(world)
        # Then it has no more than who has least of the others, or hardly
        least_kib = min(guest.actual_kib for guest in honest)
        self.assertLess(liar.actual_kib, least_kib + 32 * MIB)
        self.assertEqual([], world.broken)

    def test_rule_8_no_words_fail_a_pass(self) -> None:
        def play() -> World:
            world = world_of(300, 300, free_mib=300)
            guests_of(world)[0].garbage = b"\xff\xfe"
            world.run(3)
            return world

        def fail(_self, _name, error) -> None:
            raise error

        # Given a parser that chokes on a guest's words
        off = mock.patch.object(Balancer, "_sensor_failed", fail)
        with mock.patch.object(guest_line, "_pairs", _divide_by_zero):
            self.assert_needed("rule_8_no_words_fail_a_pass", play, off)


def _divide_by_zero(_raw: bytes) -> dict[str, int]:
    raise ZeroDivisionError


class Rule9Test(ProtectionTest):
    @staticmethod
    def asking(overhead_mib: int = 0, swap_mib: int = 0) -> World:
        """Let more guests ask than 2 GiB and their swap hold."""
        host = SimulatedHost(2 * GIB, 0, guest_overhead_kib=overhead_mib * MIB)
        world = World(host, reserve_mib=32)
        for _ in range(6):
            world.ask(GIB, metadata=GuestMetadata(swap_kib=swap_mib * MIB))
            world.run(15)
        return world

    def test_rule_9_flavors_fit_memory_and_guest_swap(self) -> None:
        # Given floors that know nothing of swap: they would see to it, too
        fits = mock.patch.object(StartDesk, "_swap_fits", return_value=True)
        off = together(fits, blind_to_swap())
        check = "rule_9_flavors_fit_memory_and_swap"
        self.assert_needed(check, self.asking, off)

    def test_rule_9_what_guests_cost_backs_no_flavor(self) -> None:
        def play() -> World:
            return self.asking(overhead_mib=40, swap_mib=624)

        free = mock.patch.object(StartDesk, "_overheads_kib", return_value=0)
        off = together(free, blind_to_swap())
        self.assert_needed("rule_9_flavors_fit_memory_and_swap", play, off)

    def all_at_once(self, *swaps_mib: int) -> World:
        """Let guests come, be idle, and want all they may at once."""
        world = World(SimulatedHost(2 * GIB + 128 * MIB, 0))
        for swap_mib in swaps_mib:
            world.ask(GIB, metadata=GuestMetadata(swap_kib=swap_mib * MIB))
            world.run(15)
        world.run(60)
        for guest in guests_of(world):
            guest.wants_kib = 900 * MIB
        world.run(60)
        return world

    def test_rule_9_what_a_guest_cant_swap_is_never_taken(self) -> None:
        def play() -> World:
            world = self.all_at_once(512, 512, 512, 512)
            self.assertEqual(4, len(guests_of(world)))
            return world

        self.assert_needed("rule_9_none_is_killed", play, blind_to_swap())

    def test_rule_9_nobody_lives_on_the_swap_of_another(self) -> None:
        def play() -> World:
            return self.all_at_once(4096, 0, 0, 0)

        # Given a desk that takes all swap for everyone's
        uncapped = mock.patch.object(
            floor, "counted_swap_kib", lambda _flavor_kib, swap_kib: swap_kib
        )
        off = together(uncapped, blind_to_swap())
        self.assert_needed("rule_9_none_is_killed", play, off)


class Rule10Test(ProtectionTest):
    @staticmethod
    def libvirtd_restarts() -> World:
        world = world_of(300, free_mib=300)
        world.host.unreachable = True
        world.run(3)
        world.host.unreachable = False
        world.run(3)
        return world

    def test_rule_10_no_exception_ends_the_loop(self) -> None:
        def fail(_self, error) -> None:
            raise error

        off = mock.patch.object(Agent, "_failed", fail)
        check = "rule_10_no_exception_ends_the_loop"
        self.assert_needed(check, self.libvirtd_restarts, off)

    def test_rule_10_every_pass_leaves_a_heartbeat(self) -> None:
        off = mock.patch.object(Agent, "_heartbeat")
        check = "rule_10_every_pass_leaves_a_heartbeat"
        self.assert_needed(check, self.libvirtd_restarts, off)

    def test_rule_10_what_it_reports_is_believed(self) -> None:
        def play() -> World:
            world = world_of(300, 300, free_mib=900, max_overcommit_ratio=1.0)
            world.run(30)
            return world

        bounds = promise._bounds

        def unbounded(account: promise.Account) -> dict[str, int]:
            return bounds(dataclasses.replace(account, max_ratio=9.0))

        off = mock.patch.object(promise, "_bounds", unbounded)
        check = "rule_10_what_it_reports_is_believed"
        self.assert_needed(check, play, off)


class Rule11Test(ProtectionTest):
    def test_rule_11_observe_moves_nothing(self) -> None:
        def play() -> World:
            world = world_of(300, free_mib=900, mode="observe")
            guests_of(world)[0].wants_kib = 900 * MIB
            world.run(10)
            return world

        off = changed(Settings, "moves", lambda _moves: True)
        self.assert_needed("rule_11_observe_moves_nothing", play, off)

    def test_rule_11_only_overcommit_promises_more(self) -> None:
        def play() -> World:
            world = world_of(
                *[300] * 6, free_mib=600, mode="balance", warm_up_s=0
            )
            world.run(20)
            return world

        off = mock.patch.object(
            capacity, "effective_mode", return_value="overcommit"
        )
        check = "rule_11_only_overcommit_promises_more"
        self.assert_needed(check, play, off)
