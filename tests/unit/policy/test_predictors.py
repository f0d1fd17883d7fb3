# SPDX-License-Identifier: Apache-2.0
"""The classic predictors."""

import unittest
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.policy import predictors


def past_of(sum_kib: Sequence[int]) -> predictors.HostPast:
    return predictors.HostPast(300.0, 0.0, sum_kib, ())


class PredictorsTest(unittest.TestCase):
    def test_recent_max_adds_its_margin(self) -> None:
        self.assertEqual(
            250, predictors.RecentMax(0.25).peak_kib(past_of([100, 200, 150]))
        )

    def test_percentile_is_of_the_nearest_rank(self) -> None:
        history = list(range(1, 101))
        self.assertEqual(
            99, predictors.Percentile(99, 0.0).peak_kib(past_of(history))
        )

    def test_n_sigma(self) -> None:
        self.assertEqual(
            2 + 3, predictors.NSigma(3.0).peak_kib(past_of([1, 3]))
        )

    def test_the_largest_of_all_counts(self) -> None:
        history = [100] * 50 + [300]
        largest = max(
            one.peak_kib(past_of(history))
            for one in (
                predictors.RecentMax(),
                predictors.Percentile(),
                predictors.NSigma(),
            )
        )
        self.assertEqual(
            largest, predictors.MaxOf().peak_kib(past_of(history))
        )

    def test_no_history_is_no_peak(self) -> None:
        self.assertEqual(0, predictors.MaxOf().peak_kib(past_of([])))

    @given(st.lists(st.integers(0, 2**40), min_size=1))
    def test_the_default_never_foretells_less_than_was_seen(self, history):
        self.assertGreaterEqual(
            predictors.MaxOf().peak_kib(past_of(history)), max(history)
        )
