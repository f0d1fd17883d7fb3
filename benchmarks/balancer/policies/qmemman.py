# SPDX-License-Identifier: Apache-2.0
"""qmemman of Qubes: memory in proportion to 1.3 times what is used.

pref = max(1.3 · used, 200 MiB). With enough for all prefs, what is left is
shared in proportion to pref as well; without, who has more than its pref
goes down to it, and the others share what that yields. 50 MiB stay on the
host. A start takes from all who have more than their pref. Moves nothing
when the sum of moves would be below 150 MiB, unless someone below its pref
would gain more than 15 MiB (thresholds: qubes/qmemman/systemstate.py).
"""

from collections.abc import Mapping, Sequence

from benchmarks.balancer.policies.base import (
    HostView,
    View,
    granted_as_it_comes,
)
from tests.simulator.memory import MIB

_FACTOR = 1.3
_LEAST_KIB = 200 * MIB
_HOST_KIB = 50 * MIB
_WORTH_KIB = 150 * MIB
_WORTH_BELOW_PREF_KIB = 15 * MIB
_START_MARGIN = 1.05
_STUCK_AFTER_S = 3.0


def _pref_kib(guest: View) -> int:
    used_kib = guest.used_kib + guest.swapped_kib
    least_kib = max(_LEAST_KIB, guest.floor_kib)
    return min(guest.flavor_kib, max(least_kib, int(_FACTOR * used_kib)))


class Qmemman:
    """The rule of qmemman."""

    name = "qmemman"
    period_s = 1.0
    moving_period_s = 0.1
    hears_guests = True
    hears_starts = True

    def __init__(self) -> None:
        self._progress: dict[str, tuple[int, float]] = {}

    def targets(
        self, guests: Sequence[View], host: HostView
    ) -> Mapping[str, int]:
        """Balance, or make room for a start first."""
        active = [
            g for g in guests if g.speaks and not self._stuck(g, host.now_s)
        ]
        spare_kib = host.free_kib - _HOST_KIB
        if host.wanted_kib > host.free_kib:
            return _room(active, host.wanted_kib - host.free_kib)
        wishes = _balanced(active, spare_kib - host.wanted_kib)
        if not _worth_it(active, wishes):
            return {}
        return granted_as_it_comes(active, wishes, spare_kib - host.wanted_kib)

    def _stuck(self, guest: View, now_s: float) -> bool:
        """Whether it was asked to shrink and hasn't for 3 s."""
        actual_kib, since_s = self._progress.get(
            guest.uuid, (guest.actual_kib, now_s)
        )
        there = guest.actual_kib - guest.target_kib <= MIB
        if there or actual_kib != guest.actual_kib:
            since_s = now_s
        self._progress[guest.uuid] = (guest.actual_kib, since_s)
        return now_s - since_s >= _STUCK_AFTER_S


def _room(guests: Sequence[View], missing_kib: int) -> dict[str, int]:
    """Take from all above their pref, in proportion to what is above."""
    above = {g.uuid: g.actual_kib - _pref_kib(g) for g in guests}
    available_kib = sum(kib for kib in above.values() if kib > 0)
    if available_kib < missing_kib:
        return {}
    share = missing_kib / available_kib * _START_MARGIN
    return {
        guest.uuid: guest.actual_kib - int(above[guest.uuid] * share)
        for guest in guests
        if above[guest.uuid] > 0
    }


def _balanced(guests: Sequence[View], spare_kib: int) -> dict[str, int]:
    prefs = {guest.uuid: _pref_kib(guest) for guest in guests}
    lacking_kib = sum(prefs[g.uuid] - g.actual_kib for g in guests)
    left_kib = spare_kib - lacking_kib
    if left_kib > 0:
        return _enough(guests, prefs, left_kib)
    return _too_little(guests, prefs, spare_kib)


def _enough(
    guests: Sequence[View], prefs: Mapping[str, int], left_kib: int
) -> dict[str, int]:
    """Deal out what is left by pref; who is full leaves it to the others."""
    targets = dict(prefs)
    open_ = [g for g in guests if prefs[g.uuid] < g.flavor_kib]
    while left_kib > MIB and open_:
        sum_kib = sum(prefs[guest.uuid] for guest in open_)
        dealt_kib = 0
        for guest in open_:
            part_kib = left_kib * prefs[guest.uuid] // sum_kib
            room_kib = guest.flavor_kib - targets[guest.uuid]
            targets[guest.uuid] += min(part_kib, room_kib)
            dealt_kib += min(part_kib, room_kib)
        left_kib -= dealt_kib
        open_ = [g for g in open_ if targets[g.uuid] < g.flavor_kib]
    return targets


def _too_little(
    guests: Sequence[View], prefs: Mapping[str, int], spare_kib: int
) -> dict[str, int]:
    targets = {}
    takers = []
    for guest in guests:
        above_kib = guest.actual_kib - prefs[guest.uuid]
        if above_kib > 0:
            targets[guest.uuid] = prefs[guest.uuid]
            spare_kib += above_kib
        else:
            takers.append(guest)
    sum_kib = max(1, sum(prefs[guest.uuid] for guest in takers))
    for guest in takers:
        part_kib = max(0, spare_kib) * prefs[guest.uuid] // sum_kib
        goal_kib = guest.actual_kib + part_kib
        targets[guest.uuid] = min(guest.flavor_kib, goal_kib)
    return targets


def _worth_it(guests: Sequence[View], targets: Mapping[str, int]) -> bool:
    moved_kib = 0
    for guest in guests:
        change_kib = targets[guest.uuid] - guest.target_kib
        below = guest.target_kib < _pref_kib(guest)
        if below and change_kib > _WORTH_BELOW_PREF_KIB:
            return True
        moved_kib += abs(change_kib)
    return moved_kib > _WORTH_KIB
