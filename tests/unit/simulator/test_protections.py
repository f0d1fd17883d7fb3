# SPDX-License-Identifier: Apache-2.0
"""What breaks when a protection of a guest is missing: one test for each.

The first half of each shows that the same world is clean with it. Rules 1
to 6; the others are in test_protections_of_host.
"""

import dataclasses
from unittest import mock

from nova_xen_overcommit.agent import guests
from nova_xen_overcommit.agent.balancer import Balancer
from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.agent.hypervisor.base import Domain
from nova_xen_overcommit.agent.sensors import guest_line
from nova_xen_overcommit.agent.starts import StartDesk
from nova_xen_overcommit.guest_metadata import GuestMetadata
from nova_xen_overcommit.policy import probe, progress, shortage
from nova_xen_overcommit.policy.limits import Limit
from nova_xen_overcommit.policy.progress import Progress, Status
from nova_xen_overcommit.policy.sample import MemorySample
from tests.simulator import GIB, MIB, SimulatedGuest, SimulatedHost
from tests.simulator.workload import growth
from tests.simulator.world import World
from tests.unit.simulator.worlds import (
    ProtectionTest,
    changed,
    guests_of,
    planned,
    squeezed,
    wait,
    without,
    world_of,
)


class Rule1Test(ProtectionTest):
    def test_rule_1_no_guest_goes_below_its_floor(self) -> None:
        def play() -> World:
            world = world_of(1024, 1024)
            guests_of(world)[0].metadata = GuestMetadata(
                floor_kib=900 * MIB, swap_kib=GIB
            )
            return squeezed(world, 800)

        check = "rule_1_target_within_floor_and_flavor"
        self.assert_needed(check, play, planned(floor_kib=0))

    def test_rule_1_floors_are_feasible(self) -> None:
        def play() -> World:
            host = SimulatedHost(GIB, 256 * MIB)
            world = World(host, start_share=0.1)
            for _ in range(5):
                world.ask(GIB, wants_kib=30 * MIB)
                world.run(15)
            return world

        off = mock.patch.object(StartDesk, "_floors_fit", return_value=True)
        self.assert_needed("rule_1_floors_fit_at_admission", play, off)

    def test_rule_1_what_guests_cost_counts_with_the_floors(self) -> None:
        def play() -> World:
            # Given starts that ask in the same pass
            host = SimulatedHost(2 * GIB, 0, guest_overhead_kib=40 * MIB)
            world = World(host, start_share=0.1, reserve_mib=512)
            for _ in range(9):
                world.ask(GIB, wants_kib=30 * MIB)
            world.run(15)
            return world

        off = mock.patch.object(StartDesk, "_overheads_kib", return_value=0)
        self.assert_needed("rule_1_floors_fit_at_admission", play, off)


class Rule2Test(ProtectionTest):
    def test_rule_2_a_donor_that_does_not_yield_yields_nothing(self) -> None:
        def play() -> World:
            world = world_of(300, 800, 800, free_mib=140)
            needy, *donors = guests_of(world)
            for donor in donors:
                donor.stuck = True
            needy.wants_kib = 900 * MIB
            world.run(10)
            return world

        grow = Balancer._grow

        def hoping(self, plan, host, wanted_kib, settings) -> None:
            expected_kib = host.expected_free_kib
            host = dataclasses.replace(host, spendable_kib=expected_kib)
            grow(self, plan, host, wanted_kib, settings)

        off = mock.patch.object(Balancer, "_grow", hoping)
        self.assert_needed("rule_2_granted_out_of_measured_free", play, off)

    def test_rule_2_a_call_of_a_former_agent_counts(self) -> None:
        def play() -> World:
            world = world_of(300, 300, free_mib=400)
            first, second = guests_of(world)
            first.slow_calls_s, first.silent = 5.0, False
            first.wants_kib = 600 * MIB
            world.run(2)
            # Its call is under way still when the agent dies
            world.kill_agent()
            first.silent = True
            world.run(6)
            second.wants_kib = 600 * MIB
            world.run(10)
            return world

        off = mock.patch.object(TrackedGuest, "_heed")
        self.assert_needed("rule_2_granted_out_of_measured_free", play, off)


class Rule3Test(ProtectionTest):
    def test_rule_3_takes_by_the_largest_step(self) -> None:
        def play() -> World:
            return squeezed(world_of(1024, 1024, max_step_mib=64))

        check = "rule_3_takes_by_small_steps"
        self.assert_needed(check, play, planned(actual_kib=0))

    def test_rule_3_cools_down_after_a_gift(self) -> None:
        def play() -> World:
            world = world_of(
                300,
                700,
                free_mib=900,
                cool_down_s=60,
                demand_decay_s=1,
                demand_rise_s=0.1,
            )
            guest, other = guests_of(world)
            other.wants_kib = 500 * MIB
            guest.wants_kib = 600 * MIB
            world.run(10)
            # Less than it was given, but more than it had before
            guest.wants_kib = 400 * MIB
            world.run(10)
            return squeezed(world, 512)

        off = without(Limit.COOL_DOWN)
        self.assert_needed("rule_3_leaves_alone_whom_it_gave", play, off)

    def test_rule_3_a_step_is_felt_before_the_next(self) -> None:
        def play() -> World:
            world = world_of(1024, 1024, max_step_mib=64)
            for guest in guests_of(world):
                guest.speaks_every_s = 8.0
            return squeezed(world)

        off = planned(felt_kib=0)
        self.assert_needed("rule_3_waits_until_a_step_is_felt", play, off)

    def test_rule_3_nothing_is_taken_from_the_starved(self) -> None:
        def play() -> World:
            world = world_of(900, 200, 200)
            for guest in guests_of(world):
                guest.wants_kib = 1000 * MIB
            world.run(30)
            return world

        off = without(Limit.STARVED)
        self.assert_needed("rule_3_spares_the_starved", play, off)

    def test_rule_3_nor_is_what_they_do_not_use_while_there_is_enough(self):
        def play() -> World:
            # Given a guest that stalls for memory though it has some left
            world = world_of(900, 300)
            stalls = guests_of(world)[0]
            for second in range(20):
                if second == 12:
                    whole = GuestMetadata(swap_kib=GIB, overcommit=False)
                    wait(world, flavor_kib=700 * MIB, metadata=whole)
                stalls.lie = MemorySample(
                    0.0,
                    15.0,
                    836 * MIB,
                    700 * MIB,
                    GIB,
                    GIB,
                    psi_some_us=second * 500_000,
                )
                world.run(1)
            return world

        off = without(Limit.STARVED)
        self.assert_needed("rule_3_spares_the_starved", play, off)

    def test_rule_3_the_starved_keep_their_fair_share(self) -> None:
        def play() -> World:
            world = world_of(480, 480, 480, 480, free_mib=128)
            for guest in guests_of(world):
                guest.wants_kib = 700 * MIB
            world.run(30)
            return world

        off = mock.patch.object(shortage, "_MORE_THAN_FAIR", 0.0)
        self.assert_needed("rule_3_spares_the_starved", play, off)

    def test_rule_3_a_need_is_met_in_the_same_pass(self) -> None:
        def play() -> World:
            world = world_of(300, free_mib=900)
            world.run(120)
            guests_of(world)[0].wants_kib = 600 * MIB
            world.run(5)
            return world

        off = changed(Balancer, "_wishes", lambda _wishes: [])
        self.assert_needed("rule_3_need_is_met_in_the_same_pass", play, off)

    def test_rule_3_starved_twice_gets_its_flavor(self) -> None:
        def play() -> World:
            world = world_of(200, free_mib=1500)
            world.run(120)
            guests_of(world)[0].wants_kib = 700 * MIB
            world.run(10)
            return world

        off = changed(
            TrackedGuest,
            "planned",
            lambda guest: dataclasses.replace(
                guest, demand_kib=guest.used_kib * 11 // 10, hoped_kib=0
            ),
        )
        self.assert_needed("rule_3_starved_twice_gets_its_flavor", play, off)


class Rule4Test(ProtectionTest):
    def test_rule_4_old_figures_are_no_figures(self) -> None:
        def play() -> World:
            world = world_of(1024, 1024)
            for guest in guests_of(world):
                guest.silent = True
            world.run(20)
            return squeezed(world)

        off = mock.patch.object(MemorySample, "is_fresh", return_value=True)
        self.assert_needed("rule_4_no_data_not_touched", play, off)

    def test_rule_4_a_silent_guest_counts_in_full(self) -> None:
        def play() -> World:
            world = world_of(1024, 1024, 1024, warm_up_s=0)
            for guest in guests_of(world):
                guest.silent = True
            world.run(20)
            return world

        off = mock.patch.object(MemorySample, "is_fresh", return_value=True)
        self.assert_needed("rule_4_silent_counts_in_full", play, off)

    def test_rule_4_nothing_is_promised_for_who_is_not_novas(self) -> None:
        def play() -> World:
            world = world_of(300, free_mib=1500)
            world.appear(GIB, foreign=True)
            world.run(30)
            return world

        domain = SimulatedGuest.domain

        def taken_for_novas(guest: SimulatedGuest) -> Domain:
            return dataclasses.replace(domain(guest), foreign=False)

        off = mock.patch.object(SimulatedGuest, "domain", taken_for_novas)
        self.assert_needed("rule_4_silent_counts_in_full", play, off)

    def test_rule_4_implausible_figures_are_no_figures(self) -> None:
        def play() -> World:
            world = world_of(1024, 1024)
            for guest in guests_of(world):
                guest.lie = MemorySample(0.0, 15.0, 4 * GIB, 4 * GIB)
            world.run(20)
            return squeezed(world)

        off = mock.patch.object(
            guest_line, "_total_kib", lambda total_kib, _flavor_kib: total_kib
        )
        self.assert_needed("rule_4_no_data_not_touched", play, off)

    @staticmethod
    def probed(actual_mib: int) -> World:
        """Give a world in which a guest that never spoke is to yield."""
        physical_kib = (actual_mib + 512) * MIB
        world = World(SimulatedHost(physical_kib), probe_silent_guests=True)
        guest = world.appear(
            GIB, actual_kib=actual_mib * MIB, wants_kib=60 * MIB
        )
        guest.silent = True
        world.run(guests.BOOT_GRACE_S + 10)
        return squeezed(world)

    def test_rule_4_who_never_spoke_is_probed_by_small_steps(self) -> None:
        off = mock.patch.object(
            probe,
            "step_kib",
            lambda flavor_kib, _dead_band_kib: flavor_kib // 4,
        )
        check = "rule_4_probes_by_small_steps"
        self.assert_needed(check, lambda: self.probed(1024), off)

    def test_rule_4_who_never_spoke_is_watched_after_each_step(self) -> None:
        off = mock.patch.object(probe, "STEP_EVERY_S", 1.0)
        check = "rule_4_probes_by_small_steps"
        self.assert_needed(check, lambda: self.probed(1024), off)

    def test_rule_4_who_never_spoke_keeps_half_of_its_flavor(self) -> None:
        off = mock.patch.object(probe, "_FLOOR_DIVISOR", 8)
        check = "rule_4_probes_by_small_steps"
        self.assert_needed(check, lambda: self.probed(525), off)


class Rule5Test(ProtectionTest):
    @staticmethod
    def growing() -> World:
        world = world_of(300, free_mib=900)
        guest = guests_of(world)[0]
        guest.stuck = True
        course = growth(60.0, 60 * MIB, 900 * MIB)
        guest.course = course.beginning_at(world.host.clock.now_s)
        world.run(60)
        return world

    def test_rule_5_nothing_is_expected_of_the_stuck(self) -> None:
        def play() -> World:
            world = world_of(300, free_mib=900)
            guest = guests_of(world)[0]
            guest.stuck = True
            for wants_mib in (200, 215):
                guest.wants_kib = wants_mib * MIB
                world.run(12)
            return world

        off = changed(Progress, "cooperates", lambda _cooperates: True)
        check = "rule_5_stuck_is_left_where_it_is"
        self.assert_needed(check, play, off)

    def test_rule_5_being_asked_anew_earns_no_patience(self) -> None:
        def patient(before, target_kib, actual_kib, now_s, _set) -> Progress:
            return dataclasses.replace(
                before,
                target_kib=target_kib,
                actual_kib=actual_kib,
                best_kib=abs(actual_kib - target_kib),
                progress_s=now_s,
                status=Status.MOVING,
            )

        off = mock.patch.object(progress, "_retargeted", patient)
        check = "rule_5_stuck_is_left_where_it_is"
        self.assert_needed(check, self.growing, off)

    def test_rule_5_the_uncooperative_is_named(self) -> None:
        def lenient(before, actual_kib, _now_s, _settings) -> Progress:
            return dataclasses.replace(
                before, actual_kib=actual_kib, status=Status.STUCK
            )

        off = mock.patch.object(progress, "_given_up", lenient)
        self.assert_needed("rule_5_uncooperative_is_named", self.growing, off)

    def test_rule_5_who_is_found_stuck_is_named_too(self) -> None:
        def play() -> World:
            world = world_of(1024, 1024)
            guests_of(world)[0].stuck = True
            wait(world, flavor_kib=2 * GIB)
            world.run(3)
            # A new agent finds a guest that doesn't follow the old one's
            world.kill_agent()
            world.run(40)
            return world

        advance = progress.advance

        def trusting(before, target_kib, actual_kib, *more, **others):
            rests = before.status is Status.SETTLED
            if rests and actual_kib == before.actual_kib:
                return before
            return advance(before, target_kib, actual_kib, *more, **others)

        off = mock.patch.object(guests, "advance", trusting)
        self.assert_needed("rule_5_uncooperative_is_named", play, off)

    def test_rule_5_the_uncooperative_is_tried_again(self) -> None:
        def play() -> World:
            world = world_of(300, free_mib=900)
            guest = guests_of(world)[0]
            # Given a guest that is given up again and again, each time for
            # twice as long
            guest.stuck = True
            guest.wants_kib = 400 * MIB
            world.run(245)
            guest.stuck = False
            world.run(260)
            return world

        def for_good(before, actual_kib, now_s, limits) -> Progress:
            limits = dataclasses.replace(limits, retry_s=1e9, max_retry_s=1e9)
            return given_up(before, actual_kib, now_s, limits)

        given_up = progress._given_up
        off = mock.patch.object(progress, "_given_up", for_good)
        check = "rule_3_need_is_met_in_the_same_pass"
        self.assert_needed(check, play, off)

    def test_rule_5_the_uncooperative_is_not_idle(self) -> None:
        def play() -> World:
            world = world_of(1024, 180, 180)
            guests_of(world)[0].stuck = True
            wait(world, flavor_kib=2 * GIB)
            world.run(40)
            return world

        off = changed(
            TrackedGuest,
            "_why_frozen",
            lambda why: None if why is Limit.UNCOOPERATIVE else why,
        )
        check = "rule_5_uncooperative_is_not_idle"
        self.assert_needed(check, play, off)


class Rule6Test(ProtectionTest):
    def assert_frozen(self, limit: Limit, freeze) -> None:
        def play() -> World:
            world = world_of(1024, 1024)
            freeze(world, guests_of(world)[0])
            return squeezed(world, 512)

        off = changed(
            TrackedGuest,
            "_why_frozen",
            lambda frozen: None if frozen is limit else frozen,
        )
        self.assert_needed("rule_6_frozen_not_touched", play, off)

    def test_rule_6_a_paused_guest_is_not_touched(self) -> None:
        def pause(_world, guest) -> None:
            guest.busy = "paused"

        self.assert_frozen(Limit.BUSY, pause)

    def test_rule_6_a_held_guest_is_not_touched(self) -> None:
        self.assert_frozen(
            Limit.HELD, lambda world, guest: world.hold(guest, "snapshot")
        )

    def test_rule_6_an_exempt_guest_is_not_touched(self) -> None:
        def exempt(_world, guest) -> None:
            guest.exempt = "huge pages"

        self.assert_frozen(Limit.EXEMPT, exempt)
