# SPDX-License-Identifier: Apache-2.0
"""The guests' past, against a plain model of it."""

import unittest

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.agent.history import past
from nova_xen_overcommit.policy.predictors import GuestPast

STEPS = 8
UUIDS = "abcd"
Step = dict[str, int]
# What each guest needs in a step: so much, or nobody knows.
NEEDS = st.dictionaries(st.sampled_from(UUIDS), st.integers(1, 9))


def values(steps: list[Step], uuid: str) -> list[int]:
    """Give what a guest counts with since it is known."""
    counted: list[int] = []
    for step in steps:
        if uuid in step or counted:
            counted.append(step.get(uuid) or max(counted))
    return counted


def expected(steps: list[Step], uuids: set[str]) -> list[int]:
    """Give the sums by the words of the docstring."""
    known = [v for uuid in uuids if (v := values(steps, uuid))]
    count = max(map(len, known), default=0)
    whole = [[max(v)] * (count - len(v)) + v for v in known]
    sums = [sum(column) for column in zip(*whole, strict=True)]
    lost = [
        sum(1 for u in UUIDS if values(steps[:at], u) and u not in step)
        for at, step in enumerate(steps)
    ]
    seen = [len(step) >= gone for step, gone in zip(steps, lost, strict=True)][
        len(steps) - count :
    ]
    most = max(
        (s for s, was in zip(sums, seen, strict=True) if was), default=0
    )
    return [
        total if was or not most else most
        for total, was in zip(sums, seen, strict=True)
    ]


def note(made: past.Past, step: Step, present: str = UUIDS) -> None:
    """Let guests need their most, all at one moment."""
    for uuid in present:
        kib = step.get(uuid, 0)
        made.guest(uuid).note(100, kib, kib)
    made.open_kib = max(made.open_kib, sum(step.values()))


def played(*steps: Step, present: str = UUIDS) -> past.Past:
    made = past.Past(STEPS)
    for step in steps:
        note(made, step, present)
        made.close()
    return made


def sums(made: past.Past, uuids: str) -> list[int]:
    """Give the sums of the closed steps."""
    return made.sums(dict.fromkeys(uuids))[:-1]


class SumsTest(unittest.TestCase):
    @given(
        st.lists(NEEDS, max_size=STEPS),
        st.lists(st.sets(st.sampled_from(UUIDS)), max_size=4),
    )
    def test_they_are_those_of_the_model(self, steps, asked) -> None:
        # Given a past that is asked for some guests, then for others
        made = played(*steps)
        for uuids in asked:
            told = sums(made, "".join(sorted(uuids)))
            # Then it always tells what a plain sum over all steps does
            self.assertEqual(expected(steps, uuids), told)

    def test_a_younger_guest_counts_with_its_highest_before(self) -> None:
        made = played({"a": 5}, {"a": 5, "b": 7}, {"a": 5, "b": 3})
        self.assertEqual([12, 12, 8], sums(made, "ab"))

    def test_a_peak_to_come_counts_before_its_time_too(self) -> None:
        made = played({"a": 5}, {"a": 5, "b": 3})
        note(made, {"a": 5, "b": 9})
        self.assertEqual([14, 8, 14], made.sums(dict.fromkeys("ab")))

    def test_who_is_silent_counts_with_its_highest(self) -> None:
        made = played({"a": 5, "b": 1}, {"a": 2, "b": 1}, {"b": 1})
        self.assertEqual([6, 3, 6], sums(made, "ab"))

    def test_no_sum_is_more_than_was_needed_at_one_moment(self) -> None:
        # Given two guests that took turns in one step
        made = past.Past(STEPS)
        for step in ({"a": 9, "b": 1}, {"a": 1, "b": 9}):
            note(made, step)
        made.close()
        # Then the step is no sum of two peaks
        self.assertEqual([10], sums(made, "ab"))
        self.assertEqual([9], sums(made, "a"))

    def test_a_step_nobody_watched_counts_with_the_highest_sum(self) -> None:
        # Given guests whose peaks never came together
        made = played({"a": 9, "b": 1}, {"a": 1, "b": 9})
        # When the agent was away for two steps, and back
        made.skip(2)
        note(made, {"a": 1, "b": 1})
        made.close()
        # Then those are neither calm nor the sum of both peaks
        self.assertEqual([10, 10, 10, 10, 2], sums(made, "ab"))

    def test_a_step_without_any_sensor_is_such_a_step(self) -> None:
        made = played({"a": 9, "b": 1}, {"a": 1, "b": 9}, {})
        self.assertEqual([10, 10, 10], sums(made, "ab"))

    def test_the_oldest_steps_are_dropped(self) -> None:
        made = played(*({"a": 100 - step} for step in range(STEPS + 3)))
        self.assertEqual([97 - step for step in range(STEPS)], sums(made, "a"))
        told = made.told("a", 100)
        self.assertEqual(GuestPast(100, STEPS, 97), told)

    def test_nobody_has_no_past(self) -> None:
        made = played({"a": 1})
        self.assertEqual([], made.sums({}))
        self.assertEqual([], made.sums({"stranger": None}))
        self.assertIsNone(made.told("stranger", 1))

    def test_many_that_come_at_once_count_in_full_measure(self) -> None:
        # Given more guests than are added up in one go
        made = past.Past(STEPS)
        uuids = [str(number) for number in range(200)]
        for kib in (3, 1):
            for uuid in uuids:
                made.guest(uuid).note(100, kib, kib)
            made.open_kib = 200 * kib
            made.close()
        # When their sum is asked for again and again
        told = [made.sums(dict.fromkeys(uuids))[:-1] for _ in range(5)]
        # Then it is never too low, and exact in the end
        self.assertEqual([600, 600 - 2 * 64], told[0])
        self.assertEqual([600, 200], told[-1])
        # And the same holds when most of them leave
        self.assertEqual([30, 10], sums(made, "0123456789"))


class GuestsTest(unittest.TestCase):
    def test_steps_without_the_agent_are_not_known_ones(self) -> None:
        made = played({"a": 5}, {"a": 5})
        made.skip(3)
        note(made, {"a": 6})
        self.assertEqual(GuestPast(100, 3, 6), made.told("a", 100))

    def test_who_is_back_soon_is_known(self) -> None:
        made = played({"a": 5, "b": 2}, {"a": 4})
        for _ in range(12):
            note(made, {"a": 5}, present="a")
            made.close()
        self.assertEqual([7] * STEPS, sums(made, "ab"))

    def test_who_is_gone_for_long_is_forgotten(self) -> None:
        made = played({"a": 5, "b": 2})
        self.assertEqual([7], sums(made, "ab"))
        for _ in range(13):
            note(made, {"a": 5}, present="a")
            made.close()
        self.assertEqual(["a"], list(made.guests))
        self.assertEqual([5] * STEPS, sums(made, "ab"))

    def test_after_more_than_a_window_nothing_is_known(self) -> None:
        made = played({"a": 5})
        made.skip(STEPS)
        self.assertEqual([], sums(made, "a"))

    def test_no_demand_is_too_large(self) -> None:
        made = played({"a": 2**40})
        self.assertEqual([2**32 - 1], sums(made, "a"))
