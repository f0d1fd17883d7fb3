# SPDX-License-Identifier: Apache-2.0
"""What the judge leaves to a starved guest when memory is short."""

from nova_xen_overcommit.policy.sample import MemorySample
from tests.simulator import GIB, MIB
from tests.simulator.host import SimulatedHost
from tests.simulator.memory import KERNEL_KIB
from tests.simulator.rules import fairness
from tests.unit.simulator.test_ledger import LedgerTestCase


class OwnChoiceTest(LedgerTestCase):
    """A guest that moves its own balloon, beside one that claims all."""

    def setUp(self) -> None:
        self.begin(SimulatedHost(3 * GIB, 256 * MIB), GIB)
        self.host.start(flavor_kib=2200 * MIB, actual_kib=GIB)

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
        settings = self.ledger.settings
        assert settings is not None
        return fairness.kept_kib(self.ledger, settings, self.guest)

    def test_it_keeps_what_it_chose(self) -> None:
        self.chooses(-300 * MIB)
        self.assertEqual(GIB - 300 * MIB, self.kept_kib())

    def test_what_it_had_when_it_chose_may_be_less_than_it_has(self) -> None:
        self.chooses(-300 * MIB)
        self.known.rose_kib = 50 * MIB
        self.assertEqual(GIB - 350 * MIB, self.kept_kib())
