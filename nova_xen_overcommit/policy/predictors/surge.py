# SPDX-License-Identifier: Apache-2.0
"""The default predictor: how far above where they are can guests surge?

It replays the host's own past: at the begin of each hour, what would have
been a bound for that hour? Two things bound the sum of the demands, and only
where both fail is a host short:

* what it was in the week behind it, but for a few times the share of time
  that may be short (``risk``);
* where it is now, a peak of late fading slowly, plus a surge: by how much
  the sum went beyond that within an hour. The surges of the past are few, so
  that one is foretold that is rarer than any that was seen.

The host's sum is looked at, never guests as if they were independent: they
burst together. What was missed before is among the surges that were seen.

What goes beyond a high threshold is taken to be exponential (Pickands,
"Statistical inference using extreme order statistics", Annals of Statistics,
1975). How far it goes on average is known from a few bursts only; given that,
the next one follows Lomax's distribution, of as many degrees as there were
bursts: the fewer there were, the further it may go.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from nova_xen_overcommit.policy.predictors.past import HostPast

# A minute and a half a day.
DEFAULT_RISK = 0.001

# How often, in terms of the risk, the week may have been beyond its bound.
# It is then that the level is high, and bounds the rest.
_USUAL_RISKS = 5.0
# What part of the risk surges like those that were seen may use up. The rest
# is for those that the past doesn't foretell.
_FORETOLD_SHARE = 2 / 3
_HOUR_S = 3600.0
# A peak counts for less with the hours, to a third in six of them.
_FADE_S = 6 * _HOUR_S
# What part of the time is looked at as being in a surge.
_SURGING_SHARE = 0.02
# Until the sum has been seen that long there are no surges to speak of.
_LEAST_HOURS = 2
# What may come on top of the highest sum while nothing is known of it; less
# and less until the guests have been seen for a whole day.
_UNSEEN_SHARE = 0.15
_DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Surges:
    """How the sum surged: in KiB, a threshold and what went beyond it.

    ``share`` is the share of time beyond ``threshold_kib``, ``scale_kib`` the
    mean of what was beyond it, seen in ``bursts`` separate hours.
    """

    threshold_kib: float
    scale_kib: float
    share: float
    bursts: int

    def exceeded_kib(self, risk: float) -> float:
        """Give what a surge goes beyond for no more than ``risk`` of time."""
        rarer = math.pow(self.share / risk, 1.0 / self.bursts) - 1.0
        return self.threshold_kib + self.scale_kib * self.bursts * rarer


@dataclass(frozen=True, slots=True)
class Outlook:
    """All that a host's past says of its peak; sizes in KiB.

    ``sorted_kib`` are the sums from low to high, ``level_kib`` is where the
    sum is now, ``least_kib`` the least that a surge is reckoned with.
    """

    sorted_kib: Sequence[int]
    level_kib: float
    least_kib: float
    surges: Surges

    @classmethod
    def of(cls, past: HostPast) -> "Outlook":
        """Look at a past that isn't empty."""
        level_kib, surges = _replay(past)
        return cls(sorted(past.sum_kib), level_kib, _least_kib(past), surges)

    def usual_kib(self, risk: float) -> int:
        """Give what the week went beyond for a few times ``risk``."""
        count = len(self.sorted_kib)
        beyond = min(int(_USUAL_RISKS * risk * count), count - 1)
        return int(self.sorted_kib[count - 1 - beyond])

    def peak_kib(self, risk: float) -> int:
        """Give the peak that is exceeded for ``risk`` of the time."""
        foretold_kib = self.surges.exceeded_kib(risk * _FORETOLD_SHARE)
        surge_kib = max(self.least_kib, foretold_kib)
        return max(self.usual_kib(risk), math.ceil(self.level_kib + surge_kib))


class Surge:
    """Foretells a peak by the surges that were seen."""

    def __init__(self, risk: float = DEFAULT_RISK) -> None:
        self._risk = risk

    def peak_kib(self, past: HostPast) -> int:
        """Give the peak of the hour to come; never less than is there."""
        if not len(past.sum_kib):
            return 0
        return Outlook.of(past).peak_kib(self._risk)


def _least_kib(past: HostPast) -> float:
    """Give the surge that may always come.

    A guest more may do what guests did before; and of guests that are young
    not even a day is known.
    """
    peaks_kib = sum(guest.peak_kib for guest in past.guests)
    unseen = max(0.0, 1.0 - len(past.sum_kib) * past.step_s / _DAY_S)
    return max(
        peaks_kib / max(1, len(past.guests)),
        float(max(past.sum_kib)) * _UNSEEN_SHARE * unseen,
    )


def _replay(past: HostPast) -> tuple[float, Surges]:
    """Give where the sum is now, and how it surged before."""
    count = len(past.sum_kib)
    hour = max(1, round(_HOUR_S / past.step_s))
    fade = math.exp(-past.step_s / _FADE_S)
    # Before it is known whence the sum came each step seems to be a surge.
    first = min(count // 4, round(_FADE_S / past.step_s))
    level = bound = float(past.sum_kib[0])
    hours = 0
    rises = []
    for index, figure in enumerate(past.sum_kib):
        if (count - index) % hour == 0:
            bound, hours = level, hours + 1
        if index >= first:
            rises.append((figure - bound, hours))
        level = max(float(figure), level * fade)
    if count < _LEAST_HOURS * hour:
        span = float(max(past.sum_kib) - min(past.sum_kib))
        return level, Surges(span, 0.0, 1.0, 1)
    return level, _surges(rises)


def _surges(rises: Sequence[tuple[float, int]]) -> Surges:
    """Give the surges among (KiB, number of its hour)."""
    surging = max(1, int(_SURGING_SHARE * len(rises)))
    *beyond, (threshold, _hour) = heapq.nlargest(surging + 1, rises)
    return Surges(
        threshold_kib=threshold,
        scale_kib=math.fsum(rise - threshold for rise, _hour in beyond)
        / surging,
        share=surging / len(rises),
        bursts=len({hour for _rise, hour in beyond}),
    )
