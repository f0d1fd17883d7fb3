# SPDX-License-Identifier: Apache-2.0
"""What a predictor is told of a host's past."""

import unittest

import numpy as np

from nova_xen_overcommit.policy.predictors import GuestPast
from nova_xen_overcommit.whatif.arrays import Ints
from nova_xen_overcommit.whatif.history import History

NOBODY = np.array([], dtype=np.int64)


def figures(*values: int) -> Ints:
    return np.array(values, dtype=np.int64)


class HistoryTest(unittest.TestCase):
    def setUp(self) -> None:
        # Given a window of four steps
        self.history = History(
            figures(100, 200, 300),
            steps=10,
            step_s=300.0,
            begin_s=1_000_000.0,
            history_s=1200.0,
        )

    def add(self, step: int, who: Ints, demand: Ints) -> None:
        self.history.add(step, who, demand, NOBODY)

    def test_sums_are_of_those_asked_for_only(self) -> None:
        self.add(0, figures(0, 1), figures(10, 20))
        self.add(1, figures(0, 1), figures(30, 5))
        both = self.history.past(figures(0, 1), 1)
        self.assertEqual([30, 35], both.sum_kib)
        self.assertEqual([20, 5], self.history.past(figures(1), 1).sum_kib)
        self.assertEqual((300.0, 1_000_600.0), (both.step_s, both.end_s))
        self.assertEqual(
            [GuestPast(100, 2, 30), GuestPast(200, 2, 20)], both.guests
        )

    def test_before_it_came_a_guest_counts_with_its_highest(self) -> None:
        self.add(0, figures(0), figures(10))
        self.add(1, figures(0, 1), figures(10, 20))
        self.add(2, figures(0, 1), figures(10, 50))
        past = self.history.past(figures(0, 1), 2)
        self.assertEqual([60, 30, 60], past.sum_kib)
        self.assertEqual([3, 2], [one.known_steps for one in past.guests])

    def test_nothing_is_told_of_steps_before_anyone_came(self) -> None:
        self.add(2, figures(2), figures(70))
        self.assertEqual([70], self.history.past(figures(2), 2).sum_kib)

    def test_who_is_silent_counts_with_its_highest_so_far(self) -> None:
        self.add(0, figures(0), figures(40))
        self.add(1, figures(0), figures(10))
        self.history.add(2, NOBODY, NOBODY, figures(0))
        self.add(3, figures(0), figures(90))
        past = self.history.past(figures(0), 3)
        self.assertEqual([40, 10, 40, 90], past.sum_kib)

    def test_what_is_older_than_the_window_is_forgotten(self) -> None:
        for step, demand in enumerate((99, 1, 2, 3, 4)):
            self.add(step, figures(0), figures(demand))
        past = self.history.past(figures(0), 4)
        self.assertEqual([1, 2, 3, 4], past.sum_kib)
        self.assertEqual([GuestPast(100, 4, 4)], past.guests)

    def test_a_host_without_known_guests_has_no_past(self) -> None:
        past = self.history.past(NOBODY, 3)
        self.assertEqual(([], []), (past.sum_kib, past.guests))
