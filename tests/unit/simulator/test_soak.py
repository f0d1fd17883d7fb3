# SPDX-License-Identifier: Apache-2.0
"""A slice of the soak, and that it can be played again."""

import contextlib
import io
import logging
import unittest
from unittest import mock

from benchmarks.soak import __main__ as soak
from benchmarks.soak import run
from nova_xen_overcommit.agent.starts import StartDesk
from tests.simulator import chaos

_PASSES = 20_000


class SliceTest(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(logging.disable, logging.NOTSET)

    def test_no_rule_is_broken(self) -> None:
        passes = calls = 0
        kinds: set[str] = set()
        for order in run.orders(seed=20, passes=_PASSES):
            outcome = run.play(order)
            self.assertEqual([], list(outcome.broken), order)
            passes, calls = passes + outcome.passes, calls + outcome.calls
            kinds |= outcome.faults.keys()
        # Then all was tried, and the balancer wasn't idle
        self.assertEqual(_PASSES, passes)
        self.assertGreater(calls, _PASSES // 100)
        self.assertEqual(set(chaos.KINDS), kinds)

    def test_the_same_world_again(self) -> None:
        order = run.Order(seed=3, world=5, passes=100)
        self.assertEqual(run.play(order), run.play(order))


class CommandTest(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(logging.disable, logging.NOTSET)

    def soak(self, *arguments: str) -> tuple[int, str]:
        said = io.StringIO()
        with (
            mock.patch("sys.argv", ["soak", *arguments]),
            contextlib.redirect_stdout(said),
        ):
            return soak.main(), said.getvalue()

    def test_worlds_have_as_many_passes_as_asked_for(self) -> None:
        orders = list(run.orders(seed=1, passes=5000))
        self.assertEqual(5000, sum(order.passes for order in orders))

    def test_it_ends_with_a_result(self) -> None:
        code, said = self.soak("--passes", "200", "--workers", "1")
        self.assertEqual(0, code)
        last = said.splitlines()[-1]
        self.assertTrue(last.startswith('RESULT {"passes": 200, "viol'), last)

    def test_a_world_that_fails_is_named(self) -> None:
        # Given a simulator with a mistake
        off = mock.patch.object(chaos.Chaos, "step", side_effect=KeyError("x"))
        with off:
            code, said = self.soak("--world", "7")
        self.assertEqual(1, code)
        self.assertIn("KeyError: 'x'", said)
        self.assertIn("make soak SEED=1 WORLD=7", said)

    def test_what_is_broken_can_be_played_again(self) -> None:
        # Given a balancer that grants starts whatever their floors sum up to
        fits = mock.patch.object(StartDesk, "_floors_fit", return_value=True)
        with fits:
            broken = next(
                outcome
                for outcome in map(run.play, run.orders(1, 50_000))
                if outcome.broken
            )
            # When that world is asked for
            code, said = self.soak("--world", str(broken.order.world))
        # Then the same rule is broken in it
        self.assertEqual(1, code)
        self.assertIn(f"BROKEN {broken.broken[0]}", said)
        again = f"make soak SEED=1 WORLD={broken.order.world}"
        self.assertIn(again, said)
