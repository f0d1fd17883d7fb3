# SPDX-License-Identifier: Apache-2.0
"""The books by which the rules are judged."""

import unittest

from nova_xen_overcommit.agent.settings import Settings
from tests.simulator import GIB, MIB, SimulatedGuest
from tests.simulator.host import SimulatedHost
from tests.simulator.ledger import Ledger
from tests.simulator.production import configured

_PASS_S = 0.2
_STEP_KIB = 2 * MIB


class StillTest(unittest.TestCase):
    """How long a guest came no nearer to where it was asked to be."""

    def setUp(self) -> None:
        # It moves as much in a pass as its target does
        speed_kib_s = int(_STEP_KIB / _PASS_S)
        self.host = SimulatedHost(8 * GIB, 256 * MIB, speed_kib_s)
        self.guest: SimulatedGuest = self.host.start(flavor_kib=2 * GIB)
        self.ledger = Ledger(self.host)
        self.ledger.settings = Settings.of(configured())

    def still_s(self) -> float:
        """Ask it for a little less in each pass, by calls that hang."""
        known = self.ledger.record(self.guest)
        target_kib = self.guest.actual_kib - 256 * MIB
        for _ in range(50):
            # Which of both it is to follow shows when the guest is looked at
            self.ledger.ask(self.guest, known, target_kib)
            target_kib -= _STEP_KIB
            self.guest.target_kib = target_kib
            self.host.run(_PASS_S)
            self.ledger.look()
        return known.still_s

    def test_who_moves_with_its_target_is_not_still(self) -> None:
        self.assertLess(self.still_s(), 1.0)

    def test_who_is_asked_anew_and_does_not_move_is_still(self) -> None:
        self.guest.stuck = True
        self.assertGreater(self.still_s(), 9.0)
