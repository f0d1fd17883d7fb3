# SPDX-License-Identifier: Apache-2.0
"""From steps on disk to a past in memory."""

import unittest

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.agent.history.past import Past
from nova_xen_overcommit.agent.history.records import GuestStep, HostStep
from nova_xen_overcommit.agent.history.replay import Replay

NOW = 1000


def step(number: int, length_s: int = 300, **needs: int) -> HostStep:
    """Give step ``number`` counted back from now, in steps of 300 s."""
    guests = [GuestStep(uuid, 100, kib, kib) for uuid, kib in needs.items()]
    return HostStep(
        (NOW - number) * 300, length_s, sum(needs.values()), guests
    )


def replayed(*steps: HostStep, most_steps: int = 8) -> Past:
    return Replay(most_steps, 300, NOW).run(steps)


def sums(past: Past, uuids: str = "a") -> list[int]:
    return past.sums(dict.fromkeys(uuids))


class ReplayTest(unittest.TestCase):
    def test_the_open_step_is_open_again(self) -> None:
        past = replayed(step(2, a=5), step(1, a=6), step(0, a=7))
        self.assertEqual([5, 6, 7], sums(past))
        past.guest("a").note(100, 9, 9)
        past.open_kib = 9
        self.assertEqual([5, 6, 9], sums(past))

    def test_a_step_written_in_two_parts_is_one(self) -> None:
        past = replayed(step(1, a=5), step(1, a=9), step(1, a=2), step(0, a=1))
        self.assertEqual([9, 1], sums(past))

    def test_what_nobody_wrote_was_not_watched(self) -> None:
        past = replayed(
            step(5, a=9, b=1), step(4, a=1, b=8), step(0, a=1, b=1)
        )
        self.assertEqual([10, 9, 10, 10, 10, 2], sums(past, "ab"))
        told = past.told("a", 100)
        assert told is not None
        self.assertEqual(3, told.known_steps)

    def test_what_was_written_in_full_measure_leaves_no_demand(self) -> None:
        past = replayed(step(1, a=0), step(0, a=5))
        self.assertEqual([5], sums(past))

    def test_longer_steps_count_in_all_that_they_touch(self) -> None:
        past = replayed(step(4, length_s=900, a=9), step(1, a=2), step(0, a=1))
        self.assertEqual([9, 9, 9, 2, 1], sums(past))

    def test_shorter_steps_count_with_the_highest(self) -> None:
        parts = [
            HostStep(
                NOW * 300 - 300 + at, 50, kib, [GuestStep("a", 9, kib, 1)]
            )
            for at, kib in ((0, 3), (50, 7), (250, 4))
        ]
        self.assertEqual([7, 1], sums(replayed(*parts, step(0, a=1))))

    def test_what_comes_later_than_now_is_left_out(self) -> None:
        past = replayed(step(1, a=5), step(-1000, a=90), step(0, a=1))
        self.assertEqual([5, 1], sums(past))

    def test_what_was_written_after_the_clock_was_set_back(self) -> None:
        past = replayed(step(2, a=5), step(4, a=9), step(1, a=2), step(0, a=1))
        self.assertEqual([9, 2, 1], sums(past))

    def test_what_is_older_than_the_window_is_left_out(self) -> None:
        past = replayed(
            step(20, a=90), step(8, a=5), step(7, a=4), step(0, a=1)
        )
        self.assertEqual([5, 4], sums(past)[:2])
        self.assertEqual(9, len(sums(past)))

    def test_nothing_is_a_past_too(self) -> None:
        self.assertEqual([], sums(replayed()))

    @given(
        st.lists(
            st.tuples(
                st.integers(-(2**20), 2**32 - 1),
                st.integers(0, 65535),
                st.integers(0, 2**32 - 1),
            ),
            max_size=10,
        )
    )
    def test_no_step_does_harm(self, steps) -> None:
        # Given steps of any time, length and size, in any order
        written = [
            HostStep(
                max(0, time_s), length_s, kib, [GuestStep("a", 9, kib, 1)]
            )
            for time_s, length_s, kib in steps
        ]
        # Then there is a past of no more steps than it may have
        told = sums(replayed(*written))
        self.assertLessEqual(len(told), 9)
        # And no demand that nobody had
        highest = max((kib for _, _, kib in steps), default=0)
        self.assertLessEqual(max(told, default=0), highest)
