# SPDX-License-Identifier: Apache-2.0
"""Demand from pass to pass: steps, clocks, and what a new agent knows."""

import unittest

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.agent.history import DemandHistory, Seen, demand
from nova_xen_overcommit.agent.history import steps as lengths
from nova_xen_overcommit.agent.history.past import Past
from nova_xen_overcommit.agent.history.records import GuestStep, HostStep
from nova_xen_overcommit.policy.predictors import GuestPast

HOUR = 3600
# A round time, at which a step begins.
NOON = 1_800_000_000 // 300 * 300


class Shelf:
    """A store without a disk; ``answer`` is what a reader would find."""

    def __init__(self, answer: Past | None = None) -> None:
        self.answer = answer
        self.steps: list[HostStep] = []
        self.closed = False

    def loaded(self) -> Past | None:
        answer, self.answer = self.answer, None
        return answer

    def put(self, step: HostStep) -> None:
        self.steps.append(step)

    def close(self) -> None:
        self.closed = True


class LengthTest(unittest.TestCase):
    def test_steps_are_five_minutes_and_shorter_for_demonstrations(self):
        for history_s, length_s, count in (
            (7 * 86400, 300, 2016),
            (HOUR, 300, 12),
            (600, 50, 12),
            (60, 5, 12),
        ):
            with self.subTest(history_s=history_s):
                self.assertEqual(length_s, lengths.length_s(history_s))
                self.assertEqual(count, lengths.most(history_s))


class HistoryTest(unittest.TestCase):
    def setUp(self) -> None:
        self.now_s = 50.0
        self.wall_s = float(NOON)
        self.shelf = Shelf(Past(11))
        self.history = DemandHistory(HOUR, self.shelf)

    def add(self, in_full: bool = False, **demands_kib: int) -> None:
        """One pass; 0 KiB for a guest that is silent."""
        seen = {
            uuid: Seen(100, kib, kib // 2, in_full)
            for uuid, kib in demands_kib.items()
        }
        self.history.add(seen, self.now_s, self.wall_s)

    def wait(self, seconds: float, clock_set_s: float = 0) -> None:
        self.now_s += seconds
        self.wall_s += seconds + clock_set_s

    def sums(self, uuids: str) -> list[int]:
        return list(self.history.past(dict.fromkeys(uuids, 100)).sum_kib)

    def times(self) -> list[int]:
        return [step.time_s - NOON for step in self.shelf.steps]


class StepsTest(HistoryTest):
    def test_the_highest_of_each_step_is_kept(self) -> None:
        for seconds, kib in ((0, 5), (200, 9), (100, 2), (299, 3)):
            self.wait(seconds)
            self.add(a=kib)
        self.assertEqual([9, 3], self.sums("a"))

    def test_a_step_is_written_when_it_ends(self) -> None:
        self.add(a=5, b=1)
        self.add(a=4, b=3)
        self.assertEqual([], self.shelf.steps)
        self.wait(300)
        self.add(a=1)
        guests = [GuestStep("a", 100, 5, 2), GuestStep("b", 100, 3, 1)]
        self.assertEqual([HostStep(NOON, 300, 7, guests)], self.shelf.steps)

    def test_the_first_step_ends_as_the_wall_clock_says(self) -> None:
        self.wall_s += 290
        self.add(a=5)
        self.wait(10)
        self.add(a=1)
        self.assertEqual([5, 1], self.sums("a"))
        self.assertEqual([0], self.times())

    def test_a_past_ends_with_its_open_step(self) -> None:
        self.wait(310)
        self.add(a=5)
        past = self.history.past({"a": 100, "stranger": 100})
        self.assertEqual((300, NOON + 600), (past.step_s, past.end_s))
        self.assertEqual([GuestPast(100, 1, 5)], past.guests)

    def test_what_a_guest_needs_to_boot_is_no_history(self) -> None:
        self.add(in_full=True, a=90)
        self.assertEqual([], self.history.past({"a": 100}).sum_kib[:-1])
        self.wait(300)
        self.add(a=5)
        self.assertEqual([5], self.sums("a"))
        # But what it used is kept for who wants to see it
        self.assertEqual([("a", 100, 0, 45)], self.shelf.steps[0].guests)

    def test_a_known_guest_that_boots_needs_no_more_than_before(self):
        self.add(a=5, b=5)
        self.wait(300)
        self.add(in_full=True, a=90, b=2)
        self.wait(300)
        self.add(a=1, b=1)
        self.assertEqual([10, 7, 2], self.sums("ab"))

    def test_a_guest_that_falls_silent_in_a_step_is_in_its_sum(self) -> None:
        self.add(a=5)
        self.add(a=0, b=6)
        self.wait(300)
        self.add(a=1, b=1)
        self.assertEqual([11, 2], self.sums("ab"))

    def test_passes_that_stopped_are_steps_nobody_watched(self) -> None:
        self.add(a=5, b=1)
        self.wait(300)
        self.add(a=1, b=5)
        self.wait(900)
        self.add(a=1, b=1)
        self.assertEqual([6, 6, 6, 6, 2], self.sums("ab"))
        self.assertEqual(3, self.history.past({"a": 1}).guests[0].known_steps)

    def test_the_last_step_is_written_at_the_end(self) -> None:
        self.add(a=5)
        self.history.close()
        self.assertEqual([0], self.times())
        self.assertTrue(self.shelf.closed)

    def test_without_a_store_it_is_only_not_kept(self) -> None:
        self.history = DemandHistory(HOUR)
        self.add(a=5)
        self.wait(300)
        self.add(a=1)
        self.history.close()
        self.assertEqual([5, 1], self.sums("a"))


class ClockTest(HistoryTest):
    def test_set_forth_it_only_changes_labels(self) -> None:
        self.add(a=5)
        self.wait(100, clock_set_s=10 * HOUR)
        self.add(a=6)
        self.assertEqual([6], self.sums("a"))
        self.wait(200)
        self.add(a=1)
        self.assertEqual([6, 1], self.sums("a"))
        self.wait(300)
        self.add(a=1)
        self.assertEqual([0, 10 * HOUR + 300], self.times())

    def test_set_back_it_does_too(self) -> None:
        self.add(a=5)
        self.wait(300, clock_set_s=-HOUR)
        self.add(a=4)
        self.wait(300)
        self.add(a=3)
        self.assertEqual([5, 4, 3], self.sums("a"))
        self.assertEqual([0, 300 - HOUR], self.times())
        past = self.history.past({"a": 100})
        self.assertEqual(NOON + 900 - HOUR, past.end_s)

    @given(
        st.lists(
            st.tuples(
                st.floats(0, 2000),
                st.floats(-1e13, 1e13),
                st.integers(0, 10),
            ),
            max_size=20,
        )
    )
    def test_no_clock_does_harm(self, moments) -> None:
        self.setUp()
        for later_s, wall_s, kib in moments:
            # However the wall clock jumps
            self.now_s += later_s
            self.wall_s = wall_s
            self.add(a=kib)
            # Then what is needed is there, and every step can be written
            sums = self.sums("a")
            self.assertLessEqual(len(sums), 12)
            self.assertTrue(not kib or sums[-1] >= kib)
        for step in self.shelf.steps:
            self.assertTrue(0 <= step.time_s <= 2**32 - 1)


class TakeOverTest(HistoryTest):
    def loaded(self) -> Past:
        """A past of two steps, and 7 KiB so far in the open one."""
        past = Past(11)
        for kib, closed in ((5, True), (6, True), (7, False)):
            past.guest("a").note(100, kib, kib)
            past.open_kib = kib
            if closed:
                past.close()
        return past

    def test_what_the_last_agent_knew_comes_first(self) -> None:
        self.shelf.answer = self.loaded()
        self.add(a=3)
        self.assertEqual([5, 6, 7], self.sums("a"))

    def test_the_first_step_waits_for_it(self) -> None:
        # Given a disk that is slow, and a step that is soon over
        self.shelf.answer = None
        self.wall_s += 299
        self.add(a=9)
        self.wait(30)
        self.add(a=3)
        # When the history comes at last
        self.shelf.answer = self.loaded()
        self.add(a=3)
        # Then nothing of either was lost
        self.assertEqual([5, 6, 9, 3], self.sums("a"))

    def test_a_short_step_that_waits_long_is_not_one_nobody_watched(self):
        # Given steps of five seconds
        self.shelf.answer = None
        self.history = DemandHistory(60, self.shelf)
        for _ in range(40):
            self.add(a=9)
            self.wait(1)
        self.shelf.answer = Past(11)
        self.add(a=3)
        self.assertEqual([9, 3], self.sums("a"))

    def test_one_that_never_comes_is_left_behind(self) -> None:
        self.shelf.answer = None
        self.add(a=9)
        self.wait(61)
        with self.assertLogs(demand.LOG, "WARNING") as logs:
            self.add(a=3)
        self.assertIn("can't be read", logs.output[0])
        self.wait(300)
        self.add(a=3)
        self.shelf.answer = self.loaded()
        self.add(a=3)
        self.assertEqual([9, 3], self.sums("a"))
