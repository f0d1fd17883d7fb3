# SPDX-License-Identifier: Apache-2.0
"""xenballoond of Xen 3.3: each guest follows its own Committed_AS.

target = max(Committed_AS, floor), each second a tenth of the way down and
all the way up. Nobody on the host decides anything: a guest asks, and gets
what is free. Its floor is its own minimum by size, above what a kernel of
today keeps for itself, as ours is.
"""

from collections.abc import Mapping, Sequence

from benchmarks.balancer.policies.base import HostView, View

_DOWN_PER_TICK = 10


class Xenballoond:
    """The rule of tools/xenballoon."""

    name = "xenballoond"
    period_s = 1.0
    moving_period_s = 1.0
    hears_guests = False
    hears_starts = False

    def targets(
        self, guests: Sequence[View], host: HostView
    ) -> Mapping[str, int]:
        """Give each guest's own wish; it needs no publisher for that."""
        del host
        return {guest.uuid: _wish_kib(guest) for guest in guests}


def _wish_kib(guest: View) -> int:
    goal_kib = max(guest.committed_kib, guest.floor_kib)
    gap_kib = goal_kib - guest.actual_kib
    if gap_kib < 0:
        goal_kib = guest.actual_kib + gap_kib // _DOWN_PER_TICK
    return min(guest.flavor_kib, goal_kib)
