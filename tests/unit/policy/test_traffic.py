# SPDX-License-Identifier: Apache-2.0
"""Disks' counters as rates."""

import unittest

from nova_xen_overcommit.policy import traffic
from nova_xen_overcommit.policy.traffic import DiskCounters, Rates


def watch(*looks: tuple[float, int], learns: bool = True) -> traffic.Traffic:
    """Give the traffic after files were read so far at these times."""
    (time_s, kib), *more = looks
    state = traffic.begun(DiskCounters(0, 0, kib), time_s)
    for time_s, kib in more:
        counters = DiskCounters(0, 0, kib)
        state, _unbroken = traffic.seen(state, counters, time_s, 90.0)
        state = state.closed(early=False, learns=learns)
    return state


class RatesTest(unittest.TestCase):
    def test_each_counter_has_its_rate(self) -> None:
        state = traffic.begun(DiskCounters(10, 20, 30), 0.0)
        state, _ = traffic.seen(state, DiskCounters(110, 220, 330), 4.0, 90.0)
        self.assertEqual(Rates(25.0, 50.0, 75.0), state.now())

    def test_a_short_burst_counts_over_a_whole_window(self) -> None:
        state = traffic.begun(DiskCounters(0, 0, 0), 0.0)
        state, _ = traffic.seen(state, DiskCounters(0, 0, 100), 0.2, 90.0)
        self.assertEqual(50.0, state.now().file_read)

    def test_a_window_ends_when_it_is_long_enough(self) -> None:
        self.assertIsNone(watch((0, 0), (1, 100)).rates)
        state = watch((0, 0), (1, 100), (3, 300), (4, 300))
        self.assertEqual(Rates(0.0, 0.0, 100.0), state.rates)
        self.assertEqual(0.0, state.now().file_read)

    def test_a_window_may_end_early(self) -> None:
        state = traffic.begun(DiskCounters(0, 0, 0), 0.0)
        state, _ = traffic.seen(state, DiskCounters(0, 0, 100), 0.5, 90.0)
        state = state.closed(early=True, learns=False)
        self.assertEqual((0.5, 200.0), (state.mark_s, state.rates.file_read))

    def test_breaks_are_told_and_begin_a_window(self) -> None:
        state = traffic.begun(DiskCounters(5, 5, 5), 0.0)
        for counters, time_s in (
            (DiskCounters(4, 5, 5), 1.0),
            (DiskCounters(5, 4, 5), 1.0),
            (DiskCounters(5, 5, 4), 1.0),
            (DiskCounters(9, 9, 9), 91.0),
        ):
            after, unbroken = traffic.seen(state, counters, time_s, 90.0)
            self.assertFalse(unbroken)
            self.assertEqual(Rates(0.0, 0.0, 0.0), after.now())
        _after, unbroken = traffic.seen(
            state, DiskCounters(9, 9, 9), 90.0, 90.0
        )
        self.assertTrue(unbroken)

    def test_one_look_after_a_pause_begins_anew_the_next_does_not(self):
        state = traffic.begun(DiskCounters(0, 0, 0), 0.0)
        state = traffic.begun_anew(state, 1.0)
        state, unbroken = traffic.seen(state, DiskCounters(0, 0, 9), 2.0, 90)
        self.assertFalse(unbroken)
        _state, unbroken = traffic.seen(state, DiskCounters(0, 0, 9), 3.0, 90)
        self.assertTrue(unbroken)


class UsualTest(unittest.TestCase):
    def test_the_first_rate_is_the_usual(self) -> None:
        self.assertEqual(50.0, watch((0, 0), (2, 100)).usual_kib_s)

    def test_it_falls_in_seconds_and_rises_in_minutes(self) -> None:
        # 1/15 of the way down in 2 s, 1/300 of the way up
        down = watch((0, 0), (2, 300), (4, 300))
        self.assertAlmostEqual(150.0 * 14 / 15, down.usual_kib_s)
        up = watch((0, 0), (2, 0), (4, 600))
        self.assertAlmostEqual(1.0, up.usual_kib_s)

    def test_it_is_only_learnt_when_told_to(self) -> None:
        self.assertIsNone(watch((0, 0), (2, 100), learns=False).usual_kib_s)
