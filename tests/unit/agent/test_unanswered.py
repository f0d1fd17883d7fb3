# SPDX-License-Identifier: Apache-2.0
"""A change of memory that hangs may have its way later: it is reckoned."""

import unittest

from nova_xen_overcommit.agent.hypervisor.base import Unanswered
from tests.simulator import MIB
from tests.unit.agent.harness import Harness


class UnansweredTest(unittest.TestCase):
    def setUp(self) -> None:
        self.harness = Harness()
        self.guest = self.harness.boot()
        self.harness.run(30)
        self.tracked = self.harness.balancer.guests[self.guest.uuid]
        self.asked: list[int] = []

    def hang(self, _domain, target_kib: int) -> None:
        self.asked.append(target_kib)
        raise Unanswered("setMemory hangs")

    def test_what_a_guest_could_take_yet_is_nobody_elses(self) -> None:
        # Given a guest that was made small
        self.harness.host.set_target(self.tracked.domain, 300 * MIB)
        self.tracked.target_kib = 300 * MIB
        self.harness.run(12)
        # When it is in need, and giving hangs
        self.harness.host.set_target = self.hang
        self.guest.wants_kib = 290 * MIB
        self.harness.run(2)
        # Then what was asked for counts as given
        self.assertGreater(self.asked[-1], 300 * MIB)
        self.assertEqual(self.asked[-1], self.tracked.target_kib)
        self.assertGreater(self.tracked.to_come_kib, 0)

    def test_nothing_is_expected_of_taking_that_hangs(self) -> None:
        before_kib = self.tracked.target_kib
        self.harness.host.set_target = self.hang
        self.harness.ask(flavor_kib=8 * 1024 * MIB, floor_kib=3000 * MIB)
        self.harness.agent.tick()
        self.assertLess(self.asked[0], before_kib)
        self.assertEqual(before_kib, self.tracked.target_kib)
