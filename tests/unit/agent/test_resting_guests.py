# SPDX-License-Identifier: Apache-2.0
"""Tests that a guest of which nothing is new is not judged differently.

A guest at rest is not judged again in each pass; these compare it with one
that is, step by step.
"""

import dataclasses
import functools
import unittest
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.agent.hypervisor.base import Domain
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy.floor import FloorRule
from nova_xen_overcommit.policy.limits import Limit
from nova_xen_overcommit.policy.sample import MemorySample
from tests.simulator import GIB, MIB
from tests.simulator.production import configured

_MAX_AGE_S = 10.0
_START_KIB = 600 * MIB
_COOL_DOWN_S = 5.0
_WARM_UP_S = 6.0
# What is remembered of a guest at rest only so that it isn't found anew.
_KEPT = ("_view", "_reckoning", "_reckoned_for")


@functools.cache
def _settings() -> Settings:
    return Settings.of(configured())


def found() -> TrackedGuest:
    domain = Domain("uuid", "guest", 1, GIB, _START_KIB, _START_KIB, 0)
    return TrackedGuest.found(domain, 0.0, FloorRule(0.25, False))


class Story:
    """What happens to a guest, told to two that remember it."""

    def __init__(self) -> None:
        self.settings = _settings()
        self.resting, self.judged = found(), found()
        self.domain = self.resting.domain
        self.sample: MemorySample | None = None
        self.readable = True
        self.now_s = 0.0
        self.rested = 0

    def spoke(self, used_mib: int, more_mib: int | None = None) -> None:
        """Let it say what it uses, and maybe what it wants itself."""
        total_kib = self.domain.actual_kib - 24 * MIB
        self.sample = MemorySample(
            time_s=self.now_s,
            max_age_s=_MAX_AGE_S,
            mem_total_kib=total_kib,
            mem_available_kib=max(0, total_kib - used_mib * MIB),
            self_more_kib=None if more_mib is None else more_mib * MIB,
        )

    def has(self, actual_mib: int) -> None:
        """Let its balloon be seen elsewhere."""
        self.domain = dataclasses.replace(
            self.domain, actual_kib=actual_mib * MIB
        )

    def is_busy(self, why: str) -> None:
        """Let something else be done to it, or no more."""
        self.domain = dataclasses.replace(self.domain, busy=why)

    def sensor_works(self, works: bool) -> None:
        """Let its sensor find its figures, or not."""
        self.readable = works

    def both(self, change) -> None:
        """Let the balancer do something to it."""
        change(self.resting)
        change(self.judged)

    def holds(self, reason: str) -> None:
        """Let a client want it left alone, or no more."""
        self.both(lambda guest: setattr(guest, "held", reason))

    def targets(self, target_mib: int) -> None:
        """Set its target; who gets more has a cool-down."""

        def move(guest: TrackedGuest) -> None:
            had_kib, guest.target_kib = guest.target_kib, target_mib * MIB
            if guest.target_kib > had_kib:
                guest.was_given(had_kib, _COOL_DOWN_S)

        self.both(move)

    def refuses(self, refused: bool) -> None:
        """Let the hypervisor answer a call for it."""
        self.both(lambda guest: guest.was_answered(refused=refused))

    def passes(self, seconds: float) -> None:
        """Do a pass after some seconds."""
        self.now_s += seconds
        sample = self.sample if self.readable else None
        self.rested += self.resting._rests(self.domain, sample)
        news = (self.domain, sample, self.now_s, self.settings)
        self.resting.refresh(*news)
        with mock.patch.object(TrackedGuest, "_rests", return_value=False):
            self.judged.refresh(*news)

    def differences(self) -> list[str]:
        """Name what is remembered, or planned with, differently."""
        pairs = {
            "planned": (self.resting.planned(), self.judged._viewed()),
            "reckoned": (
                self.resting.reckoned(_WARM_UP_S),
                self.judged._reckon(_WARM_UP_S),
            ),
        }
        differing = [name for name, (one, two) in pairs.items() if one != two]
        return differing + [
            field.name
            for field in dataclasses.fields(TrackedGuest)
            if field.name not in _KEPT
            and getattr(self.resting, field.name)
            != getattr(self.judged, field.name)
        ]


_EVENTS = st.one_of(
    st.tuples(st.just("passes"), st.sampled_from((0.0, 0.5, 4.0, 20.0))),
    st.tuples(
        st.just("spoke"),
        st.sampled_from((100, 400, 570)),
        st.sampled_from((None, None, None, -50)),
    ),
    st.tuples(st.just("has"), st.sampled_from((400, 599, 600, 700))),
    st.tuples(st.just("holds"), st.sampled_from(("", "snapshot"))),
    st.tuples(st.just("is_busy"), st.sampled_from(("", "paused"))),
    st.tuples(st.just("sensor_works"), st.booleans()),
    st.tuples(st.just("refuses"), st.booleans()),
    st.tuples(st.just("targets"), st.sampled_from((400, 600, 700))),
)


class RestingGuestTest(unittest.TestCase):
    @given(st.lists(_EVENTS, max_size=12))
    def test_it_is_as_one_that_is_judged_in_each_pass(self, events):
        # Given a guest, and any story of it
        story = Story()
        for name, *values in events:
            # When something happens, and passes come after it
            getattr(story, name)(*values)
            for _ in range(2):
                story.passes(0.25)
                # Then nobody could tell that it wasn't judged again
                self.assertEqual([], story.differences())

    def setUp(self):
        self.story = Story()
        self.story.passes(0.0)
        self.story.spoke(100)
        for _ in range(4):
            self.story.passes(1.0)

    def test_it_rests_when_nothing_is_new(self):
        # Given a guest that has spoken and was judged
        before = self.story.rested, self.story.resting.planned()
        # When nothing is new in the next pass
        self.story.passes(1.0)
        # Then it rests, and the planner sees the very same
        self.assertEqual(before[0] + 1, self.story.rested)
        self.assertIs(before[1], self.story.resting.planned())

    def test_it_is_not_reckoned_anew_once_it_is_warm(self):
        # Given a guest at rest whose warm-up isn't over
        guest = self.story.resting
        warming = guest.reckoned(_WARM_UP_S)
        self.assertEqual(GIB, warming.full_kib)
        # When it is, though nothing else is new
        self.story.spoke(100)
        self.story.passes(_WARM_UP_S)
        warm = guest.reckoned(_WARM_UP_S)
        # Then it counts with its demand, and that is found once
        self.assertEqual(0, warm.full_kib)
        self.story.passes(1.0)
        self.assertIs(warm, guest.reckoned(_WARM_UP_S))

    def test_what_is_refused_is_reckoned_at_once(self):
        # Given a guest at rest that could yield something
        guest = self.story.resting
        self.assertLess(0, guest.reckoned(0.0).reclaimable_kib)
        # When calls for it are refused until it is left alone
        while not guest.refused:
            self.story.refuses(True)
        # Then it could not, and could again once that is forgotten
        self.assertEqual(0, guest.reckoned(0.0).reclaimable_kib)
        self.story.refuses(False)
        self.assertLess(0, guest.reckoned(0.0).reclaimable_kib)

    def test_it_is_not_believed_for_longer_than_others(self):
        # Given a guest at rest, when it falls silent
        self.story.passes(_MAX_AGE_S)
        # Then it is left alone and counts in full
        self.assertIs(Limit.NO_DATA, self.story.resting.frozen)
        self.assertFalse(self.story.resting.planned().shrinkable)
        self.assertEqual(GIB, self.story.resting.demand_kib)

    def test_it_is_left_alone_as_soon_as_a_client_wants_that(self):
        # Given a guest at rest, when a client wants it left alone
        self.story.holds("snapshot")
        self.story.passes(1.0)
        # Then it is
        self.assertIs(Limit.HELD, self.story.resting.frozen)
        # And no longer than that
        self.story.holds("")
        self.story.passes(1.0)
        self.assertIsNone(self.story.resting.frozen)

    def test_its_figures_are_seen_beside_what_it_has_now(self):
        # Given a guest whose balloon settles while its sensor fails
        self.story.sensor_works(False)
        self.story.has(599)
        self.story.passes(1.0)
        self.story.passes(1.0)
        # When the sensor finds the same figures again
        self.story.sensor_works(True)
        self.story.passes(1.0)
        # Then its demand is judged by what it has
        self.assertEqual(599 * MIB, self.story.resting.demand.actual_kib)

    def test_a_cool_down_ends_while_it_rests(self):
        # Given a guest that was given memory, and has taken and used it
        self.story.targets(700)
        self.story.has(700)
        self.story.spoke(560)
        self.story.passes(1.0)
        self.story.passes(0.5)
        self.assertIs(Limit.COOL_DOWN, self.story.resting.hold)
        self.assertFalse(self.story.resting.planned().shrinkable)
        # When its cool-down is over
        self.story.passes(_COOL_DOWN_S)
        # Then memory may be taken from it again
        self.assertTrue(self.story.resting.planned().shrinkable)
