# SPDX-License-Identifier: Apache-2.0
"""The classic predictors, of the host's sum alone.

They are described in Bashir et al., "Take it to the limit: peak
prediction-driven resource overcommitment in datacenters" (EuroSys 2021).
Each has a parameter of its own and heeds no ``risk``.
"""

import math
import statistics
from collections.abc import Sequence

from nova_xen_overcommit.policy.predictors.past import HostPast, Predictor


class RecentMax:
    """The highest figure of the history, plus a margin.

    The margin is for the peaks that beat all that was seen.
    """

    def __init__(self, margin_share: float = 0.1, **_unheeded: float) -> None:
        self._margin_share = margin_share

    def peak_kib(self, past: HostPast) -> int:
        """Give the largest figure plus the margin."""
        largest_kib = max(past.sum_kib, default=0)
        return math.ceil(largest_kib * (1.0 + self._margin_share))


class Percentile:
    """A high percentile of the history, plus a margin."""

    def __init__(
        self,
        percent: float = 99.0,
        margin_share: float = 0.15,
        **_unheeded: float,
    ) -> None:
        self._share = percent / 100.0
        self._margin_share = margin_share

    def peak_kib(self, past: HostPast) -> int:
        """Give the percentile (nearest rank) plus the margin."""
        count = len(past.sum_kib)
        if not count:
            return 0
        rank = math.ceil(self._share * count)
        figure_kib = sorted(past.sum_kib)[max(0, rank - 1)]
        return math.ceil(figure_kib * (1.0 + self._margin_share))


class NSigma:
    """Mean plus N standard deviations of the host's sum."""

    def __init__(self, sigmas: float = 5.0, **_unheeded: float) -> None:
        self._sigmas = sigmas

    def peak_kib(self, past: HostPast) -> int:
        """Give mean + N standard deviations of the population."""
        if not len(past.sum_kib):
            return 0
        mean = statistics.fmean(past.sum_kib)
        deviation = statistics.pstdev(past.sum_kib, mean)
        return math.ceil(mean + self._sigmas * deviation)


class GuestPeaks:
    """The guests' own peaks, as if all came at once, or a share of that."""

    def __init__(self, share: float = 1.0, **_unheeded: float) -> None:
        self._share = share

    def peak_kib(self, past: HostPast) -> int:
        """Give the share of the summed peaks."""
        peaks_kib = sum(guest.peak_kib for guest in past.guests)
        return math.ceil(peaks_kib * self._share)


class MaxOf:
    """The most careful of several predictors."""

    def __init__(
        self,
        predictors: Sequence[Predictor] | None = None,
        **_unheeded: float,
    ) -> None:
        self._predictors = predictors or (RecentMax(), Percentile(), NSigma())

    def peak_kib(self, past: HostPast) -> int:
        """Give the largest of all answers."""
        return max(one.peak_kib(past) for one in self._predictors)
