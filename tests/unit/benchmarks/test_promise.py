# SPDX-License-Identifier: Apache-2.0
"""The benchmark of predictors: what is judged, and by which figures."""

import tempfile
import unittest
from pathlib import Path

import numpy

from benchmarks.promise import forecasts, synthetic, trace, walk
from nova_xen_overcommit.policy import floor, predictors

GIB = 1024 * 1024
STEP_S = 1800.0  # two to the hour, so that a week is small
HOUR = 2
WEEK = 7 * 24 * HOUR


def random_trace(guests: int = 4, hours: int = 60) -> trace.Trace:
    rng = numpy.random.default_rng(7)
    steps = WEEK + hours * HOUR
    flavors_kib = numpy.full(guests, GIB)
    wants_kib = rng.integers(GIB // 10, GIB, (guests, steps))
    return trace.Trace(STEP_S, flavors_kib, wants_kib, 0)


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
            week.max(axis=1).tolist(),
            [guest.peak_kib for guest in self.walk.past(5).guests],
        )

    def test_it_is_judged_by_the_hour_that_follows(self) -> None:
        at = WEEK + 5 * HOUR
        self.assertEqual(
            self.sum_kib[at : at + HOUR].tolist(),
            self.walk.came_kib[5].tolist(),
        )

    def test_every_forecast_has_its_window(self) -> None:
        self.assertEqual(60, len(self.walk.came_kib))
        self.assertEqual((60, WEEK), self.walk.windows.shape)
        self.assertEqual((3, 60), self.walk.peaks_kib.shape)
        self.assertEqual(
            self.walk.past(59).sum_kib, self.walk.windows[59].tolist()
        )


class ForecastsTest(unittest.TestCase):
    """All at once, the classic families say what production says."""

    def setUp(self) -> None:
        self.walk = walk.Walk.of(random_trace(hours=5), [0, 1, 2, 3])

    def compare(self, family: str, label: str, predictor) -> None:
        found = forecasts.classic(self.walk)[family][label]
        expected = [predictor.peak_kib(self.walk.past(i)) for i in range(5)]
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
        found = forecasts.ours(self.walk)
        for label, predictor in (
            ("ours", predictors.Surge()),
            ("ours_strict", predictors.Surge(risk=0.0001)),
        ):
            self.assertEqual(
                [predictor.peak_kib(self.walk.past(i)) for i in range(5)],
                found[label].tolist(),
            )


class JudgeTest(unittest.TestCase):
    """Two hours were foretold for one guest, by hand."""

    def judged(self, *peaks_kib: int) -> walk.HostFigures:
        course = [GIB] * WEEK + [2 * GIB, 3 * GIB, GIB, GIB]
        one = trace.Trace(
            STEP_S, numpy.array([8 * GIB]), numpy.array([course]), 0
        )
        return walk.judge(walk.Walk.of(one, [0]), numpy.array(peaks_kib), 0.02)

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


class TraceTest(unittest.TestCase):
    """Any trace: gaps, absurd guests, guests that never were."""

    def load(self, wants_mib, sizes_mib=None, guests: int = 2) -> trace.Trace:
        wants_mib = numpy.array(wants_mib, dtype=float)
        sizes_mib = sizes_mib or [1000] * len(wants_mib)
        with tempfile.NamedTemporaryFile(suffix=".npz") as file:
            numpy.savez(
                file.name,
                vm_ids=[str(i) for i in range(len(wants_mib))],
                t_seconds=numpy.arange(wants_mib.shape[1]) * 300,
                configured_mib=sizes_mib,
                active_mib=wants_mib,
            )
            return trace.load(Path(file.name), "active_mib", guests)

    def test_a_gap_holds_what_was_before_it(self) -> None:
        nan = numpy.nan
        found = self.load([[nan, 5, nan, 6, 7, 8, 9, 8, 7, 6], [1] * 10])
        self.assertEqual(
            [0, 5, 5, 6], (found.demand_kib[0, :4] // 1024).tolist()
        )

    def test_who_was_rarely_seen_is_left_out(self) -> None:
        found = self.load([[1] * 10, [numpy.nan] * 10, [2] * 10])
        self.assertEqual((2, 1), (len(found.demand_kib), found.dropped))

    def test_who_is_larger_than_a_host_is_left_out(self) -> None:
        found = self.load([[1] * 4] * 4, [100, 100, 100, 201])
        self.assertEqual([102400] * 3, found.flavors_kib.tolist())

    def test_a_guest_wants_no_more_than_its_size(self) -> None:
        found = self.load([[5000] * 4, [1] * 4])
        self.assertEqual(1000 * 1024, found.demand_kib.max())

    def test_too_few_guests_are_refused(self) -> None:
        with self.assertRaisesRegex(trace.BadTrace, "2 guests"):
            self.load([[1] * 4] * 2, guests=3)

    def test_a_missing_array_is_named(self) -> None:
        with (
            tempfile.NamedTemporaryFile(suffix=".npz") as file,
            self.assertRaisesRegex(trace.BadTrace, "configured_mib"),
        ):
            numpy.savez(file.name, t_seconds=[0, 300], active_mib=[[1, 2]])
            trace.load(Path(file.name), "active_mib", 1)


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
