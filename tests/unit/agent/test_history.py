# SPDX-License-Identifier: Apache-2.0
"""Demand over time."""

import unittest

from nova_xen_overcommit.agent.history import STEPS, DemandHistory
from nova_xen_overcommit.policy.predictors import GuestPast


class HistoryTest(unittest.TestCase):
    def setUp(self) -> None:
        self.history = DemandHistory(history_s=10 * STEPS)

    def add(self, demands_kib: dict[str, int], now_s: float) -> None:
        self.history.add(demands_kib, demands_kib.keys(), now_s)

    def summed(self, *uuids: str) -> list[int]:
        return list(self.past(*uuids).sum_kib)

    def past(self, *uuids: str, now_s: float = 0, wall_s: float = 0):
        return self.history.past(dict.fromkeys(uuids, 100), now_s, wall_s)

    def test_the_highest_of_each_step_is_kept(self) -> None:
        self.add({"a": 5}, 0)
        self.add({"a": 9}, 5)
        self.add({"a": 2}, 10)
        self.assertEqual([9, 2], self.summed("a"))

    def test_guests_are_summed_step_by_step(self) -> None:
        self.add({"a": 5, "b": 1}, 0)
        self.add({"a": 2, "b": 7}, 10)
        self.assertEqual([6, 9], self.summed("a", "b"))

    def test_a_younger_guest_counts_with_its_highest_before(self) -> None:
        self.add({"a": 5}, 0)
        self.add({"a": 5, "b": 7}, 10)
        self.add({"a": 5, "b": 3}, 20)
        self.assertEqual([12, 12, 8], self.summed("a", "b"))

    def test_who_has_left_is_forgotten(self) -> None:
        self.add({"a": 5, "b": 1}, 0)
        self.add({"b": 1}, 10)
        self.assertEqual([], self.summed("a"))

    def test_who_is_silent_for_a_while_is_not(self) -> None:
        self.add({"a": 5}, 0)
        self.history.add({}, ["a"], 10)
        self.assertEqual([5], self.summed("a"))

    def test_old_steps_are_dropped(self) -> None:
        for step in range(STEPS + 50):
            self.add({"a": step}, step * 10)
        summed = self.summed("a")
        self.assertEqual((STEPS, 50), (len(summed), summed[0]))

    def test_nobody_has_no_history(self) -> None:
        self.assertEqual([], self.summed())

    def test_each_guest_is_told_of(self) -> None:
        self.add({"a": 5}, 0)
        self.add({"a": 4, "b": 7}, 10)
        self.assertEqual(
            [GuestPast(100, 2, 5), GuestPast(100, 1, 7)],
            self.past("a", "b", "c").guests,
        )

    def test_the_newest_step_ends_by_the_wall_clock(self) -> None:
        self.add({"a": 5}, 20)
        self.assertEqual(1009, self.past("a", now_s=21, wall_s=1000).end_s)
