# SPDX-License-Identifier: Apache-2.0
"""Where ours is not the best, the benchmark of balancers says so."""

import unittest

from benchmarks.balancer import measure
from benchmarks.balancer.__main__ import behind
from benchmarks.balancer.policies import OTHERS, OURS


def figures(short_guest_s: float, short_mib_s: float) -> measure.Figures:
    return measure.Figures(short_guest_s, short_mib_s, 0, 0, 0, 600, ())


class BehindTest(unittest.TestCase):
    def judge(self, ours: measure.Figures, **more) -> list[str]:
        found = {policy: figures(50, 5000) for policy in OTHERS}
        found[OTHERS[1]] = figures(10, 2000)
        found[OTHERS[2]] = figures(20, 1000)
        return behind("bursts", {OURS: ours, **found}, **more)

    def test_the_best_in_both_is_not_behind(self) -> None:
        self.assertEqual([], self.judge(figures(9, 999)))

    def test_each_shortage_has_a_best_of_its_own(self) -> None:
        self.assertEqual(
            [f"bursts: short_guest_s 11, {OTHERS[1]} 10"],
            self.judge(figures(11, 999)),
        )
        self.assertEqual(
            [f"bursts: short_mib_s 1,001, {OTHERS[2]} 1,000"],
            self.judge(figures(9, 1001)),
        )

    def test_as_good_as_the_best_is_not_ahead_of_it(self) -> None:
        self.assertEqual([], self.judge(figures(10, 1000)))
        self.assertEqual(2, len(self.judge(figures(10, 1000), ahead=True)))
