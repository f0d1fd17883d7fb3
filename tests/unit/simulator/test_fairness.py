# SPDX-License-Identifier: Apache-2.0
"""What the judge leaves to a starved guest when memory is short."""

from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy.sample import MemorySample
from tests.simulator import GIB, MIB
from tests.simulator.host import SimulatedHost
from tests.simulator.memory import KERNEL_KIB
from tests.simulator.rules import fairness
from tests.unit.simulator.test_ledger import LedgerTestCase

_OTHER_KIB = 2200 * MIB


class OwnChoiceTest(LedgerTestCase):
    """A guest that moves its own balloon, where not all have enough."""

    def begin_beside(self, swap_kib: int) -> None:
        """Start it on a host of 3 GiB, and another that claims all it may."""
        self.begin(SimulatedHost(3 * GIB, 256 * MIB), GIB)
        self.host.start(
            flavor_kib=_OTHER_KIB, actual_kib=GIB, swap_kib=swap_kib
        )

    def chooses(self, more_kib: int) -> None:
        total_kib = self.guest.actual_kib - KERNEL_KIB
        self.known.felt_kib = self.guest.actual_kib
        self.known.words_s = self.ledger.now_s
        self.known.words = MemorySample(
            time_s=0.0,
            max_age_s=15.0,
            mem_total_kib=total_kib,
            mem_available_kib=64 * MIB,
            swap_total_kib=GIB,
            swap_free_kib=GIB,
            self_more_kib=more_kib,
        )

    def kept_kib(self) -> float:
        return fairness.kept_kib(self.ledger, self.settings(), self.guest)

    def settings(self) -> Settings:
        assert self.ledger.settings is not None
        return self.ledger.settings

    def test_it_keeps_what_it_chose(self) -> None:
        self.begin_beside(swap_kib=_OTHER_KIB)
        self.chooses(-300 * MIB)
        self.assertEqual(GIB - 300 * MIB, self.kept_kib())

    def test_what_it_had_when_it_chose_may_be_less_than_it_has(self) -> None:
        self.begin_beside(swap_kib=_OTHER_KIB)
        self.chooses(-300 * MIB)
        self.known.rose_kib = 50 * MIB
        self.assertEqual(GIB - 350 * MIB, self.kept_kib())

    def test_caps_are_above_what_was_chosen(self) -> None:
        # Given one that can't do with less than it claims
        self.begin_beside(swap_kib=0)
        self.chooses(-300 * MIB)
        slack_kib = self.settings().slack_kib
        left_kib = 3 * GIB - 256 * MIB - _OTHER_KIB - slack_kib
        # Then its own cap takes of the rest, too
        self.assertAlmostEqual(left_kib - MIB, self.kept_kib(), delta=1)
