# SPDX-License-Identifier: Apache-2.0
"""The benchmark of predictors: what is judged, and by which figures."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import numpy

from benchmarks.promise import __main__ as bench
from benchmarks.promise import forecasts, synthetic, trace, walk
from nova_xen_overcommit import exception
from nova_xen_overcommit.policy import floor, predictors
from nova_xen_overcommit.whatif.history import History

GIB = 1024 * 1024
STEP_S = 1800.0  # two to the hour, so that a week is small
HOUR = 2
WEEK = 7 * 24 * HOUR
AWAY = trace.ABSENT
NAN = numpy.nan


def trace_of(wants_kib: Any, flavors_kib: Any = None) -> trace.Trace:
    wants_kib = numpy.array(wants_kib)
    if flavors_kib is None:
        flavors_kib = [GIB] * len(wants_kib)
    seen = numpy.ones(wants_kib.shape[1], dtype=bool)
    return trace.Trace(STEP_S, numpy.array(flavors_kib), wants_kib, seen, 0)


def random_trace(guests: int = 4, hours: int = 60) -> trace.Trace:
    rng = numpy.random.default_rng(7)
    steps = WEEK + hours * HOUR
    return trace_of(rng.integers(GIB // 10, GIB, (guests, steps)))


class WalkTest(unittest.TestCase):
    def setUp(self) -> None:
        self.trace = random_trace()
        self.walk = walk.Walk.of(self.trace, [0, 2, 3])
        self.sum_kib = self.trace.demand_kib[[0, 2, 3]].sum(axis=0)

    def test_a_predictor_sees_the_week_before_and_nothing_else(self) -> None:
        past = self.walk.past(5)
        at = 5 * HOUR
        self.assertEqual(self.sum_kib[at : at + WEEK].tolist(), past.sum_kib)
        self.assertEqual((at + WEEK) * STEP_S, past.end_s)

    def test_guests_are_told_of_by_the_same_week(self) -> None:
        at = 5 * HOUR
        week = self.trace.demand_kib[[0, 2, 3], at : at + WEEK]
        self.assertEqual(
            [
                predictors.GuestPast(GIB, WEEK, peak_kib)
                for peak_kib in week.max(axis=1).tolist()
            ],
            self.walk.past(5).guests,
        )

    def test_it_is_judged_by_the_hour_that_follows(self) -> None:
        judged = walk.Judged.of(self.walk, 0.02)
        at = WEEK + 5 * HOUR
        self.assertEqual(
            self.sum_kib[at : at + HOUR].tolist(),
            judged.came_kib[judged.forecast == 5].tolist(),
        )

    def test_every_hour_after_the_first_week_has_a_forecast(self) -> None:
        self.assertEqual(60, self.walk.forecasts)
        judged = walk.Judged.of(self.walk, 0.02)
        self.assertEqual(60 * HOUR, len(judged.came_kib))
        self.assertEqual(
            self.sum_kib[-HOUR - WEEK : -HOUR].tolist(),
            self.walk.past(59).sum_kib,
        )


class ComersTest(unittest.TestCase):
    """Guests that come late or leave, as the agent sees them."""

    # The second comes in the middle of the first judged hour, is known half
    # an hour later, and leaves in the middle of the sixth.
    COMES = WEEK + 1
    LEAVES = WEEK + 5 * HOUR + 1

    def setUp(self) -> None:
        steps = WEEK + 7 * HOUR
        self.wants_kib = numpy.full((2, steps), GIB // 8)
        self.wants_kib[1] = AWAY
        self.wants_kib[1, self.COMES : self.LEAVES] = GIB // 4
        self.wants_kib[1, self.COMES] = GIB
        self.walk = walk.Walk.of(
            trace_of(self.wants_kib, [GIB, 2 * GIB]), [0, 1]
        )

    def test_who_has_come_counts_in_full_until_it_is_known(self) -> None:
        judged = walk.Judged.of(self.walk, 0.02)
        # Given that nothing is known of it when the next hour is foretold
        self.assertEqual(
            [0, 2 * GIB, 2 * GIB, 2 * GIB, 0, 0],
            judged.full_kib[: 3 * HOUR].tolist(),
        )

    def test_nobody_can_be_short_by_who_counts_in_full(self) -> None:
        judged = walk.Judged.of(self.walk, 0.02)
        figures = walk.judge(judged, numpy.full(7, GIB // 8 + GIB // 4))
        self.assertEqual(0.0, figures.short)

    def test_once_known_it_has_always_been_there_with_its_peak(self) -> None:
        past = self.walk.past(2)
        # Given that it wanted 1 GiB in its warm-up, and a quarter since
        self.assertEqual(
            [
                predictors.GuestPast(GIB, WEEK, GIB // 8),
                predictors.GuestPast(2 * GIB, 2, GIB // 4),
            ],
            past.guests,
        )
        self.assertEqual([GIB // 8 + GIB // 4] * WEEK, past.sum_kib)

    def test_the_past_is_what_production_would_have_known(self) -> None:
        rng = numpy.random.default_rng(3)
        there = self.wants_kib != AWAY
        noise = rng.integers(1, GIB // 8, self.wants_kib.shape)
        self.wants_kib[there] = noise[there]
        sizes_kib = numpy.array([GIB, 2 * GIB])
        host = walk.Walk.of(trace_of(self.wants_kib, sizes_kib), [0, 1])
        history = History(
            sizes_kib, self.wants_kib.shape[1], STEP_S, 0.0, trace.WEEK_S
        )
        for step in range(self.wants_kib.shape[1]):
            known = there[:, step].copy()
            # The step that is its warm-up is not in it.
            known[1] &= step > self.COMES
            who = numpy.flatnonzero(known)
            nobody = numpy.array([], dtype=int)
            history.add(step, who, self.wants_kib[who, step], nobody)
        for forecast, who in enumerate([[0]] * 2 + [[0, 1]] * 4 + [[0]]):
            at = WEEK + forecast * HOUR
            self.assertEqual(
                history.past(numpy.array(who), at - 1),
                host.past(forecast),
                forecast,
            )

    def test_who_has_left_is_no_part_of_the_past(self) -> None:
        self.assertEqual(2, len(self.walk.past(5).guests))
        past = self.walk.past(6)
        self.assertEqual(
            [predictors.GuestPast(GIB, WEEK, GIB // 8)], past.guests
        )
        self.assertEqual([GIB // 8] * WEEK, past.sum_kib)

    def test_each_moment_has_the_flavors_of_those_who_are_there(self) -> None:
        judged = walk.Judged.of(self.walk, 0.02)
        self.assertEqual(
            [GIB] + [3 * GIB] * (5 * HOUR) + [GIB] * (2 * HOUR - 1),
            judged.flavors_kib.tolist(),
        )

    def test_time_before_anyone_is_known_is_no_history(self) -> None:
        # Given a host whose only guest comes as the first peak is foretold
        alone = walk.Walk.of(trace_of(self.wants_kib, [GIB, 2 * GIB]), [1])
        self.assertEqual(([], []), (alone.past(0).sum_kib, []))
        self.assertEqual([], alone.past(0).guests)
        # Then what there is of it is all that there is
        self.assertEqual([GIB // 4] * 2, alone.past(2).sum_kib)

    def test_without_history_everybody_foretells_nothing(self) -> None:
        alone = walk.Walk.of(trace_of(self.wants_kib, [GIB, 2 * GIB]), [1])
        pasts = [alone.past(0)]
        families = forecasts.classic(pasts) | {"ours": forecasts.ours(pasts)}
        for labels in families.values():
            self.assertEqual(
                [[0]] * len(labels), [*map(list, labels.values())]
            )

    def test_steps_in_which_nobody_is_there_are_not_judged(self) -> None:
        alone = walk.Walk.of(trace_of(self.wants_kib, [GIB, 2 * GIB]), [1])
        judged = walk.Judged.of(alone, 0.02)
        self.assertEqual(5 * HOUR, len(judged.came_kib))

    def test_steps_in_which_nobody_was_seen_are_not_judged(self) -> None:
        unseen = trace_of(self.wants_kib)
        unseen.seen[WEEK + 3] = False
        judged = walk.Judged.of(walk.Walk.of(unseen, [0, 1]), 0.02)
        self.assertEqual([0, 0, 1, 2, 2], judged.forecast[:5].tolist())


class ForecastsTest(unittest.TestCase):
    """All at once, the classic families say what production says."""

    def setUp(self) -> None:
        wants_kib = random_trace(hours=5).demand_kib
        # One comes late, one leaves
        wants_kib[1, : WEEK - 5] = AWAY
        wants_kib[2, WEEK + 5 :] = AWAY
        host = walk.Walk.of(trace_of(wants_kib), [0, 1, 2, 3])
        self.pasts = [host.past(forecast) for forecast in range(5)]

    def compare(self, family: str, label: str, predictor) -> None:
        found = forecasts.classic(self.pasts)[family][label]
        expected = [predictor.peak_kib(past) for past in self.pasts]
        for ours, theirs in zip(expected, found.tolist(), strict=True):
            # Sums of squares are rounded in another order.
            self.assertAlmostEqual(ours, theirs, delta=1)

    def test_recent_max(self) -> None:
        self.compare(
            "recent_max", "recent_max_+25%", predictors.RecentMax(0.25)
        )

    def test_n_sigma(self) -> None:
        self.compare("n_sigma", "n_sigma_3", predictors.NSigma(3.0))

    def test_max_of_both(self) -> None:
        both = [predictors.RecentMax(0.0), predictors.NSigma(5.0)]
        self.compare("max_n_sigma", "max_5_sigma", predictors.MaxOf(both))

    def test_percentile(self) -> None:
        self.compare(
            "percentile",
            "percentile_99_+15%",
            predictors.Percentile(99.0, 0.15),
        )

    def test_guest_peaks(self) -> None:
        self.compare(
            "guest_peaks", "guest_peaks_0.5", predictors.GuestPeaks(0.5)
        )

    def test_ours_is_the_production_code_at_the_shipped_risk(self) -> None:
        found = forecasts.ours(self.pasts)
        for label, predictor in (
            ("ours", predictors.Surge()),
            ("ours_strict", predictors.Surge(risk=0.0001)),
        ):
            self.assertEqual(
                [predictor.peak_kib(past) for past in self.pasts],
                found[label].tolist(),
            )


class JudgeTest(unittest.TestCase):
    """Two hours were foretold for one guest, by hand."""

    def judged(self, *peaks_kib: int) -> walk.HostFigures:
        course = [GIB] * WEEK + [2 * GIB, 3 * GIB, GIB, GIB]
        one = walk.Walk.of(trace_of([course], [8 * GIB]), [0])
        judged = walk.Judged.of(one, 0.02)
        return walk.judge(judged, numpy.array(peaks_kib))

    def test_the_oracle_is_the_peak_of_what_came(self) -> None:
        self.assertEqual(1.0, self.judged(3 * GIB, 3 * GIB).capacity)
        self.assertEqual(1.25, self.judged(3 * GIB, 2 * GIB).capacity)

    def test_more_than_its_flavor_no_guest_can_want(self) -> None:
        self.assertEqual(3 / 8, self.judged(9 * GIB, 10 * GIB).capacity)
        self.assertEqual(0.0, self.judged(9 * GIB, 10 * GIB).deepest_share)

    def test_the_peak_itself_is_not_short(self) -> None:
        self.assertEqual(0.0, self.judged(3 * GIB, GIB).short)

    def test_each_step_beyond_is_short(self) -> None:
        self.assertEqual(0.25, self.judged(3 * GIB - 1, GIB).short)
        self.assertEqual(0.5, self.judged(2 * GIB - 1, GIB).short)

    def test_the_deepest_is_a_share_of_what_was_foretold(self) -> None:
        found = self.judged(2 * GIB, GIB // 2)
        self.assertEqual(
            (1.0, GIB / 2), (found.deepest_share, found.deepest_kib)
        )

    def test_what_absorbs_the_deepest_is_a_share_of_it_too(self) -> None:
        # 8 GiB of flavor on 2 GiB
        found = self.judged(2 * GIB, GIB)
        self.assertEqual(3.0, found.swap_share)
        self.assertEqual(
            floor.floor_kib(8 * GIB, 0.02) / 2 / GIB, found.floors_share
        )

    def test_nothing_is_promised_for_which_floors_do_not_fit(self) -> None:
        least_kib = floor.floor_kib(8 * GIB, 0.02)
        self.assertEqual(
            self.judged(least_kib, GIB), self.judged(least_kib // 2, GIB)
        )

    def test_a_filled_host_stays_filled(self) -> None:
        # Filled to 1 GiB in the first hour, the second doesn't empty it
        found = self.judged(GIB, 3 * GIB)
        self.assertEqual(
            (0.5, 3.0), (found.filled_short, found.filled_capacity)
        )


class RatioTest(unittest.TestCase):
    """The promise is a multiple of what is there: guests come and leave."""

    def setUp(self) -> None:
        self.wants_kib = numpy.full((2, WEEK + 2 * HOUR), GIB)
        self.wants_kib[1, WEEK + HOUR :] = AWAY
        host = walk.Walk.of(trace_of(self.wants_kib, [4 * GIB] * 2), [0, 1])
        self.judged = walk.Judged.of(host, 0.02)

    def test_the_oracle_needs_no_less_when_one_has_left(self) -> None:
        # Given one guest less in the second hour, and a quarter of both
        figures = walk.judge(self.judged, numpy.array([2 * GIB, GIB]))
        self.assertEqual(1.0, figures.capacity)
        self.assertEqual(0.0, figures.short)

    def test_who_fills_a_host_fills_a_share_of_it(self) -> None:
        figures = walk.judge(self.judged, numpy.array([GIB, GIB]))
        self.assertEqual(
            (1.5, 2.0), (figures.capacity, figures.filled_capacity)
        )
        self.assertEqual((0.5, 1.0), (figures.short, figures.filled_short))


class TraceCase(unittest.TestCase):
    """Five-minute steps, unless a test wants others."""

    STEPS = 8 * 288

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "trace.npz"
        self.sizes_mib = [1000.0] * 3
        self.wants_mib = numpy.full((3, self.STEPS), 5.0)
        self.times_s: Any = numpy.arange(self.STEPS) * 300

    def load(self, guests: int = 2) -> trace.Trace:
        numpy.savez(
            self.path,
            vm_ids=[str(i) for i in range(len(self.wants_mib))],
            t_seconds=self.times_s,
            configured_mib=self.sizes_mib,
            active_mib=self.wants_mib,
        )
        return trace.load(self.path, "active_mib", guests)

    def refused(self, guests: int = 2) -> str:
        with self.assertRaises(exception.InvalidTrace) as caught:
            self.load(guests)
        return str(caught.exception)


class GuestsTest(TraceCase):
    """Everyone takes part of whom there are plausible figures."""

    def test_a_gap_holds_what_was_before_it(self) -> None:
        self.wants_mib[0, 1:6] = [6, NAN, -1, numpy.inf, 7]
        found = self.load()
        self.assertEqual(
            [5, 6, 6, 6, 6, 7], (found.demand_kib[0, :6] // 1024).tolist()
        )

    def test_before_and_after_its_samples_a_guest_is_not_there(self) -> None:
        self.wants_mib[0, :1000] = NAN
        self.wants_mib[0, 2200:] = NAN
        found = self.load().demand_kib[0]
        there = numpy.flatnonzero(found != AWAY)
        self.assertEqual([1000, 2199], there[[0, -1]].tolist())
        self.assertEqual(1200, len(there))

    def test_who_was_seen_for_a_day_takes_part(self) -> None:
        self.wants_mib[0, :-288] = NAN
        self.assertEqual(0, self.load().dropped)

    def test_who_was_seen_for_less_is_left_out(self) -> None:
        self.wants_mib[0, :-287] = NAN
        found = self.load()
        self.assertEqual((2, 1), (len(found.demand_kib), found.dropped))

    def test_who_left_before_anything_is_foretold_is_left_out(self) -> None:
        self.wants_mib[0, 7 * 288 :] = NAN
        self.assertEqual(1, self.load().dropped)

    def test_who_is_larger_than_a_host_is_left_out(self) -> None:
        self.sizes_mib = [100.0, 100.0, 201.0]
        self.assertEqual([102400] * 2, self.load().flavors_kib.tolist())

    def test_who_has_no_plausible_size_is_left_out(self) -> None:
        for size_mib in (0.0, -5.0, 1e-9, NAN, numpy.inf, 1e30):
            with self.subTest(size_mib=size_mib):
                self.sizes_mib[0] = size_mib
                self.assertEqual(1, self.load().dropped)

    def test_a_guest_wants_no_more_than_its_size(self) -> None:
        self.wants_mib[0] = 5000
        self.assertEqual(1000 * 1024, self.load().demand_kib.max())

    def test_one_guest_is_no_host(self) -> None:
        self.wants_mib[1:] = NAN
        self.assertIn("1 guests are fit", self.refused())


class SpanTest(TraceCase):
    """What time is judged."""

    def test_it_ends_when_the_last_guest_was_seen(self) -> None:
        self.wants_mib[:, -24:] = NAN
        self.assertEqual(self.STEPS - 24, self.load().demand_kib.shape[1])

    def test_it_begins_when_the_first_one_was(self) -> None:
        self.wants_mib[:, :12] = NAN
        found = self.load()
        self.assertEqual(self.STEPS - 12, found.demand_kib.shape[1])
        self.assertNotIn(AWAY, found.demand_kib)

    def test_it_has_a_week_and_whole_hours(self) -> None:
        self.wants_mib[:, -7:] = NAN
        self.assertEqual(self.STEPS - 12, self.load().demand_kib.shape[1])

    def test_a_week_is_too_short(self) -> None:
        for left in (0, 2 * 288, 7 * 288, 7 * 288 + 11):
            with self.subTest(steps=left):
                self.wants_mib[:, left:] = NAN
                self.assertRegex(
                    self.refused(),
                    "trace.npz: [0-9.]+ days; needs more than 7 days and one",
                )

    def test_a_week_and_an_hour_is_long_enough(self) -> None:
        self.wants_mib[:, 7 * 288 + 12 :] = NAN
        self.assertEqual(7 * 288 + 12, self.load().demand_kib.shape[1])

    def test_a_week_is_a_week_whatever_the_steps(self) -> None:
        for step_s in (60.0, 300.0, 1000.0, 2400.0, 3600.0):
            week_s = trace.week_steps(step_s) * step_s
            self.assertAlmostEqual(trace.WEEK_S, week_s, delta=step_s)

    def test_steps_of_more_than_an_hour_are_refused(self) -> None:
        self.times_s = self.times_s * 24
        self.assertIn("steps of 7200 s", self.refused())

    def test_times_in_milliseconds_are_refused(self) -> None:
        self.times_s = self.times_s * 1000
        self.assertIn("milliseconds?", self.refused())
        self.times_s = self.times_s + 1_700_000_000_000
        self.assertIn("milliseconds?", self.refused())

    def test_what_no_one_saw_in_a_hole_is_known_as_such(self) -> None:
        # Given times in which an hour lacks
        self.times_s[100:] += 3600
        found = self.load()
        unseen = numpy.flatnonzero(~found.seen)
        self.assertEqual(list(range(100, 112)), unseen.tolist())
        # Then guests are held to want what they did before it
        self.assertEqual(5 * 1024, found.demand_kib.min())


class SameChecksTest(TraceCase):
    """What the replay refuses to play is not judged by either."""

    def test_times_that_do_not_rise(self) -> None:
        for times_s in (self.times_s[::-1], [300] * self.STEPS):
            self.times_s = times_s
            self.assertIn("t_seconds doesn't rise", self.refused())

    def test_a_file_that_is_cut_off(self) -> None:
        self.load()
        whole = self.path.read_bytes()
        for part in (0, 100, len(whole) // 2, len(whole) - 10):
            with self.subTest(bytes=part):
                self.path.write_bytes(whole[:part])
                with self.assertRaisesRegex(exception.InvalidTrace, "no npz"):
                    trace.load(self.path, "active_mib", 2)

    def test_a_single_array(self) -> None:
        with self.path.open("wb") as file:
            numpy.save(file, self.wants_mib)
        with self.assertRaisesRegex(exception.InvalidTrace, "no npz"):
            trace.load(self.path, "active_mib", 2)

    def test_a_missing_array_is_named(self) -> None:
        self.load()
        with self.assertRaisesRegex(exception.InvalidTrace, "granted_mib"):
            trace.load(self.path, "granted_mib", 2)


class CommandTest(TraceCase):
    """The benchmark as it is called."""

    def told(self, *words: str) -> str:
        output = io.StringIO()
        plot = str(self.path.with_suffix(".png"))
        argv = ["bench", "--trace", str(self.path), "--plot", plot, *words]
        with (
            mock.patch("sys.argv", argv),
            contextlib.redirect_stdout(output),
        ):
            bench.main()
        return output.getvalue()

    def test_a_host_is_no_larger_than_there_are_guests(self) -> None:
        self.wants_mib = self.wants_mib[:, : 7 * 288 + 24]
        self.times_s = self.times_s[: 7 * 288 + 24]
        self.load()
        told = self.told().split("\n")
        self.assertEqual(
            "Warning: hosts have 3 guests, not 40: no more fit", told[0]
        )
        # Then one host is all that there is
        self.assertEqual("3 guests, 0 left out; 1 hosts of 3, seed 1", told[1])
        self.assertTrue(told[-2].startswith("RESULT {"), told[-2])

    def test_what_is_no_trace_ends_it_with_the_reason(self) -> None:
        self.times_s = self.times_s[::-1]
        self.refused()
        with self.assertRaisesRegex(SystemExit, "t_seconds doesn't rise"):
            self.told()


class SyntheticTest(unittest.TestCase):
    def test_every_kind_is_fit_to_be_judged_by(self) -> None:
        for kind in synthetic.KINDS:
            with self.subTest(kind):
                made = synthetic.make(kind, seed=1, days=1)
                self.assertEqual((240, 288), made.demand_kib.shape)
                self.assertGreater(made.demand_kib.min(), 0)
                over = made.demand_kib > made.flavors_kib[:, None]
                self.assertFalse(over.any())
                # It isn't the same all day
                self.assertGreater(numpy.ptp(made.demand_kib.sum(axis=0)), 0)

    def test_the_seed_alone_makes_the_difference(self) -> None:
        one, same, other = (
            synthetic.make("together", seed, days=1).demand_kib
            for seed in (1, 1, 2)
        )
        self.assertTrue((one == same).all())
        self.assertTrue((one != other).any())

    def test_groups_burst_as_one(self) -> None:
        apart, together = (
            synthetic.make(kind, seed=3, days=4).demand_kib.sum(axis=0)
            for kind in ("quiet", "together")
        )
        self.assertGreater(together.max() / together.mean(), 1.5)
        self.assertLess(apart.max() / apart.mean(), 1.5)

    def test_an_unknown_kind_is_refused(self) -> None:
        with self.assertRaisesRegex(trace.BadTrace, "loud: none of diurnal"):
            synthetic.make("synthetic:loud", seed=1)
