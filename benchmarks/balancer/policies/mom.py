# SPDX-License-Identifier: Apache-2.0
"""MOM of oVirt: all shrink while the host is short, else all grow.

Short is less than 20 % free, as the mean of ten samples of 15 s; a step is
5 % of what a guest has. Nobody goes below its floor, nor below what it was
seen to use (actual − MemFree, a mean too) and some room that shrinks with
the host's free share.
"""

import collections
from collections.abc import Mapping, Sequence

from benchmarks.balancer.policies.base import HostView, View, bounded

_SHORT_SHARE = 0.20
_GUEST_FREE_SHARE = 0.20
_STEP = 0.05
_SAMPLES = 10


class Mom:
    """The rule of MOM's ballooning policy."""

    name = "mom"
    period_s = 15.0
    moving_period_s = 15.0
    hears_guests = False
    hears_starts = False

    def __init__(self) -> None:
        self._means: dict[str, collections.deque[int]] = {}

    def _mean(self, key: str, figure: int) -> float:
        seen = self._means.setdefault(key, collections.deque(maxlen=_SAMPLES))
        seen.append(figure)
        return sum(seen) / len(seen)

    def targets(
        self, guests: Sequence[View], host: HostView
    ) -> Mapping[str, int]:
        """Shrink all or grow all who speak."""
        free_kib = self._mean("", host.free_kib)
        free_share = free_kib / host.physical_kib
        targets = {}
        for guest in guests:
            used_kib = guest.actual_kib - guest.free_kib
            used_kib = int(self._mean(guest.uuid, used_kib))
            if not guest.speaks:
                continue
            if free_share < _SHORT_SHARE:
                goal_kib = _smaller(guest, used_kib, free_share)
            else:
                goal_kib = max(guest.actual_kib * (1 + _STEP), used_kib)
            targets[guest.uuid] = bounded(guest, goal_kib)
        return targets


def _smaller(guest: View, used_kib: int, free_share: float) -> float:
    room_share = _GUEST_FREE_SHARE * free_share / _SHORT_SHARE
    least_kib = used_kib + room_share * guest.actual_kib
    goal_kib = max(guest.actual_kib * (1 - _STEP), least_kib)
    return min(goal_kib, guest.actual_kib)
