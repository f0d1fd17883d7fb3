# SPDX-License-Identifier: Apache-2.0
"""The rules that always hold, each shown on the production balancer.

Every test here fails when the protection it names is taken out.
"""

import unittest
from unittest import mock

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import balancer
from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.agent.xenstore import XenstoreError
from nova_xen_overcommit.policy.sample import MemorySample
from tests.simulator import GIB, MIB, SimulatedHost
from tests.unit.agent.harness import Harness


def full_host(count: int = 12, **changes) -> Harness:
    """Give a 4 GiB host on which ``count`` idle 1 GiB guests run."""
    harness = Harness(**changes)
    for _ in range(count):
        harness.boot()
    harness.run(30)
    return harness


class MainJobTest(unittest.TestCase):
    def test_sixteen_guests_of_1_gib_run_on_4_gib(self) -> None:
        harness = full_host(16)
        self.assertEqual(16, len(harness.host.guests))
        self.assertEqual([], harness.broken_rules())

    def test_a_sudden_need_is_met_in_seconds(self) -> None:
        harness = full_host(12)
        needy = next(iter(harness.host.guests.values()))
        needy.wants_kib = 600 * MIB
        harness.run(12)
        self.assertEqual(needy.wants_kib, needy.in_ram_kib)

    def test_when_all_want_everything_they_swap_and_none_is_killed(self):
        harness = full_host(12)
        for guest in harness.host.guests.values():
            guest.wants_kib = 1000 * MIB
        for _ in range(60):
            harness.run(1)
            self.assertEqual([], harness.broken_rules())

    def test_the_reserve_is_refilled_after_a_need(self) -> None:
        harness = full_host(10)
        next(iter(harness.host.guests.values())).wants_kib = 500 * MIB
        harness.run(60)
        self.assertGreaterEqual(harness.host.free_kib, 120 * MIB)

    def test_a_steady_host_sees_no_move(self) -> None:
        harness = full_host(12)
        harness.run(120)
        calls = len(harness.host.calls)
        harness.run(600)
        self.assertEqual(calls, len(harness.host.calls))


class MeasuredMemoryTest(unittest.TestCase):
    def test_a_donor_that_does_not_yield_yields_nothing(self) -> None:
        harness = full_host(8)
        guests = list(harness.host.guests.values())
        for donor in guests[1:]:
            donor.stuck = True
        guests[0].wants_kib = 1000 * MIB
        for _ in range(60):
            harness.run(0.5)
            promised = sum(max(0, g.target_kib - g.actual_kib) for g in guests)
            self.assertLessEqual(promised, harness.host.free_kib)

    def test_the_slack_is_never_given_away(self) -> None:
        harness = full_host(8)
        for guest in harness.host.guests.values():
            guest.wants_kib = 1000 * MIB
        harness.run(60)
        self.assertGreaterEqual(harness.host.free_kib, 16 * MIB)


class OwnMemoryTest(unittest.TestCase):
    def test_what_a_donor_has_not_yielded_it_keeps_when_in_need(self):
        # Given a full host, and a donor that has begun to yield
        harness = Harness(SimulatedHost(2 * GIB + 512 * MIB, speed_kib_s=MIB))
        donor, _other = harness.host.start(), harness.host.start()
        harness.run(3)
        harness.ask(flavor_kib=600 * MIB, overcommit=False)
        harness.run(1)
        self.assertLess(donor.target_kib, 900 * MIB)
        # When it needs all it has, though nothing is free
        donor.wants_kib = 900 * MIB
        harness.run(1.5)
        # Then it is asked for no less
        self.assertGreaterEqual(donor.target_kib, donor.actual_kib)


class HandsOffTest(unittest.TestCase):
    def assert_untouched(self, harness: Harness, uuid: str) -> None:
        before = len(harness.host.calls)
        needy = list(harness.host.guests.values())[-1]
        needy.wants_kib = 900 * MIB
        harness.run(40)
        touched = {who for who, _ in harness.host.calls[before:]}
        self.assertIn(needy.uuid, touched)
        self.assertNotIn(uuid, touched)

    def setUp(self) -> None:
        self.harness = full_host(6)
        self.guest = next(iter(self.harness.host.guests.values()))

    def test_a_silent_guest_is_not_touched(self) -> None:
        self.guest.silent = True
        self.harness.run(20)
        self.assert_untouched(self.harness, self.guest.uuid)

    def make_small(self, tracked: TrackedGuest) -> None:
        self.harness.host.set_target(tracked.domain, 300 * MIB)
        tracked.target_kib = 300 * MIB

    def test_a_guest_that_fell_silent_in_need_gets_its_flavor(self) -> None:
        # Given a guest that was made small, and says once that it is starved
        self.harness.run(1)
        tracked = self.harness.balancer.guests[self.guest.uuid]
        self.make_small(tracked)
        self.harness.run(20)
        self.guest.wants_kib = 600 * MIB
        while not tracked.starved:
            self.harness.run(0.5)
        # When it is too slow to speak, and has little again
        self.guest.silent = True
        self.harness.run(20)
        self.make_small(tracked)
        self.harness.run(30)
        # Then it gets all it may have
        self.assertEqual(GIB, self.guest.target_kib)

    def test_a_silent_guest_counts_in_full(self) -> None:
        self.harness.run(30)
        before = self.harness.agent.report()["peak_mib"]
        self.guest.silent = True
        self.harness.run(20)
        after = self.harness.agent.report()["peak_mib"]
        self.assertGreaterEqual(after - before, 700)

    def test_a_paused_guest_is_not_touched(self) -> None:
        self.guest.busy = "paused"
        self.assert_untouched(self.harness, self.guest.uuid)

    def test_an_exempt_guest_is_not_touched(self) -> None:
        self.guest.exempt = "huge pages"
        self.assert_untouched(self.harness, self.guest.uuid)

    def test_a_held_guest_is_not_touched(self) -> None:
        with self.harness.agent.hold(self.guest.uuid, "snapshot"):
            self.assert_untouched(self.harness, self.guest.uuid)
            held = self.harness.agent.status()["held"]
            self.assertEqual({self.guest.uuid: "snapshot"}, held)

    def test_the_status_names_a_start_for_as_long_as_it_lasts(self) -> None:
        reservation = self.harness.ask(uuid="new")
        (start,) = self.harness.agent.status()["starts"]
        self.assertEqual("new", start["uuid"])
        self.harness.leases.remove(reservation)
        self.assertEqual([], self.harness.agent.status()["starts"])

    def test_a_hold_ends_with_its_context(self) -> None:
        with self.harness.agent.hold(self.guest.uuid, "snapshot"):
            pass
        self.assertEqual({}, self.harness.leases.held())
        self.assertEqual({}, self.harness.agent.status()["held"])

    def test_observe_moves_nothing(self) -> None:
        self.harness.conf.set_override("mode", "observe", "xen_overcommit")
        before = len(self.harness.host.calls)
        self.guest.wants_kib = 900 * MIB
        self.harness.run(30)
        self.assertEqual(before, len(self.harness.host.calls))

    def test_a_guest_that_never_speaks_gets_its_flavor_in_the_end(self):
        harness = Harness()
        silent = harness.host.start(actual_kib=256 * MIB)
        silent.silent = True
        harness.run(170)
        self.assertEqual(256 * MIB, silent.target_kib)
        harness.run(30)
        self.assertEqual(GIB, silent.target_kib)


class StaleFiguresTest(unittest.TestCase):
    def test_no_second_step_down_before_the_first_was_felt(self) -> None:
        # Given idle guests that speak each 10 s
        host = SimulatedHost(physical_kib=2 * GIB + 192 * MIB, kept_kib=0)
        harness = Harness(host, sample_max_age_s=30)
        guests = [host.start() for _ in range(2)]
        for guest in guests:
            guest.speaks_every_s = 10.0
        harness.run(12)
        # When a start wants more than one step of each
        asked = harness.ask(flavor_kib=GIB, overcommit=False)
        # Then none is asked for a second one before it spoke again
        spoken = {guest.uuid: guest.said for guest in guests}
        for _ in range(16):
            harness.run(0.5)
            for guest in guests:
                if guest.said is spoken[guest.uuid]:
                    self.assertGreaterEqual(guest.target_kib, 768 * MIB)
        harness.run(30)
        self.assertTrue(asked.granted_kib)


class UncooperativeTest(unittest.TestCase):
    def setUp(self) -> None:
        self.harness = full_host(4)
        self.guest = next(iter(self.harness.host.guests.values()))
        self.guest.stuck = True

    def squeeze(self) -> None:
        start = self.harness.ask()
        self.harness.run(25)
        self.harness.leases.remove(start)

    def test_it_is_named_and_counted(self) -> None:
        self.squeeze()
        self.assertEqual(1, self.harness.agent.report()["uncooperative"])
        # And is named, though a pass under way may look at guests anew
        self.harness.balancer.guests.clear()
        named = self.harness.agent.report()["uncooperative_guests"]
        self.assertEqual(
            [self.guest.uuid], [one["uuid"] for one in named], named
        )

    def test_it_keeps_what_it_has(self) -> None:
        self.squeeze()
        self.assertEqual(self.guest.actual_kib, self.guest.target_kib)

    def test_nothing_is_taken_for_what_it_is_not_to_have(self) -> None:
        # Given one that was given up on a host with no memory to spare
        harness = full_host(12)
        guests = list(harness.host.guests.values())
        guests[0].stuck = True
        guests[0].target_kib -= 100 * MIB
        harness.run(30)
        before = [guest.target_kib for guest in guests]
        # When an operator asks it for all of its flavor
        guests[0].target_kib = guests[0].flavor_kib
        harness.agent.tick()
        # Then it keeps what it has, and so do all others
        self.assertEqual(before, [guest.target_kib for guest in guests])

    def test_one_that_is_never_ballooned_keeps_its_target(self) -> None:
        # Given one whose memory doesn't arrive
        self.guest.actual_kib -= 300 * MIB
        self.guest.target_kib = self.guest.flavor_kib
        self.guest.exempt = "passthrough"
        self.harness.restart()
        self.harness.run(30)
        self.assertEqual(self.guest.flavor_kib, self.guest.target_kib)

    def test_it_is_never_asked_for_more_than_its_flavor(self) -> None:
        # Given one that rests above its flavor
        self.guest.actual_kib = self.guest.flavor_kib + 600
        self.squeeze()
        self.assertEqual(self.guest.flavor_kib, self.guest.target_kib)

    def test_it_is_never_counted_as_idle(self) -> None:
        self.squeeze()
        guests = self.harness.balancer.guests
        self.assertEqual(0, guests[self.guest.uuid].could_yield_kib)

    def test_a_failing_call_ends_nothing(self) -> None:
        self.guest.stuck = False
        self.guest.fails_calls = True
        self.harness.boot()
        self.harness.boot()
        self.assertEqual(6, len(self.harness.host.guests))
        self.assertGreater(self.harness.balancer.errors, 0)

    def test_a_constant_offset_is_no_disobedience(self) -> None:
        self.guest.stuck = False
        self.guest.offset_kib = -1 * MIB
        self.harness.boot()
        self.harness.run(60)
        self.assertEqual(0, self.harness.agent.report()["uncooperative"])

    def test_what_an_offset_leaves_free_is_granted_to_nobody(self) -> None:
        # Given a guest that rests 6 MiB below its target, as was learnt
        self.guest.stuck = False
        self.guest.offset_kib = -6 * MIB
        self.harness.boot()
        self.harness.run(60)
        tracked = self.harness.balancer.guests[self.guest.uuid]
        self.assertEqual(-6 * MIB, tracked.progress.offset_kib)
        # Then it may go on to its target, but for what no HVM guest takes
        settings = self.harness.settings
        seen = self.harness.balancer.run_pass(settings).host
        free_kib = self.harness.host.free_kib - settings.slack_kib
        self.assertEqual(free_kib - 5 * MIB, seen.spendable_kib)


def lie(**figures) -> MemorySample:
    said = {
        "time_s": 0.0,
        "max_age_s": 15.0,
        "mem_total_kib": GIB,
        "mem_available_kib": GIB // 2,
    }
    return MemorySample(**{**said, **figures})


class UntrustedTest(unittest.TestCase):
    def setUp(self) -> None:
        self.harness = full_host(10)
        self.liar, *self.others = self.harness.host.guests.values()

    def test_false_need_takes_nothing_others_need(self) -> None:
        self.liar.lie = lie(mem_available_kib=0)
        for _ in range(60):
            self.harness.run(1)
            for other in self.others:
                self.assertEqual(other.wants_kib, other.in_ram_kib)
        self.assertLessEqual(self.liar.target_kib, self.liar.flavor_kib)

    def test_false_idleness_costs_only_the_liar(self) -> None:
        self.liar.wants_kib = 300 * MIB
        self.liar.lie = lie(mem_available_kib=GIB)
        self.others[0].wants_kib = 600 * MIB
        self.harness.run(60)
        self.assertGreaterEqual(
            self.liar.target_kib, self.harness.floor_kib(self.liar)
        )
        for other in self.others:
            self.assertEqual(other.wants_kib, other.in_ram_kib)


class StartTest(unittest.TestCase):
    def test_a_start_waits_until_room_is_measured(self) -> None:
        harness = full_host(4)
        start = harness.ask()
        harness.agent.tick()
        self.assertIsNone(start.granted_kib)
        harness.run(10)
        self.assertGreaterEqual(start.granted_kib or 0, 256 * MIB)
        self.assertGreaterEqual(harness.host.free_kib, start.claim_kib)

    def test_a_granted_start_is_not_given_to_others(self) -> None:
        harness = full_host(8)
        start = harness.ask()
        harness.run(10)
        self.assertIsNotNone(start.granted_kib)
        for guest in harness.host.guests.values():
            guest.wants_kib = 1000 * MIB
        harness.run(40)
        self.assertGreaterEqual(harness.host.free_kib, start.claim_kib)

    def test_what_a_start_has_taken_is_not_set_aside_again(self) -> None:
        harness = full_host(8)
        start = harness.ask(overcommit=False)
        harness.run(30)
        self.assertEqual(GIB, start.granted_kib)
        harness.host.building_kib = start.claim_kib
        targets = [g.target_kib for g in harness.host.guests.values()]
        harness.run(30)
        self.assertEqual(
            targets, [g.target_kib for g in harness.host.guests.values()]
        )

    def test_what_an_incoming_guest_will_take_is_not_set_aside_again(self):
        # Given a migration that is listed, paused, before its memory is there
        host = SimulatedHost(
            1800 * MIB, kept_kib=0, guest_overhead_kib=40 * MIB
        )
        harness = Harness(host)
        needy = harness.host.start(actual_kib=200 * MIB)
        harness.run(3)
        start = harness.ask(restore_kib=800 * MIB)
        harness.run(1)
        incoming = harness.host.start(
            actual_kib=100 * MIB, uuid=start.request.uuid
        )
        incoming.busy, incoming.target_kib = "migrating", 800 * MIB
        # When another guest needs much at once
        needy.wants_kib = 850 * MIB
        needy.settle()
        harness.agent.tick()
        # Then it gets all that neither of both has or will have
        left_kib = 1800 * MIB - (800 + 40 + 40) * MIB
        slack_kib = harness.settings.slack_kib
        self.assertEqual(left_kib - slack_kib, needy.target_kib)

    def test_an_ended_reservation_frees_its_memory(self) -> None:
        harness = full_host(8)
        start = harness.ask()
        harness.run(10)
        harness.leases.remove(start)
        for guest in harness.host.guests.values():
            guest.wants_kib = 1000 * MIB
        harness.run(40)
        self.assertLess(harness.host.free_kib, 64 * MIB)

    def test_no_room_names_numbers_and_who_does_not_yield(self) -> None:
        harness = full_host(6)
        for guest in harness.host.guests.values():
            guest.wants_kib = 1000 * MIB
        harness.run(40)
        start = harness.ask()
        harness.run(70)
        assert isinstance(start.failure, exception.NoRoom)
        self.assertEqual(256 * MIB, start.failure.asked_kib)
        self.assertIn("asked for 256 MiB", str(start.failure))

    def test_floors_must_fit_at_every_admission(self) -> None:
        harness = Harness(
            host=SimulatedHost(physical_kib=2 * GIB, kept_kib=0),
            floor_share=0.25,
            start_share=0.25,
        )
        for _ in range(7):
            harness.boot()
        with self.assertRaisesRegex(exception.NoRoom, "floors"):
            harness.boot()

    def test_guest_swap_bounds_the_sum_of_flavors(self) -> None:
        harness = Harness()
        for _ in range(3):
            harness.boot(swap_kib=0)
        with self.assertRaisesRegex(exception.NoRoom, "swap"):
            harness.boot(swap_kib=0)

    def test_without_the_rule_swap_does_not_count(self) -> None:
        harness = Harness(require_guest_swap=False)
        for _ in range(4):
            harness.boot(swap_kib=0)
        self.assertEqual(4, len(harness.host.guests))

    def test_a_guest_that_is_never_ballooned_gets_its_flavor(self) -> None:
        harness = full_host(3)
        start = harness.ask(overcommit=False)
        harness.run(30)
        self.assertEqual(GIB, start.granted_kib)

    def test_a_memory_image_gets_exactly_its_size(self) -> None:
        start = (harness := full_host(1)).ask(restore_kib=300 * MIB)
        harness.run(1)
        self.assertEqual(300 * MIB, start.granted_kib)

    def test_observe_never_refuses(self) -> None:
        harness = Harness(mode="observe")
        starts = [harness.ask() for _ in range(6)]
        harness.run(1)
        self.assertEqual([GIB] * 6, [start.granted_kib for start in starts])


class RebootTest(unittest.TestCase):
    """A guest that reboots by itself asks nobody for its memory."""

    def setUp(self) -> None:
        # Given a full host on which one guest is gone, and others want more
        self.harness = full_host(12)
        self.guest, *self.others = self.harness.host.guests.values()
        self.harness.host.end(self.guest)
        for other in self.others:
            other.wants_kib = 500 * MIB

    def test_its_memory_is_kept_and_it_comes_back(self) -> None:
        self.harness.run(30)
        self.assertGreaterEqual(self.harness.host.free_kib, 256 * MIB)
        again = self.harness.host.come_back(self.guest)
        self.assertEqual(256 * MIB, again.actual_kib)
        self.harness.run(30)
        self.assertEqual([], self.harness.leases.reservations())
        self.assertEqual([], self.harness.broken_rules())

    def test_a_start_is_not_given_its_memory(self) -> None:
        start = self.harness.ask()
        self.harness.run(30)
        needed_kib = 256 * MIB + start.claim_kib
        self.assertGreaterEqual(self.harness.host.free_kib, needed_kib)

    def test_it_counts_in_the_report_meanwhile(self) -> None:
        self.harness.run(1)
        made = self.harness.agent.report()
        self.assertEqual(12 * 1024, made["committed_mib"])

    def test_what_it_has_taken_is_not_kept_again(self) -> None:
        self.harness.run(30)
        before = self.harness.agent.report()["usable_mib"]
        self.harness.host.building_kib = 256 * MIB
        targets = [guest.target_kib for guest in self.others]
        self.harness.run(5)
        self.assertEqual(targets, [guest.target_kib for guest in self.others])
        self.assertEqual(before, self.harness.agent.report()["usable_mib"])

    def test_one_that_was_shut_down_frees_its_memory(self) -> None:
        self.harness.run(90)
        self.assertEqual([], self.harness.leases.reservations())
        self.assertLess(self.harness.host.free_kib, 64 * MIB)

    def test_a_start_that_nova_asks_for_takes_its_place(self) -> None:
        self.harness.run(1)
        start = self.harness.ask(uuid=self.guest.uuid)
        self.harness.run(10)
        self.assertEqual([start], self.harness.leases.reservations())

    def test_observe_keeps_nothing(self) -> None:
        harness = Harness(mode="observe")
        guest = harness.host.start()
        harness.run(5)
        harness.host.end(guest)
        harness.run(1)
        self.assertEqual([], harness.leases.reservations())
        self.assertEqual(0, guest.restart_kib)

    def test_a_guest_whose_definition_stays_is_kept_its_flavor(self) -> None:
        harness = Harness()
        guest = harness.host.start()
        guest.fails_calls = True
        harness.run(1)
        harness.host.end(guest)
        harness.run(1)
        (kept,) = harness.leases.reservations()
        self.assertEqual(GIB, kept.granted_kib)


class LoopTest(unittest.TestCase):
    def test_no_exception_ends_the_loop(self) -> None:
        harness = full_host(3)
        harness.host.unreachable = True
        harness.run(5)
        self.assertIn("libvirtd is gone", harness.agent.status()["complaint"])
        harness.host.unreachable = False
        harness.run(1)
        self.assertEqual("", harness.agent.status()["complaint"])

    def test_while_the_hypervisor_is_gone_the_report_grows_old(self) -> None:
        harness = full_host(3)
        before = harness.agent.report()["time_s"]
        harness.host.unreachable = True
        harness.run(5)
        self.assertEqual(before, harness.agent.report()["time_s"])

    def test_a_broken_sensor_leaves_the_others(self) -> None:
        harness = full_host(3)

        class Broken:
            def read(self, guests):
                raise ZeroDivisionError

            def close(self) -> None:
                pass

        harness.balancer._sensors = [Broken(), harness.host]
        harness.run(20)
        guests = harness.balancer.guests.values()
        self.assertTrue(all(guest.speaks for guest in guests))

    def test_a_sensor_that_fails_for_long_is_told_of_once(self) -> None:
        harness = full_host(3)
        gone = mock.Mock(read=mock.Mock(side_effect=XenstoreError("slow")))
        harness.balancer._sensors = [gone, harness.host]
        with self.assertLogs(balancer.LOG, "WARNING") as logs:
            harness.run(20)
        self.assertEqual(1, len(logs.records))
        self.assertIsNone(logs.records[0].exc_info)

    def test_a_new_agent_goes_on_where_the_old_one_died(self) -> None:
        harness = full_host(12)
        needy = next(iter(harness.host.guests.values()))
        needy.wants_kib = 600 * MIB
        harness.run(1)
        harness.restart()
        for _ in range(30):
            harness.run(1)
            self.assertEqual([], harness.broken_rules())
        self.assertEqual(needy.wants_kib, needy.in_ram_kib)

    def test_a_new_agent_promises_nothing_on_guests_it_does_not_know(self):
        harness = full_host(12)
        harness.restart()
        harness.run(1)
        made = harness.agent.report()
        self.assertEqual(made["committed_mib"], made["promise_mib"])
