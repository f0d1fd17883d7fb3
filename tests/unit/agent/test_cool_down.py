# SPDX-License-Identifier: Apache-2.0
"""Whether a guest keeps what it was given just now."""

import unittest

from nova_xen_overcommit.policy.limits import Limit
from nova_xen_overcommit.policy.sample import MemorySample
from tests.simulator import GIB, MIB, SimulatedGuest, SimulatedHost
from tests.unit.agent.harness import Harness


class CoolDownTest(unittest.TestCase):
    """A guest got memory just now, and another one needs some."""

    def world(self, then_mib: int) -> tuple[SimulatedGuest, int]:
        host = SimulatedHost(physical_kib=2 * GIB, kept_kib=0)
        harness = Harness(host, cool_down_s=60)
        first = host.start(actual_kib=300 * MIB, wants_kib=600 * MIB)
        other = host.start(actual_kib=600 * MIB, wants_kib=60 * MIB)
        harness.run(15)
        first.wants_kib = then_mib * MIB
        harness.run(5)
        had_kib = first.target_kib
        other.wants_kib = 940 * MIB
        host.start(
            flavor_kib=host.free_kib - 16 * MIB, wants_kib=900 * MIB
        ).busy = "paused"
        harness.run(10)
        return first, had_kib

    def test_none_is_taken_while_it_may_be_about_to_use_it(self) -> None:
        first, had_kib = self.world(then_mib=600)
        self.assertEqual(had_kib, first.target_kib)

    def test_unless_it_does_not_need_what_it_had_before(self) -> None:
        first, had_kib = self.world(then_mib=60)
        self.assertLess(first.target_kib, had_kib)

    def test_who_is_starved_may_yield_once_it_has_cooled_down(self) -> None:
        # Given a guest that was given some just now and says it lacks more
        host = SimulatedHost(physical_kib=2 * GIB, kept_kib=0)
        harness = Harness(host, cool_down_s=60)
        guest = host.start(actual_kib=300 * MIB, wants_kib=60 * MIB)
        guest.lie = MemorySample(0.0, 15.0, GIB - 64 * MIB, 0, GIB, GIB)
        harness.run(15)
        tracked = harness.balancer.guests[guest.uuid]
        self.assertEqual(Limit.STARVED, tracked.hold)
        # Then it needn't yield when memory is short
        self.assertFalse(tracked.planned().yields_if_short)
        # But it may have to later, though nothing else has changed
        harness.run(60)
        self.assertTrue(tracked.planned().yields_if_short)
