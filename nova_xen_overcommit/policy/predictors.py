# SPDX-License-Identifier: Apache-2.0
"""How the peak of a host's summed demand is foretold.

Each predictor takes the history of the summed demand of the guests that
are on the host now (KiB, oldest first, one figure per equal time step) and
gives the peak in KiB to be reckoned with. Plugins in
``nova_xen_overcommit.predictors``; the classic ones are described in
Bashir et al., "Take it to the limit" (EuroSys 2021).
"""

import math
import statistics
from collections.abc import Sequence
from typing import Protocol


class Predictor(Protocol):
    """Foretells a peak; stateless, so one object serves a whole agent."""

    def peak_kib(self, history_kib: Sequence[int]) -> int:
        """Give the peak; 0 where there is no history at all."""


class RecentMax:
    """The highest figure of the history, plus a margin.

    The margin is for the peaks that beat all that was seen.
    """

    def __init__(self, margin_share: float = 0.1) -> None:
        self._margin_share = margin_share

    def peak_kib(self, history_kib: Sequence[int]) -> int:
        """Give the largest figure plus the margin."""
        largest_kib = max(history_kib, default=0)
        return math.ceil(largest_kib * (1.0 + self._margin_share))


class Percentile:
    """A high percentile of the history, plus a margin."""

    def __init__(
        self, percent: float = 99.0, margin_share: float = 0.15
    ) -> None:
        self._share = percent / 100.0
        self._margin_share = margin_share

    def peak_kib(self, history_kib: Sequence[int]) -> int:
        """Give the percentile (nearest rank) plus the margin."""
        if not history_kib:
            return 0
        rank = math.ceil(self._share * len(history_kib))
        figure_kib = sorted(history_kib)[max(0, rank - 1)]
        return math.ceil(figure_kib * (1.0 + self._margin_share))


class NSigma:
    """Mean plus N standard deviations of the host's sum."""

    def __init__(self, sigmas: float = 5.0) -> None:
        self._sigmas = sigmas

    def peak_kib(self, history_kib: Sequence[int]) -> int:
        """Give mean + N standard deviations of the population."""
        if not history_kib:
            return 0
        mean = statistics.fmean(history_kib)
        deviation = statistics.pstdev(history_kib, mean)
        return math.ceil(mean + self._sigmas * deviation)


class MaxOf:
    """The most careful of several predictors."""

    def __init__(self, predictors: Sequence[Predictor] | None = None) -> None:
        self._predictors = predictors or (RecentMax(), Percentile(), NSigma())

    def peak_kib(self, history_kib: Sequence[int]) -> int:
        """Give the largest of all answers."""
        return max(one.peak_kib(history_kib) for one in self._predictors)
