# SPDX-License-Identifier: Apache-2.0
"""Whether a guest follows its target."""

import unittest

from nova_xen_overcommit.policy import progress
from nova_xen_overcommit.policy.progress import Status

MIB = 1024
SETTINGS = progress.ProgressSettings()


class ProgressTest(unittest.TestCase):
    def setUp(self) -> None:
        self.now_s = 0.0
        self.state = progress.start(500 * MIB, 500 * MIB, 0.0)

    def see(self, target_mib: int, actual_mib: int, after_s: float) -> Status:
        self.now_s += after_s
        self.state = progress.advance(
            self.state,
            target_mib * MIB,
            actual_mib * MIB,
            self.now_s,
            SETTINGS,
        )
        return self.state.status

    def test_a_guest_at_its_target_is_settled(self) -> None:
        self.assertIs(Status.SETTLED, self.see(500, 500, 1))

    def test_a_guest_that_comes_nearer_moves_however_long_it_takes(self):
        for actual_mib in range(498, 302, -2):
            self.assertIs(Status.MOVING, self.see(300, actual_mib, 4))

    def test_below_a_mere_cap_a_guest_has_arrived(self) -> None:
        for actual_mib in (500, 300, 100, 450):
            with self.subTest(actual_mib=actual_mib):
                self.assertIs(Status.SETTLED, self.see_cap(500, actual_mib, 9))

    def test_above_a_cap_a_guest_is_watched_like_others(self) -> None:
        self.assertIs(Status.MOVING, self.see_cap(300, 500, 4.9))
        self.assertIs(Status.STUCK, self.see_cap(300, 500, 5))
        self.assertIs(Status.UNCOOPERATIVE, self.see_cap(300, 500, 15))

    def test_below_what_is_no_mere_cap_any_more_it_is_watched(self) -> None:
        self.assertIs(Status.SETTLED, self.see_cap(500, 300, 9))
        self.assertIs(Status.MOVING, self.see(500, 300, 1))
        self.assertIs(Status.STUCK, self.see(500, 300, 5))

    def see_cap(self, cap_mib: int, actual_mib: int, after_s: float) -> Status:
        self.now_s += after_s
        self.state = progress.advance(
            self.state,
            cap_mib * MIB,
            actual_mib * MIB,
            self.now_s,
            SETTINGS,
            may_rest_below=True,
        )
        return self.state.status

    def test_five_seconds_without_progress_is_stuck(self) -> None:
        self.see(300, 500, 0)
        self.assertIs(Status.MOVING, self.see(300, 500, 4.9))
        self.assertIs(Status.STUCK, self.see(300, 500, 0.1))
        self.assertFalse(self.state.cooperates)

    def test_twenty_seconds_without_progress_is_uncooperative(self) -> None:
        self.see(300, 500, 0)
        self.assertIs(Status.UNCOOPERATIVE, self.see(300, 500, 20))

    def test_a_stuck_guest_that_moves_again_is_forgiven(self) -> None:
        self.see(300, 500, 0)
        self.see(300, 500, 6)
        self.assertIs(Status.MOVING, self.see(300, 450, 1))

    def test_new_targets_buy_a_stuck_guest_no_patience(self) -> None:
        self.see(300, 500, 0)
        self.see(300, 500, 10)
        self.see(290, 500, 5)
        self.assertIs(Status.UNCOOPERATIVE, self.see(280, 500, 5))

    def test_a_target_that_changes_all_the_time_buys_none_either(self):
        for target_mib in range(300, 295, -1):
            self.assertIs(Status.MOVING, self.see(target_mib, 500, 1))
        self.assertIs(Status.STUCK, self.see(295, 500, 1))
        for target_mib in range(294, 280, -1):
            self.see(target_mib, 500, 1)
        self.assertIs(Status.UNCOOPERATIVE, self.see(280, 500, 1))

    def test_who_moves_slowly_after_a_changing_target_is_not_stuck(self):
        # 0.5 MiB each second, and another target each second
        for step in range(20):
            self.now_s += 1
            self.state = progress.advance(
                self.state,
                (300 - step) * MIB,
                500 * MIB - step * MIB // 2,
                self.now_s,
                SETTINGS,
            )
            self.assertIs(Status.MOVING, self.state.status)

    def test_who_comes_back_slowly_has_no_offset(self) -> None:
        # It rested at its target, lost memory by itself, and takes it back
        self.see(500, 500, 1)
        for actual_mib in range(420, 494, 5):
            self.see(500, actual_mib, 1)
        self.assertEqual(0, self.state.offset_kib)
        self.assertIs(Status.MOVING, self.state.status)

    def test_who_comes_by_on_its_way_back_has_no_offset(self) -> None:
        # Given one that is asked for a little more, and that first yields a
        # lot: somebody else had asked it, and our call takes its time
        self.see(505, 500, 0)
        self.see(505, 480, 1)
        self.see(505, 460, 1)
        # When it comes by where it was, then it doesn't rest there
        self.see(505, 500, 0.4)
        self.assertEqual(0, self.state.offset_kib)
        self.see(505, 500, 1)
        self.assertEqual(0, self.state.offset_kib)
        # When it stays there, then it does
        self.see(505, 500, 1)
        self.assertEqual(-5 * MIB, self.state.offset_kib)

    def test_a_target_that_comes_near_is_no_offset(self) -> None:
        # It stalled for a while, and then its target came to where it is
        self.see(300, 500, 0)
        self.see(300, 500, 4)
        self.see(494, 500, 1)
        self.assertEqual(0, self.state.offset_kib)

    def test_who_was_found_far_from_its_target_is_watched(self) -> None:
        self.state = progress.start(300 * MIB, 500 * MIB, 0.0)
        self.assertIs(Status.MOVING, self.see(300, 500, 1))
        self.assertIs(Status.STUCK, self.see(300, 500, 5))

    def test_giving_up_its_target_does_not_make_it_cooperative(self) -> None:
        self.see(300, 500, 0)
        self.see(300, 500, 20)
        self.assertIs(Status.UNCOOPERATIVE, self.see(500, 500, 1))

    def test_what_it_moves_by_itself_is_no_obedience(self) -> None:
        # Given a guest that rests 6 MiB below its targets
        for _ in range(3):
            self.see(500, 494, 2)
        self.assertEqual(-6 * MIB, self.state.offset_kib)
        # When it doesn't follow the next one, and may keep what it has
        for _ in range(4):
            status = self.see(600, 494, 7)
        self.assertIs(Status.UNCOOPERATIVE, status)
        self.see(494, 494, 1)
        # Then it isn't forgiven for a little that it moves by itself
        self.assertIs(Status.UNCOOPERATIVE, self.see(494, 491, 1))

    def test_where_it_was_left_is_no_offset(self) -> None:
        # Given a guest that was given up and may keep what it has
        for _ in range(4):
            status = self.see(300, 500, 7)
        self.assertIs(Status.UNCOOPERATIVE, status)
        self.see(500, 500, 1)
        # When it moves a little all the same, for long
        for _ in range(4):
            status = self.see(500, 505, 2)
        # Then nothing is learnt of it until it is tried again
        self.assertIs(Status.UNCOOPERATIVE, status)
        self.assertEqual(0, self.state.offset_kib)

    def test_keeping_what_it_has_is_no_trial(self) -> None:
        # Given one that was given up when it couldn't be told so
        self.see(300, 500, 0)
        self.see(300, 500, 20)
        # When it is told after its back-off to keep what it has
        self.see(300, 500, 100)
        self.see(500, 500, 1)
        # Then that isn't counted as following: the next delay is longer
        self.see(300, 500, 0)
        self.see(300, 500, 20)
        self.assertEqual(2, self.state.failures)

    def test_it_is_tried_again_with_growing_delays(self) -> None:
        for delay_s in (60, 120, 240):
            self.see(300, 500, 0)
            self.assertIs(Status.UNCOOPERATIVE, self.see(300, 500, 20))
            self.see(500, 500, delay_s - 1)
            self.assertIs(Status.UNCOOPERATIVE, self.state.status)
            self.assertIs(Status.SETTLED, self.see(500, 500, 1))

    def test_success_resets_the_delays(self) -> None:
        self.see(300, 500, 0)
        self.see(300, 500, 20)
        self.see(500, 500, 60)
        self.see(400, 450, 1)
        self.see(400, 400, 1)
        self.assertEqual(0, self.state.failures)

    def test_a_constant_offset_is_learnt_not_punished(self) -> None:
        self.see(300, 400, 1)
        self.see(300, 296, 1)
        self.assertIs(Status.SETTLED, self.see(300, 296, 2))
        self.assertEqual(-4 * MIB, self.state.offset_kib)
        self.see(400, 350, 1)
        self.assertIs(Status.SETTLED, self.see(400, 396, 1))

    def test_a_guest_far_from_its_target_is_no_offset(self) -> None:
        self.see(300, 320, 0)
        self.assertIs(Status.UNCOOPERATIVE, self.see(300, 320, 20))
