# SPDX-License-Identifier: Apache-2.0
"""Nobody waits for memory of a guest whose calls are refused."""

import unittest

from nova_xen_overcommit.policy.limits import Limit
from nova_xen_overcommit.policy.refusals import NO_REFUSALS
from tests.simulator import GIB, MIB, SimulatedHost
from tests.unit.agent.harness import Harness


class RefusedTest(unittest.TestCase):
    def setUp(self) -> None:
        # The idlest has enough for all, the other one has head room.
        host = SimulatedHost(physical_kib=2 * GIB, kept_kib=0)
        self.idle = host.start("idle", actual_kib=500 * MIB)
        self.other = host.start(
            "other", actual_kib=760 * MIB, wants_kib=600 * MIB
        )
        self.needy = host.start(
            "needy", actual_kib=660 * MIB, wants_kib=60 * MIB
        )
        self.harness = Harness(host)
        self.harness.run(5)
        self.tracked = self.harness.balancer.guests[self.idle.uuid]

    def refuse(self, needy_mib: int = 740) -> None:
        self.idle.fails_calls = True
        self.needy.wants_kib = needy_mib * MIB
        self.harness.run(30)

    def test_others_yield_what_it_does_not(self) -> None:
        self.refuse()
        self.assertGreaterEqual(self.needy.actual_kib, self.needy.need_kib)
        self.assertGreaterEqual(self.other.actual_kib, self.other.need_kib)

    def test_it_is_not_asked_again_in_each_pass(self) -> None:
        self.refuse()
        self.assertEqual(10.0, self.tracked.refusals.rest_s)
        self.assertIs(Limit.REFUSED, self.tracked.hold)

    def test_nor_is_one_that_was_given_up(self) -> None:
        # Given a guest that doesn't follow, and can't be told to stay
        self.idle.stuck = True
        self.needy.wants_kib = 740 * MIB
        self.harness.run(10)
        self.idle.fails_calls = True
        with self.assertLogs("nova_xen_overcommit", "WARNING") as logs:
            self.harness.run(60)
        self.assertIs(Limit.UNCOOPERATIVE, self.tracked.frozen)
        # Then it is asked no more often than others, and nobody is told
        # that it keeps what it has before that is so
        self.assertLess(len(logs.output), 12)
        self.assertFalse([line for line in logs.output if "keeps" in line])

    def test_a_start_does_not_count_on_it(self) -> None:
        self.assertGreater(self.tracked.could_yield_kib, 0)
        self.refuse()
        self.assertEqual(0, self.tracked.could_yield_kib)

    def test_what_it_wants_is_not_kept_from_others(self) -> None:
        # Given two in need, and that what the first wants is refused
        self.idle.wants_kib = 520 * MIB
        self.refuse(needy_mib=700)
        # Then the second gets what lies free
        self.assertLess(self.harness.host.free_kib, 32 * MIB)

    def test_it_is_asked_again_when_some_time_has_passed(self) -> None:
        self.refuse()
        had_kib = self.idle.actual_kib
        self.idle.fails_calls = False
        self.harness.run(20)
        self.assertLess(self.idle.actual_kib, had_kib)
        self.assertIs(NO_REFUSALS, self.tracked.refusals)
