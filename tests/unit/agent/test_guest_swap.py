# SPDX-License-Identifier: Apache-2.0
"""Guests whose swap is less than their memory."""

import unittest

from nova_xen_overcommit import exception, report
from tests.simulator import GIB, MIB, SimulatedHost
from tests.unit.agent.harness import Harness


def harness_of(usable_mib: int, overhead_mib: int = 0, **options) -> Harness:
    host = SimulatedHost(
        usable_mib * MIB, 0, guest_overhead_kib=overhead_mib * MIB
    )
    return Harness(host, **options)


class LittleSwapTest(unittest.TestCase):
    def test_all_at_once_and_none_is_killed(self) -> None:
        # Given idle guests that can swap half of what they may have
        harness = harness_of(2176)
        guests = [harness.boot(swap_kib=512 * MIB) for _ in range(4)]
        harness.run(60)
        # When all want nearly all they may have
        for guest in guests:
            guest.wants_kib = 900 * MIB
        harness.run(60)
        # Then each has what it can't swap
        self.assertEqual([], harness.broken_rules())
        for guest in guests:
            self.assertGreaterEqual(guest.actual_kib, 512 * MIB)

    def test_nothing_is_taken_from_who_has_none(self) -> None:
        # Given an idle guest without swap, and one with
        harness = harness_of(2048)
        bare, other = harness.boot(swap_kib=0), harness.boot()
        harness.run(60)
        # When memory is wanted for one that is never ballooned
        harness.ask(flavor_kib=700 * MIB, overcommit=False)
        harness.run(60)
        # Then the other yields it
        self.assertEqual(GIB, bare.actual_kib)
        self.assertLess(other.actual_kib, 400 * MIB)

    def test_where_no_swap_is_required_it_yields(self) -> None:
        harness = harness_of(2048, require_guest_swap=False)
        bare = harness.boot(swap_kib=0)
        harness.run(60)
        harness.ask(flavor_kib=1400 * MIB, overcommit=False)
        harness.run(60)
        self.assertLess(bare.actual_kib, 700 * MIB)

    def test_nobody_lives_on_the_swap_of_another(self) -> None:
        # Given a guest whose swap is four times its memory
        harness = harness_of(2000)
        harness.boot(swap_kib=4 * GIB)
        # When guests without swap come
        harness.boot(swap_kib=0)
        # Then the second is one too many
        with self.assertRaisesRegex(exception.NoRoom, "swap"):
            harness.boot(swap_kib=0)

    def test_a_start_gets_what_it_cant_swap(self) -> None:
        harness = harness_of(1200)
        harness.boot(wants_kib=500 * MIB)
        start = harness.ask(swap_kib=700 * MIB)
        harness.run(10)
        self.assertEqual(324 * MIB, start.granted_kib)

    def test_it_is_said_why_a_floor_is_high(self) -> None:
        # Given an idle guest that has come down to what it can't swap
        harness = harness_of(2048, max_step_mib=1024)
        idle = harness.boot(swap_kib=400 * MIB, wants_kib=0)
        harness.run(30)
        harness.ask(flavor_kib=1296 * MIB, overcommit=False)
        harness.run(2)
        told = harness.agent.explain(idle.uuid)
        self.assertEqual(
            ["floor: 624 MiB, as it has 400 MiB of swap"], told["limits"]
        )


class ChangedOptionTest(unittest.TestCase):
    """The option is mutable: it holds for guests that run already."""

    def setUp(self) -> None:
        # Given guests that may be squeezed though they have no swap
        self.harness = harness_of(3072, require_guest_swap=False)
        self.guests = [
            self.harness.boot(swap_kib=swap_mib * MIB)
            for swap_mib in (0, 512, 1024)
        ]
        self.harness.run(60)
        self.big = self.harness.ask(flavor_kib=2300 * MIB, overcommit=False)
        self.harness.run(60)
        for guest in self.guests:
            self.assertLess(guest.actual_kib, 512 * MIB)

    def require(self, whether: bool) -> None:
        self.harness.conf.set_override(
            "require_guest_swap", whether, "xen_overcommit"
        )

    def floors_mib(self) -> list[int]:
        tracked = self.harness.balancer.guests
        return [tracked[g.uuid].floor_kib // MIB for g in self.guests]

    def test_who_has_too_little_gets_it_back(self) -> None:
        # When the option is switched on, and memory is there
        self.harness.leases.remove(self.big)
        self.require(True)
        self.harness.run(10)
        # Then floors are what can't be swapped, and targets too, at least
        self.assertEqual([1024, 512, 170], self.floors_mib())
        for guest, least_mib in zip(self.guests, (1024, 512), strict=False):
            self.assertGreaterEqual(guest.actual_kib, least_mib * MIB)
            # And so they come back from a reboot
            self.assertGreaterEqual(guest.restart_kib, least_mib * MIB)

    def test_where_it_cant_be_had_passes_go_on(self) -> None:
        # When the option is switched on, and there is no memory for it
        self.require(True)
        self.harness.run(30)
        # Then all that is free is given, and nothing else comes in
        passes = self.harness.agent.passes()
        self.assertEqual((0, ""), (passes.failures, passes.complaint))
        self.assertEqual([], self.harness.broken_rules())
        with self.assertRaises(exception.NoRoom):
            self.harness.boot(patience_s=10)

    def test_switched_off_it_lets_go(self) -> None:
        self.require(True)
        self.harness.run(10)
        self.require(False)
        self.harness.run(1)
        self.assertEqual([170, 170, 170], self.floors_mib())

    def test_a_guest_that_rests_heeds_it_too(self) -> None:
        # Given a guest that has nothing new to say
        bare = self.guests[0]
        bare.speaks_every_s = 10.0
        self.harness.run(12)
        self.require(True)
        self.harness.agent.tick()
        # Then none of it counts as idle any more
        tracked = self.harness.balancer.guests[bare.uuid]
        self.assertEqual(GIB, tracked.demand_kib)
        self.assertEqual(0, tracked.could_yield_kib)


class SumTest(unittest.TestCase):
    def test_what_guests_cost_backs_no_flavor(self) -> None:
        # Given flavors that memory and swap just hold, without a reserve
        for overhead_mib, reason in ((0, "floors"), (8, "swap")):
            harness = harness_of(2048, overhead_mib, reserve_mib=32)
            harness.boot(swap_kib=512 * MIB)
            start = harness.ask(flavor_kib=1984 * MIB, swap_kib=448 * MIB)
            harness.run(1)
            # Then it is the swap that is wanting once guests cost anything
            with self.subTest(overhead_mib=overhead_mib):
                self.assertRegex(str(start.failure), reason)

    def test_the_scheduler_is_told(self) -> None:
        # Given guests with more swap than memory, and with less
        harness = harness_of(4096)
        harness.boot(swap_kib=4 * GIB)
        harness.ask(swap_kib=700 * MIB)
        harness.run(2)
        told = report.HostReport.from_dict(harness.agent.report())
        self.assertEqual(170 + 324, told.floors_mib)
        self.assertEqual(1024 + 700, told.swap_mib)
