# SPDX-License-Identifier: Apache-2.0
"""The books by which the rules are judged."""

import math
import unittest

from nova_xen_overcommit.agent.protocol import StartRequest
from nova_xen_overcommit.agent.reservations import Reservation
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy import sample
from tests.simulator import GIB, MIB, SimulatedGuest
from tests.simulator.host import SimulatedHost
from tests.simulator.ledger import Claim, Ledger
from tests.simulator.production import configured

_PASS_S = 0.2
_STEP_KIB = 2 * MIB


class LedgerTestCase(unittest.TestCase):
    """One guest in the books."""

    def setUp(self) -> None:
        self.begin(SimulatedHost(8 * GIB, 256 * MIB), GIB)

    def begin(self, host: SimulatedHost, flavor_kib: int) -> None:
        """Start a guest on this host, and open the books."""
        self.host = host
        self.guest: SimulatedGuest = host.start(flavor_kib=flavor_kib)
        self.ledger = Ledger(self.host)
        self.ledger.settings = Settings.of(configured())
        self.known = self.ledger.record(self.guest)

    def run_and_look(self) -> None:
        self.host.run(_PASS_S)
        self.ledger.look()


class StillTest(LedgerTestCase):
    """How long a guest came no nearer to where it was asked to be."""

    def setUp(self) -> None:
        # It moves as much in a pass as its target does
        speed_kib_s = int(_STEP_KIB / _PASS_S)
        self.begin(SimulatedHost(8 * GIB, 256 * MIB, speed_kib_s), 2 * GIB)

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

    def test_who_follows_another_is_no_longer_given_up(self) -> None:
        known = self.ledger.record(self.guest)
        known.gave_up_s = self.ledger.now_s
        self.guest.stuck = True
        self.guest.target_kib -= 256 * MIB
        self.run_and_look()
        self.assertTrue(math.isfinite(known.gave_up_s))

        self.guest.stuck = False
        self.run_and_look()

        self.assertTrue(math.isinf(known.gave_up_s))

    def test_its_own_offset_does_not_hide_that_it_is_near(self) -> None:
        # Given one that rests 8 MiB below its target, and would rest above it
        self.guest.stuck = True
        self.guest.offset_kib = 512
        known = self.ledger.record(self.guest)
        rests_kib = self.guest.actual_kib
        self.guest.target_kib = rests_kib + 8 * MIB
        for _ in range(10):
            self.run_and_look()
        # Then an agent may take that for where it rests
        self.assertGreater(known.near_s, 1.0)
        self.assertEqual(0.0, known.still_s)

    def test_who_may_have_been_given_up_may_be_tried_again(self) -> None:
        # Given one of which nobody saw for how long it didn't move
        self.guest.stuck = True
        self.guest.target_kib -= 256 * MIB
        self.run_and_look()
        self.host.run(20.0)
        self.ledger.look()
        self.assertLess(self.known.still_s, 5.0)
        self.assertFalse(self.ledger.may_be_retried(self.known))
        # When its first back-off is over
        self.host.run(60.0)
        # Then it may be asked again
        self.assertTrue(self.ledger.may_be_retried(self.known))

    def test_how_far_it_has_come_counts_on_with_another_target(self) -> None:
        # Given one that no agent has asked for anything, on its way
        self.guest.target_kib -= 256 * MIB
        self.run_and_look()
        self.guest.stuck = True
        self.guest.actual_kib -= 900
        self.run_and_look()
        # When somebody else asks for less yet
        self.guest.target_kib -= 256 * MIB
        self.run_and_look()
        left_kib = self.guest.actual_kib - self.guest.target_kib
        self.assertEqual(left_kib + 900, self.known.best_kib)

    def test_its_former_patience_may_be_held_against_it(self) -> None:
        self.guest.stuck = True
        self.guest.target_kib -= 256 * MIB
        self.run_and_look()
        began_s = self.known.progress_s
        self.run_and_look()
        # When somebody asks for another size
        self.ledger.set_by_hand(self.guest)
        self.assertGreater(self.known.progress_s, began_s)
        self.assertEqual(began_s, self.known.patient_s)
        # Then that is over once it rests
        self.guest.target_kib = self.guest.actual_kib
        self.run_and_look()
        self.assertTrue(math.isinf(self.known.patient_s))

    def test_who_stirs_where_it_rests_does_not_shrink(self) -> None:
        # Given one that rests a little above its target
        self.guest.target_kib -= 513
        self.guest.offset_kib = 513
        self.run_and_look()
        # When it rests below it, unasked
        self.guest.offset_kib = -MIB
        self.run_and_look()
        self.assertEqual(0, self.guest.gap_kib)
        self.assertTrue(math.isinf(self.known.shrank_s))


class GrowthTest(LedgerTestCase):
    """What a guest may take, and who could know."""

    def is_robbed(self, asked_kib: int | None) -> bool:
        """Tell it of more than it has, which its agent asked it for or not."""
        request = StartRequest("uuid-1", "guest-1", GIB)
        claim = Claim(Reservation(request, 0.0, 60.0))
        self.ledger.claims.append(claim)
        self.known.asked_kib = asked_kib
        self.guest.target_kib += 64 * MIB
        self.ledger.look()
        return claim.robbed

    def test_what_a_former_agent_asked_for_robs_starts(self) -> None:
        self.assertTrue(self.is_robbed(asked_kib=None))

    def test_what_its_agent_asked_for_robs_nobody(self) -> None:
        asked_kib = self.guest.target_kib + 64 * MIB
        self.assertFalse(self.is_robbed(asked_kib))

    def test_who_stirs_where_it_rests_may_be_mistaken_by_that(self) -> None:
        # Given one that is asked for 20 MiB more, and rests 1 MiB below
        asked_kib = self.guest.actual_kib + 20 * MIB
        self.known.asked_kib = asked_kib
        self.guest.offset_kib = -MIB
        self.assertEqual(19 * MIB, self.ledger.growth_kib(self.guest))
        # When it stands half a MiB below that for as long as is learnt from
        self.guest.target_kib = asked_kib
        self.guest.stuck = True
        self.guest.actual_kib = asked_kib - MIB - 512
        for _ in range(20):
            self.run_and_look()
        # Then it may be taken to rest there, and no farther off
        self.known.asked_kib = asked_kib + 20 * MIB
        least_kib = self.ledger.growth_kib(self.guest)
        self.assertEqual(19 * MIB + 512, least_kib)

    def test_where_it_stands_above_its_target_may_be_learnt(self) -> None:
        # Given one that yields no more, 6 MiB above its target
        self.guest.stuck = True
        self.guest.target_kib -= 6 * MIB
        self.run_and_look()
        self.assertEqual(0, self.ledger.above_kib(self.guest))
        for _ in range(10):
            self.run_and_look()
        self.assertEqual(6 * MIB, self.ledger.above_kib(self.guest))
        # But not one that is far off
        self.guest.target_kib -= 20 * MIB
        self.assertEqual(8 * MIB, self.ledger.above_kib(self.guest))


class WordsTest(LedgerTestCase):
    """What a guest's words tell of it."""

    def says(self, used_kib: int, swap_in_kib: int) -> None:
        self.host.run(1.0)
        words = sample.MemorySample(
            time_s=self.ledger.now_s,
            max_age_s=15.0,
            mem_total_kib=GIB,
            mem_available_kib=GIB - used_kib,
            swap_total_kib=GIB,
            swap_free_kib=GIB - 64 * MIB,
            swap_in_kib=swap_in_kib,
        )
        self.ledger.hear(self.guest, words, self.ledger.now_s)

    def swaps_in(self, used_kib: int) -> None:
        for second in range(4):
            self.says(used_kib, swap_in_kib=second * 64 * MIB)

    def test_who_swaps_in_without_room_is_starved(self) -> None:
        self.swaps_in(used_kib=GIB - 64 * MIB)
        self.assertTrue(self.known.hungry)
        self.assertGreater(self.known.starved, 1)

    def test_who_has_room_for_it_is_on_its_way_back(self) -> None:
        # Though what it doesn't say may leave it less room than that
        self.swaps_in(used_kib=256 * MIB)
        self.assertTrue(self.known.hungry)
        self.assertEqual(0, self.known.starved)

    def test_what_it_rose_since_it_spoke_is_known(self) -> None:
        # Given its first words, before which nobody knows what it had
        self.guest.stuck = True
        self.says(100 * MIB, 0)
        self.assertEqual(0, self.known.rose_kib)
        # When it has more, and then less, as it speaks again
        self.guest.actual_kib += 3 * MIB
        self.says(100 * MIB, 0)
        self.assertEqual(3 * MIB, self.known.rose_kib)
        self.guest.actual_kib -= MIB
        self.says(100 * MIB, 0)
        self.assertEqual(0, self.known.rose_kib)
