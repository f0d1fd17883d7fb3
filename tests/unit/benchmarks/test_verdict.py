# SPDX-License-Identifier: Apache-2.0
"""Where ours is not the best, the benchmark of balancers says so."""

import argparse
import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from benchmarks.balancer import __main__ as benchmark
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


def drawn(ours: float, best: float) -> dict[str, measure.Run]:
    """Give one draw in which guests were short for so many seconds."""
    short_s = dict.fromkeys(OTHERS, best) | {OURS: ours}
    return {
        policy: measure.Run(figures(seconds, seconds), [(0.0, 0.0)])
        for policy, seconds in short_s.items()
    }


class DrawsTest(unittest.TestCase):
    def run_it(self, *arguments: str) -> tuple[int, list[str]]:
        said = io.StringIO()
        with tempfile.TemporaryDirectory() as directory:
            plot = str(Path(directory) / "picture.png")
            with (
                mock.patch("sys.argv", ["b", "--plot", plot, *arguments]),
                contextlib.redirect_stdout(said),
                contextlib.redirect_stderr(said),
            ):
                return benchmark.main(), said.getvalue().splitlines()

    def judged(self, *draws: dict[str, measure.Run]) -> tuple[int, list[str]]:
        played = mock.patch.object(
            benchmark, "played", return_value=[("bursts", list(draws))]
        )
        with played:
            return self.run_it("--seed", "7")

    def test_figures_are_those_of_all_draws(self) -> None:
        code, said = self.judged(drawn(10, 30), drawn(20, 40))
        self.assertEqual(0, code)
        result = json.loads(said[-1].removeprefix("RESULT "))
        self.assertEqual(30, result[OURS]["short_guest_s"])
        self.assertEqual(70, result[OTHERS[0]]["short_guest_s"])
        self.assertFalse([line for line in said if "ehind" in line])

    def test_bad_luck_in_one_draw_is_told_and_does_not_decide(self) -> None:
        code, said = self.judged(drawn(10, 30), drawn(20, 15))
        self.assertEqual(0, code)
        unlucky = [line for line in said if line.startswith("Behind in a")]
        self.assertEqual(2, len(unlucky))
        self.assertIn("bursts of seed 8: short_guest_s 20", unlucky[0])
        self.assertFalse([line for line in said if "not the best" in line])

    def test_behind_in_the_sum_is_a_failure(self) -> None:
        code, said = self.judged(drawn(10, 30), drawn(40, 15))
        self.assertEqual(1, code)
        self.assertTrue([line for line in said if "not the best" in line])

    def test_each_scenario_is_drawn_from_seeds_that_follow(self) -> None:
        options = argparse.Namespace(
            seed=3, draws=2, trace=Path("x.npz"), only=["sizes", "trace-kin"]
        )
        here = mock.patch.object(
            benchmark.concurrent.futures,
            "ProcessPoolExecutor",
            benchmark.concurrent.futures.ThreadPoolExecutor,
        )
        told = mock.patch.object(
            benchmark, "play", side_effect=lambda order: order.seed
        )
        with here, told:
            played = list(benchmark.played(options))
        self.assertEqual([("sizes", [3, 4]), ("trace-kin", [3, 4])], played)

    def test_another_seed_draws_another_scenario(self) -> None:
        wants = [
            benchmark.Order("sizes", seed, None).scenario().guests[0].course
            for seed in (1, 1, 2)
        ]
        self.assertEqual(wants[0], wants[1])
        self.assertNotEqual(wants[0], wants[2])

    def test_none_is_no_number_of_draws(self) -> None:
        with self.assertRaises(SystemExit):
            self.run_it("--draws", "0")
