# SPDX-License-Identifier: Apache-2.0
"""The default predictor: how far above where they are can guests surge?

It replays the host's own past: at the begin of each hour, how far did the
sum of the demands go, within that hour, beyond where it was? Two things bound
the sum of the hour to come, and it is the higher of them that is foretold:

* what the week behind it went beyond for a hundredth of the time;
* where it is now, a peak of late fading slowly, plus a surge that is exceeded
  for no more than the share of time that may be short (``risk``).

The host's sum is looked at, never guests as if they were independent: they
burst together. What was missed before is among the surges that were seen.

For whatever surges R, and however they are distributed, Markov's inequality
bounds the share of time beyond x by E[R^n] / x^n. Solved for x, with the
moment of the surges that were seen::

    x = E[R^n]^(1/n) / risk^(1/n)

It fits nothing to the few surges that went furthest, and counts how long they
lasted: beyond them it reckons with a tail as heavy as x^-n. But a week holds
few surges, and the furthest of them makes up nearly all of their moment:
where it was is chance. So the moment that there would be if the guests peaked
independently of each other counts as much. All guests' own peaks tell of it,
so it is known far better. The two are of one size, but for how much the
guests burst together; and while little has been seen, the second keeps what
is calm from being taken as calm for good.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nova_xen_overcommit.policy.predictors.past import HostPast

# A minute and a half a day.
DEFAULT_RISK = 0.001

# The moment of a week; that of a shorter past goes by the logarithm of its
# length, but no lower than the fourth. Higher moments know the furthest surge
# alone; lower ones reckon with a tail so heavy that a young host has nothing
# to promise.
_MOMENT = 6.0
_LEAST_MOMENT = 4.0
_WEEK_HOURS = 168
# What part of its time a guest is taken to be at its peak: four hours a week.
_PEAKING_SHARE = 0.025
# What part of the week may have been beyond its bound. It is then that the
# level is high, and bounds the rest.
_BUSIEST_SHARE = 0.01
_HOUR_S = 3600.0
# A peak counts for less with the hours, to a third in six of them.
_FADE_S = 6 * _HOUR_S
# Until the sum has been seen that long there are no surges to speak of.
_LEAST_HOURS = 2
# What may come on top of the highest sum while nothing is known of it; less
# and less until the guests have been seen for a whole day.
_UNSEEN_SHARE = 0.15
_DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """All that a host's past says of its peak; sizes in KiB.

    ``sorted_kib`` are the sums from low to high, ``level_kib`` is where the
    sum is now, ``least_kib`` the least that a surge is reckoned with.
    ``seen_kib`` and ``independent_kib`` are roots of the moment of the order
    ``moment``: of the surges that were seen, and of those there were if each
    guest peaked on its own.
    """

    sorted_kib: Sequence[int]
    level_kib: float
    least_kib: float
    moment: float
    seen_kib: float
    independent_kib: float

    @classmethod
    def of(cls, past: HostPast) -> "Outlook":
        """Look at a past that isn't empty."""
        level_kib, rises_kib = _replay(past)
        moment = _moment(past)
        return cls(
            sorted_kib=sorted(past.sum_kib),
            level_kib=level_kib,
            least_kib=_least_kib(past),
            moment=moment,
            seen_kib=_norm(rises_kib, moment),
            independent_kib=_deviation_kib(past) * _normal_norm(moment),
        )

    def usual_kib(self, risk: float) -> int:
        """Give what was exceeded for 1 % of the time, or for ``risk``."""
        count = len(self.sorted_kib)
        beyond = min(int(max(_BUSIEST_SHARE, risk) * count), count - 1)
        return int(self.sorted_kib[count - 1 - beyond])

    def surge_kib(self, risk: float) -> float:
        """Give the surge that is exceeded for ``risk`` of the time."""
        norm_kib = (self.seen_kib + self.independent_kib) / 2
        return max(
            self.least_kib, norm_kib * math.pow(risk, -1.0 / self.moment)
        )

    def peak_kib(self, risk: float) -> int:
        """Give the peak that is exceeded for ``risk`` of the time."""
        surged_kib = math.ceil(self.level_kib + self.surge_kib(risk))
        return max(self.usual_kib(risk), surged_kib)


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
    not even a day is known, of the youngest only by what the sum has moved.
    """
    peaks_kib = sum(guest.peak_kib for guest in past.guests)
    highest_kib, seen_s = max(past.sum_kib), len(past.sum_kib) * past.step_s
    unseen = max(0.0, 1.0 - seen_s / _DAY_S)
    least_kib = max(
        peaks_kib / max(1, len(past.guests)),
        highest_kib * _UNSEEN_SHARE * unseen,
    )
    if seen_s < _LEAST_HOURS * _HOUR_S:
        return max(least_kib, float(highest_kib - min(past.sum_kib)))
    return least_kib


def _moment(past: HostPast) -> float:
    """Give the highest moment that is known of so short a past."""
    hours = max(1.0, len(past.sum_kib) * past.step_s / _HOUR_S)
    known = min(1.0, math.log(hours) / math.log(_WEEK_HOURS))
    return max(_LEAST_MOMENT, known * _MOMENT)


def _deviation_kib(past: HostPast) -> float:
    """Give the deviation of the sum if each guest peaked on its own.

    A guest that is at its peak P for a share s of its time, and else idle,
    has the variance P²·s·(1 - s). Of independent ones these add up.
    """
    squares = math.fsum(float(guest.peak_kib) ** 2 for guest in past.guests)
    return math.sqrt(squares * _PEAKING_SHARE * (1.0 - _PEAKING_SHARE))


def _normal_norm(moment: float) -> float:
    """Give the root of E[max(0, Z)^moment] for a standard normal Z."""
    gamma = math.gamma((moment + 1.0) / 2.0)
    whole = math.pow(2.0, moment / 2.0 - 1.0) * gamma / math.sqrt(math.pi)
    return math.pow(whole, 1.0 / moment)


def _replay(past: HostPast) -> tuple[float, list[float]]:
    """Give where the sum is now, and how it rose in each step before."""
    count = len(past.sum_kib)
    hour = max(1, round(_HOUR_S / past.step_s))
    fade = math.exp(-past.step_s / _FADE_S)
    # Before it is known whence the sum came each step seems to be a surge.
    first = min(count // 4, round(_FADE_S / past.step_s))
    level = bound = float(past.sum_kib[0])
    rises_kib = []
    for index, figure in enumerate(past.sum_kib):
        if (count - index) % hour == 0:
            bound = level
        if index >= first:
            rises_kib.append(figure - bound)
        level = max(float(figure), level * fade)
    return level, rises_kib


def _norm(rises_kib: Sequence[float], moment: float) -> float:
    """Give the root of the moment of the rises, those of a fall being 0."""
    whole = math.fsum(rise**moment for rise in rises_kib if rise > 0.0)
    return math.pow(whole / len(rises_kib), 1.0 / moment)
