# SPDX-License-Identifier: Apache-2.0
"""squeezed of xapi: everyone at the same part of its range.

target_i = min_i + γ · (max_i − min_i), one γ for all, so that the host is
used up but for a slack. Asks guests nothing. Donors go first; who makes no
progress for 5 s is left out.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from benchmarks.balancer.policies.base import (
    HostView,
    View,
    bounded,
    granted_as_it_comes,
)
from tests.simulator.memory import MIB

_SLACK_KIB = (64 + 8) * MIB
_STUCK_AFTER_S = 5.0
_TOLERANCE_KIB = MIB


@dataclasses.dataclass
class _Track:
    """When a guest's balloon last moved, and to where."""

    actual_kib: int
    moved_s: float


class Squeezed:
    """The rule of squeezed."""

    name = "squeezed"
    period_s = 10.0
    moving_period_s = 1.0
    hears_guests = False
    hears_starts = True

    def __init__(self) -> None:
        self._tracks: dict[str, _Track] = {}

    def targets(
        self, guests: Sequence[View], host: HostView
    ) -> Mapping[str, int]:
        """Share the host out; starts are waited for by shrinking all."""
        active = [g for g in guests if not self._stuck(g, host.now_s)]
        pool_kib = sum(guest.actual_kib for guest in active) + host.free_kib
        pool_kib -= _SLACK_KIB + host.wanted_kib
        least_kib = sum(guest.floor_kib for guest in active)
        range_kib = sum(g.flavor_kib - g.floor_kib for g in active)
        gamma = (pool_kib - least_kib) / max(1, range_kib)
        wishes = {
            guest.uuid: bounded(
                guest,
                guest.floor_kib + gamma * (guest.flavor_kib - guest.floor_kib),
            )
            for guest in active
        }
        spare_kib = host.free_kib - _SLACK_KIB - host.wanted_kib
        return granted_as_it_comes(guests, wishes, spare_kib)

    def _stuck(self, guest: View, now_s: float) -> bool:
        track = self._tracks.setdefault(
            guest.uuid, _Track(guest.actual_kib, now_s)
        )
        there = abs(guest.target_kib - guest.actual_kib) <= _TOLERANCE_KIB
        if there or abs(track.actual_kib - guest.actual_kib) > _TOLERANCE_KIB:
            self._tracks[guest.uuid] = _Track(guest.actual_kib, now_s)
            return False
        return now_s - track.moved_s >= _STUCK_AFTER_S
