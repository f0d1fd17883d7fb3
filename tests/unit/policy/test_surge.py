# SPDX-License-Identifier: Apache-2.0
"""The default predictor: week, level and surges."""

import math
import unittest
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.policy.predictors import (
    GuestPast,
    HostPast,
    Surge,
)
from nova_xen_overcommit.policy.predictors.surge import Outlook

HOUR = 12
DAY = 24 * HOUR
WEEK = 7 * DAY
GIB = 1024 * 1024


def past_of(
    sum_kib: Sequence[int], guests: Sequence[GuestPast] = ()
) -> HostPast:
    return HostPast(300.0, 0.0, sum_kib, guests)


def peak_kib(
    sum_kib: Sequence[int],
    risk: float = 0.001,
    guests: Sequence[GuestPast] = (),
) -> int:
    return Surge(risk=risk).peak_kib(past_of(sum_kib, guests))


def bursts(
    calm_kib: int, burst_kib: int, every: int, length: int = 3
) -> list[int]:
    """Give a week that bursts now and then, not at its end."""
    return [
        burst_kib if step % every < length else calm_kib
        for step in range(WEEK)
    ]


class UsualTest(unittest.TestCase):
    def test_a_flat_week_stays_what_it_is(self) -> None:
        self.assertEqual(GIB, peak_kib([GIB] * WEEK))

    def test_a_burst_of_last_week_is_not_forgotten(self) -> None:
        # Given two hours of high demand six days ago, and a level that has
        # long faded since
        week = [GIB] * WEEK
        week[DAY : DAY + 2 * HOUR] = [3 * GIB] * (2 * HOUR)
        # Then the host isn't promised to others
        self.assertGreaterEqual(peak_kib(week), 3 * GIB)

    def test_what_is_rare_may_be_beyond(self) -> None:
        # Given 20 steps of 2016 that were high: less than 1 % of the time
        week = [GIB] * WEEK
        week[DAY : DAY + 20] = [3 * GIB] * 20
        more = [*week[1:], 3 * GIB]
        # Then they don't bind, but another one does, unless that may be rare
        self.assertEqual(
            [GIB, 3 * GIB, GIB],
            [
                Outlook.of(past_of(figures)).usual_kib(risk)
                for figures, risk in (
                    (week, 0.0001),
                    (more, 0.0001),
                    (more, 0.02),
                )
            ],
        )

    def test_a_busy_day_binds_when_all_is_quiet_again(self) -> None:
        week = [GIB] * WEEK
        week[DAY : DAY + 21] = [8 * GIB] * 21
        self.assertGreaterEqual(peak_kib(week, risk=0.5), GIB)
        self.assertGreaterEqual(peak_kib(week, risk=0.01), 8 * GIB)


class SurgeTest(unittest.TestCase):
    def test_a_guest_more_may_peak(self) -> None:
        guests = [GuestPast(4 * GIB, WEEK, GIB), GuestPast(GIB, WEEK, 0)]
        self.assertEqual(
            2 * GIB + GIB // 2, peak_kib([2 * GIB] * WEEK, guests=guests)
        )

    def test_it_follows_a_level_that_rose(self) -> None:
        # Given a week of bursts by 1 GiB, and a level higher since an hour
        week = bursts(GIB, 2 * GIB, every=DAY // 2)
        raised = week[:-HOUR] + [3 * GIB] * HOUR
        # Then a burst is to come on top of that
        self.assertGreater(peak_kib(raised), 3 * GIB + GIB // 2)

    def test_a_peak_fades_to_a_third_in_six_hours(self) -> None:
        week = [GIB] * (WEEK - 6 * HOUR - 1) + [8 * GIB] + [GIB] * 6 * HOUR
        level_kib = Outlook.of(past_of(week)).level_kib
        self.assertAlmostEqual(8 * GIB / math.e, level_kib, delta=1)

    def test_a_miss_widens_it(self) -> None:
        # Given a week whose surges were foretold, and one of twice the size
        # that came two days ago
        week = bursts(GIB, 2 * GIB, every=DAY // 2)
        missed = list(week)
        missed[5 * DAY + 50 : 5 * DAY + 50 + HOUR] = [3 * GIB] * HOUR
        self.assertGreater(peak_kib(missed), peak_kib(week) + GIB // 4)

    def test_a_rarer_surge_goes_further_than_any_seen(self) -> None:
        # Given surges of sizes between one and two GiB
        week = [GIB] * WEEK
        for number in range(13):
            at = number * (DAY // 2) + 40
            week[at : at + 2] = [2 * GIB + number * GIB // 12] * 2
        # And that its guests could do as much on their own
        guests = [GuestPast(2 * GIB, WEEK, GIB)] * 4
        self.assertGreater(
            peak_kib(week, risk=0.0001, guests=guests), 3 * GIB + GIB // 4
        )

    def test_what_lasts_counts_more(self) -> None:
        brief, long = (
            Outlook.of(past_of(bursts(GIB, 2 * GIB, DAY, length))).seen_kib
            for length in (1, HOUR)
        )
        # Twelve times as often, a surge is beyond that for as long
        self.assertAlmostEqual(brief * 12 ** (1 / 6), long, delta=1)

    def test_a_fall_is_no_surge(self) -> None:
        week = [2 * GIB] * (WEEK // 2) + [GIB] * (WEEK // 2)
        self.assertEqual(0.0, Outlook.of(past_of(week)).seen_kib)

    def test_the_moment_of_one_surge(self) -> None:
        # Given one step of 1 GiB more, in 2016 of which six hours are for
        # finding the level
        week = [GIB] * WEEK
        week[DAY] = 2 * GIB
        self.assertAlmostEqual(
            GIB / (2016 - 72) ** (1 / 6),
            Outlook.of(past_of(week)).seen_kib,
            delta=1,
        )

    def test_half_is_what_was_seen_and_half_what_guests_do(self) -> None:
        outlook = Outlook([0], 0.0, 0.0, 6.0, 100.0, 20.0)
        # 1e-06 to the power of -1/6 is 10
        self.assertAlmostEqual(600.0, outlook.surge_kib(1e-06))


class IndependentTest(unittest.TestCase):
    """What guests do that peak on their own."""

    def independent_kib(self, *peaks_kib: int) -> float:
        guests = [GuestPast(8 * GIB, WEEK, peak) for peak in peaks_kib]
        return Outlook.of(past_of([GIB] * WEEK, guests)).independent_kib

    def test_a_guest_s_peak_is_rare(self) -> None:
        # 1 GiB, √(0.025 · 0.975) and the sixth root of 15 / 2, which half of
        # a normal distribution's sixth moment is
        self.assertAlmostEqual(
            0.218432, self.independent_kib(GIB) / GIB, places=5
        )

    def test_peaks_add_up_by_their_squares(self) -> None:
        self.assertAlmostEqual(
            self.independent_kib(5 * GIB),
            self.independent_kib(3 * GIB, 4 * GIB),
            delta=1,
        )

    def test_a_calm_week_of_guests_that_can_peak_is_not_trusted(self) -> None:
        # Given 25 guests that each have peaked at 1 GiB, yet never together
        guests = [GuestPast(8 * GIB, WEEK, GIB)] * 25
        peak = peak_kib([5 * GIB] * WEEK, guests=guests)
        # Then more is to come than one of them: half of 0.2184 · 5 · √10
        self.assertAlmostEqual(6.727, peak / GIB, places=3)


class YoungTest(unittest.TestCase):
    def test_no_history_is_no_peak(self) -> None:
        self.assertEqual(0, peak_kib([]))

    def test_after_one_step_there_is_a_margin(self) -> None:
        self.assertAlmostEqual(1.15 * GIB, peak_kib([GIB]), delta=GIB / 500)

    def test_the_margin_is_gone_after_a_day(self) -> None:
        self.assertEqual(
            [math.ceil(1.075 * GIB), GIB],
            [peak_kib([GIB] * (DAY // 2)), peak_kib([GIB] * DAY)],
        )

    def test_what_moved_within_an_hour_may_move_again(self) -> None:
        self.assertEqual(5 * GIB, peak_kib([GIB, 2 * GIB, 3 * GIB], risk=0.5))

    def test_the_less_is_known_the_heavier_the_tail(self) -> None:
        # Given pasts that differ in length alone
        moments = [
            Outlook.of(past_of([GIB] * steps)).moment
            for steps in (1, 3 * HOUR, DAY, WEEK, 2 * WEEK)
        ]
        # 6 · ln 24 / ln 168 on the first day; no less than the variance
        self.assertEqual([2.0, 2.0, 6.0, 6.0], moments[:2] + moments[3:])
        self.assertAlmostEqual(3.7214, moments[2], places=4)

    def test_a_young_host_is_held_for_wilder_than_an_old_one(self) -> None:
        # Given the same surges every three hours, for a day and for a week
        guests = [GuestPast(4 * GIB, WEEK, GIB)] * 4
        week = bursts(GIB, 2 * GIB, every=3 * HOUR)
        surges_kib = [
            Outlook.of(past_of(sums, guests)).surge_kib(0.0001)
            for sums in (week[-DAY:], week)
        ]
        self.assertGreater(surges_kib[0], 1.5 * surges_kib[1])


SUMS = st.lists(st.integers(0, 2**40), min_size=1, max_size=3 * HOUR)
# Long enough to be replayed: hours of one level and a few others.
HOURS = st.lists(st.integers(0, 2**40), min_size=3, max_size=40).map(
    lambda levels: [level for level in levels for _ in range(HOUR)]
)
RISKS = st.floats(1e-06, 0.5)


class PropertyTest(unittest.TestCase):
    @given(SUMS | HOURS, RISKS)
    def test_never_less_than_is_there(self, sums, risk) -> None:
        self.assertGreaterEqual(peak_kib(sums, risk), sums[-1])

    @given(SUMS | HOURS, RISKS, RISKS)
    def test_less_risk_is_no_lower_peak(self, sums, one, other) -> None:
        careful, bold = sorted((one, other))
        self.assertGreaterEqual(peak_kib(sums, careful), peak_kib(sums, bold))

    @given(SUMS | HOURS, RISKS)
    def test_twice_the_size_is_twice_the_peak(self, sums, risk) -> None:
        twice = peak_kib([2 * figure for figure in sums], risk)
        self.assertAlmostEqual(
            2 * peak_kib(sums, risk), twice, delta=2 + twice * 1e-9
        )

    @given(SUMS | HOURS, RISKS)
    def test_a_guest_is_never_lost_to_rounding(self, sums, risk) -> None:
        guests = [GuestPast(GIB, len(sums), GIB)]
        self.assertGreaterEqual(peak_kib(sums, risk, guests), sums[-1] + GIB)

    @given(HOURS, RISKS, st.sampled_from((5.0, 60.0, 300.0, 2100.0, 7200.0)))
    def test_steps_of_any_length_will_do(self, sums, risk, step_s) -> None:
        past = HostPast(step_s, 0.0, sums, ())
        peak = Surge(risk=risk).peak_kib(past)
        self.assertIsInstance(peak, int)
        self.assertGreaterEqual(peak, sums[-1])
