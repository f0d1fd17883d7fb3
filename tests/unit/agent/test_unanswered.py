# SPDX-License-Identifier: Apache-2.0
"""A change of memory that hangs may have its way later: it is reckoned."""

import unittest

from nova_xen_overcommit.agent.hypervisor.base import Unanswered
from nova_xen_overcommit.exception import HypervisorError
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

    def test_what_came_true_of_a_call_that_hung_is_its_target(self) -> None:
        # Given a guest of which less was asked, without an answer
        before_kib = self.tracked.target_kib
        self.guest.hangs_calls = True
        self.harness.host.set_target = self.late(self.harness.host.set_target)
        self.harness.ask(flavor_kib=8 * 1024 * MIB, floor_kib=3000 * MIB)
        self.harness.agent.tick()
        self.assertEqual(before_kib, self.tracked.target_kib)
        # When that comes true
        self.harness.host.run(0.5)
        self.harness.agent.tick()
        # Then it is what is expected of it
        self.assertLess(self.asked[0], before_kib)
        self.assertEqual(self.asked[0], self.tracked.target_kib)

    def late(self, set_target):
        """Let the first call hang and come true, and refuse all others."""

        def call(domain, target_kib: int) -> None:
            self.asked.append(target_kib)
            if len(self.asked) > 1:
                raise HypervisorError("refused")
            set_target(domain, target_kib)

        return call

    def test_what_an_operator_asks_for_is_its_target(self) -> None:
        self.guest.told(700 * MIB)
        self.harness.agent.tick()
        self.assertEqual(700 * MIB, self.tracked.target_kib)


class FormerAgentTest(unittest.TestCase):
    def test_a_call_it_made_counts_when_it_comes_true(self) -> None:
        # Given an agent that was killed while a guest was given memory
        harness = Harness()
        guest = harness.boot()
        harness.run(20)
        guest.told(400 * MIB)
        harness.run(10)
        guest.slow_calls_s = 3.0
        guest.wants_kib = 390 * MIB
        harness.run(1)
        late_kib = harness.balancer.guests[guest.uuid].target_kib
        self.assertGreater(late_kib, 400 * MIB)
        # And one that hears nothing of the guest follows
        guest.silent = True
        harness.restart()
        harness.agent.tick()
        tracked = harness.balancer.guests[guest.uuid]
        self.assertLess(tracked.target_kib, late_kib)
        # When the call is done, long after the next agent began
        harness.host.run(3)
        harness.agent.tick()
        # Then what the guest will take is nobody else's
        self.assertEqual(late_kib, tracked.target_kib)
        self.assertGreater(tracked.to_come_kib, 0)
