# SPDX-License-Identifier: Apache-2.0
"""Guests that move their own balloons, on the production balancer."""

import dataclasses
import unittest

from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.agent.hypervisor.base import Domain
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy.progress import Status
from nova_xen_overcommit.policy.sample import MemorySample
from tests.simulator import GIB, MIB, SimulatedGuest, SimulatedHost
from tests.simulator.production import configured
from tests.unit.agent.harness import Harness


def own_need_kib(guest: SimulatedGuest) -> int:
    """What such a guest in the simulator wants to have."""
    used_kib = guest.wants_kib + 64 * MIB
    return used_kib + used_kib // 10 + 32 * MIB


class FeltTest(unittest.TestCase):
    """Whether it has felt that it has less."""

    def test_who_stands_at_its_cap_feels_what_is_taken(self) -> None:
        # Given one that had more than its cap when it last spoke, and was
        # taken to rest there
        over_kib, cap_kib = 506 * MIB, 500 * MIB
        domain = Domain("uuid", "guest", 1, GIB, over_kib, cap_kib, 0)
        settings = Settings.of(configured())
        guest = TrackedGuest.found(domain, 0.0, settings.floor_rule)
        words = MemorySample(
            time_s=1.0,
            max_age_s=15.0,
            mem_total_kib=over_kib,
            mem_available_kib=400 * MIB,
            self_more_kib=-300 * MIB,
        )
        guest.refresh(domain, words, 1.0, settings)
        guest.progress = dataclasses.replace(
            guest.progress, offset_kib=over_kib - cap_kib
        )
        # When it comes down to its cap, and hasn't said how that is
        domain = dataclasses.replace(domain, actual_kib=cap_kib)
        guest.refresh(domain, None, 2.0, settings)
        # Then it has left nothing that could be taken unfelt
        self.assertEqual(over_kib, guest.planned().felt_kib)


class SelfBalloonTest(unittest.TestCase):
    """A 2 GiB host on which one guest has gone down by itself."""

    def setUp(self) -> None:
        self.host = SimulatedHost(physical_kib=2 * GIB, kept_kib=0)
        self.harness = Harness(self.host)
        self.guest = self.host.start(wants_kib=100 * MIB)
        self.guest.chosen_kib = GIB
        self.guest.speaks_every_s = 1.0
        self.harness.run(60)

    def run_and_watch(self, seconds: float) -> None:
        """Let time pass; what is granted must always be there."""
        for _ in range(round(seconds / 0.5)):
            self.harness.run(0.5)
            guests = self.host.guests.values()
            owed_kib = sum(max(0, g.target_kib - g.actual_kib) for g in guests)
            self.assertLessEqual(owed_kib, self.host.free_kib)
            self.assertEqual([], self.harness.broken_rules())

    def tracked(self):
        return self.harness.balancer.guests[self.guest.uuid]

    def test_it_is_left_alone_while_nobody_needs_memory(self) -> None:
        self.assertLess(self.guest.actual_kib, 400 * MIB)
        self.assertEqual(GIB, self.guest.target_kib)
        self.assertEqual([], self.host.calls)

    def test_it_is_settled_wherever_it_is_below_its_cap(self) -> None:
        self.assertIs(Status.SETTLED, self.tracked().progress.status)
        self.assertEqual(0, self.harness.agent.report()["uncooperative"])

    def test_a_steady_host_sees_no_move(self) -> None:
        self.harness.run(600)
        self.assertEqual([], self.host.calls)

    def test_what_it_could_take_back_is_nobody_elses(self) -> None:
        # Given it left 700 MiB and more free below its cap
        left_kib = GIB - self.guest.actual_kib
        self.assertGreater(left_kib, 700 * MIB)
        # Then these are not reported as free
        free_mib = self.harness.agent.report()["free_mib"]
        self.assertEqual((self.host.free_kib - left_kib) // MIB, free_mib)
        # But as what could be taken
        told = self.harness.agent.report()["reclaimable_mib"]
        self.assertAlmostEqual(left_kib // MIB, told, delta=16)

    def test_what_others_took_of_it_is_not_reported_twice(self) -> None:
        # Given it left 700 MiB and more, and an agent that takes no cap back
        self.harness.conf.set_override("mode", "observe", "xen_overcommit")
        # When others take most of that, and leave it idle
        for _ in range(2):
            self.host.start(actual_kib=GIB - 200 * MIB)
        self.harness.run(20)
        # Then what is free or could be freed is no more than the host has
        told = self.harness.agent.report()
        self.assertGreater(told["reclaimable_mib"], 1500)
        self.assertLessEqual(told["free_mib"] + told["reclaimable_mib"], 2048)

    def test_its_cap_is_lowered_when_memory_is_needed_elsewhere(self):
        # Given a second guest fits only into what the first left free
        second = self.harness.boot(
            flavor_kib=3 * GIB // 2, wants_kib=1300 * MIB, swap_kib=2 * GIB
        )
        self.run_and_watch(30)
        # Then the first has what it chose, and the second what it needs
        self.assertLess(self.guest.target_kib, 400 * MIB)
        self.assertGreaterEqual(self.guest.target_kib, self.guest.actual_kib)
        self.assertEqual(second.wants_kib, second.in_ram_kib)

    def test_it_is_never_asked_for_less_than_it_chose(self) -> None:
        self.harness.boot(flavor_kib=3 * GIB // 2, wants_kib=1200 * MIB)
        for _ in range(60):
            chosen_kib, calls = self.guest.chosen_kib, len(self.host.calls)
            self.harness.run(0.5)
            for uuid, target_kib in self.host.calls[calls:]:
                if uuid == self.guest.uuid:
                    self.assertGreaterEqual(target_kib, chosen_kib)

    def test_it_takes_back_what_is_below_its_cap_without_asking(self):
        self.guest.wants_kib = 800 * MIB
        self.run_and_watch(30)
        self.assertEqual(800 * MIB, self.guest.in_ram_kib)
        self.assertEqual([], self.host.calls)

    def test_its_cap_is_raised_when_it_wants_more(self) -> None:
        # Given its cap was lowered for another that has ended
        second = self.harness.boot(
            flavor_kib=3 * GIB // 2, wants_kib=1300 * MIB
        )
        self.run_and_watch(30)
        self.host.end(second)
        lowered_kib = self.guest.target_kib
        # When it needs more
        self.guest.wants_kib = 700 * MIB
        self.harness.run(90)
        # Then it may have that, and takes no more
        self.assertEqual(700 * MIB, self.guest.in_ram_kib)
        self.assertGreater(self.guest.target_kib, lowered_kib)
        self.assertLessEqual(
            self.guest.actual_kib, own_need_kib(self.guest) + 16 * MIB
        )

    def test_when_memory_is_short_it_shares_like_the_others(self) -> None:
        # Given it claims to want everything
        other = self.harness.boot(wants_kib=900 * MIB)
        third = self.harness.boot(wants_kib=900 * MIB)
        self.guest.wants_kib = 4 * GIB
        self.guest.swap_kib = 8 * GIB
        self.run_and_watch(60)
        # Then it has no more than the others that want as much
        for guest in (other, third):
            self.assertLess(
                self.guest.target_kib, guest.target_kib * 1.2 + 32 * MIB
            )

    def test_who_only_says_that_it_wants_little_loses_what_it_has(self):
        # Given a guest that has all its memory and claims to leave it
        hoarder = self.host.start(actual_kib=900 * MIB, wants_kib=800 * MIB)
        self.host.end(self.guest)
        hoarder.lie = MemorySample(
            time_s=0,
            max_age_s=15,
            mem_total_kib=800 * MIB,
            mem_available_kib=700 * MIB,
            self_more_kib=-900 * MIB,
        )
        # When another needs memory
        other = self.harness.boot(
            flavor_kib=2 * GIB, wants_kib=1400 * MIB, swap_kib=2 * GIB
        )
        self.run_and_watch(30)
        # Then the other has it, and the liar alone swaps
        self.assertEqual(other.wants_kib, other.in_ram_kib)
        self.assertLess(hoarder.in_ram_kib, 400 * MIB)

    def test_starved_it_takes_nothing_that_others_use(self) -> None:
        others = [self.harness.boot(wants_kib=100 * MIB) for _ in range(2)]
        # Given it says for ever that it is starved, with what it chose
        self.guest.lie = MemorySample(
            time_s=0,
            max_age_s=15,
            mem_total_kib=300 * MIB,
            mem_available_kib=1 * MIB,
            self_more_kib=0,
        )
        # When others use all the rest
        for other in others:
            other.wants_kib = 720 * MIB
        self.run_and_watch(60)
        # Then they have it; only what nobody uses is for the starved
        for other in others:
            self.assertEqual(other.wants_kib, other.in_ram_kib)
        self.assertLess(self.guest.target_kib, 450 * MIB)

    def test_the_agent_says_that_it_moves_its_own_balloon(self) -> None:
        told = self.harness.agent.explain(self.guest.uuid)
        self.assertEqual(
            ["what it wants, as it moves its own balloon"],
            told["demand"]["causes"],
        )

    def test_who_is_starved_twice_may_have_its_flavor(self) -> None:
        # Given its cap was lowered for another
        self.harness.boot(flavor_kib=3 * GIB // 2, wants_kib=1000 * MIB)
        self.run_and_watch(30)
        self.assertLess(self.guest.target_kib, 500 * MIB)
        # When it suddenly needs twice what it has
        self.guest.wants_kib = 650 * MIB
        self.run_and_watch(60)
        # Then it is starved no more
        self.assertEqual(650 * MIB, self.guest.in_ram_kib)
        self.assertFalse(self.tracked().starved)

    def test_when_it_falls_silent_nothing_of_its_cap_is_given_away(self):
        # Given its publisher died; its kernel keeps the last target
        self.guest.silent = True
        left_kib = GIB - self.guest.actual_kib
        self.harness.run(30)
        # When another needs more than there is besides
        self.harness.boot(
            flavor_kib=3 * GIB // 2, wants_kib=1300 * MIB, swap_kib=2 * GIB
        )
        self.run_and_watch(30)
        # Then nothing was asked of it, and it counts in full
        self.assertNotIn(self.guest.uuid, dict(self.host.calls))
        self.assertEqual(GIB, self.guest.target_kib)
        self.assertGreaterEqual(self.host.free_kib, left_kib)
        told = self.harness.agent.explain(self.guest.uuid)
        self.assertEqual(
            "no believable figures", told["status"]["counts_in_full"]
        )

    def test_after_a_reboot_it_is_known_anew(self) -> None:
        # Given it reboots, and its publisher isn't there yet
        self.host.end(self.guest)
        again = self.host.come_back(self.guest)
        again.silent = True
        self.harness.run(10)
        tracked = self.harness.balancer.guests[again.uuid]
        self.assertFalse(tracked.balloons_itself)
        # When it is
        again.silent = False
        again.chosen_kib = again.target_kib
        self.harness.run(2)
        self.assertTrue(tracked.balloons_itself)

    def test_an_agent_started_anew_recognises_it(self) -> None:
        self.harness.restart()
        self.harness.run(1)
        self.assertTrue(self.tracked().balloons_itself)
        self.assertIs(Status.SETTLED, self.tracked().progress.status)
        self.assertEqual([], self.host.calls)

    def test_an_agent_started_anew_waits_for_its_word(self) -> None:
        # Given its publisher is slow to speak when the agent is back
        self.harness.restart()
        self.guest.silent = True
        self.harness.run(40)
        # Then it isn't taken for one that doesn't obey
        self.assertIs(Status.SETTLED, self.tracked().progress.status)
        self.assertEqual([], self.host.calls)
        # But not for ever
        self.harness.run(180)
        self.assertIs(Status.UNCOOPERATIVE, self.tracked().progress.status)

    def test_who_ends_it_is_ballooned_by_the_agent_again(self) -> None:
        # Given its publisher is started without that, which first lets the
        # balloon go back
        self.guest.chosen_kib = None
        self.harness.run(30)
        self.assertFalse(self.tracked().balloons_itself)
        self.assertEqual(GIB, self.guest.actual_kib)
        # Then it yields like any other
        self.harness.boot(
            flavor_kib=3 * GIB // 2, wants_kib=1300 * MIB, swap_kib=2 * GIB
        )
        self.run_and_watch(30)
        self.assertLess(self.guest.actual_kib, 500 * MIB)
