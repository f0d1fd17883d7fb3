# SPDX-License-Identifier: Apache-2.0
"""Proxmox's pvestatd: keep the host at 80 %, surplus by shares.

What is used above or below 80 % is taken from or given to guests so that
each has its minimum and an equal share of the rest, by at most 100 MiB a
guest and round, nothing when it is less than 10 MiB. Guests whose MemFree
is below a quarter of their minimum grow first and shrink last, but shrink
they do.
"""

from collections.abc import Mapping, Sequence

from benchmarks.balancer.policies.base import HostView, View
from tests.simulator.memory import MIB

_GOAL_SHARE = 0.80
_STEP_KIB = 100 * MIB
_DEAD_BAND_KIB = 10 * MIB
_PRESSED_SHARE = 0.25


class Proxmox:
    """The rule of pvestatd's automatic ballooning."""

    name = "proxmox"
    period_s = 10.0
    moving_period_s = 10.0
    hears_guests = False
    hears_starts = False

    def targets(
        self, guests: Sequence[View], host: HostView
    ) -> Mapping[str, int]:
        """Move towards the goal."""
        used_kib = host.physical_kib - host.free_kib
        surplus_kib = int(host.physical_kib * _GOAL_SHARE) - used_kib
        if abs(surplus_kib) <= _DEAD_BAND_KIB:
            return {}
        pressed = [g for g in guests if _pressed(g)]
        relaxed = [g for g in guests if not _pressed(g)]
        first = pressed if surplus_kib > 0 else relaxed
        targets = _dealt(first, surplus_kib)
        return targets or _dealt(guests, surplus_kib)


def _pressed(guest: View) -> bool:
    return guest.free_kib <= guest.floor_kib * _PRESSED_SHARE


def _dealt(guests: Sequence[View], surplus_kib: int) -> dict[str, int]:
    """Give what changes; what some can't take goes to the others."""
    targets: dict[str, int] = {}
    open_ = list(guests)
    rest_kib = surplus_kib
    while open_ and rest_kib:
        now = {g.uuid: targets.get(g.uuid, g.actual_kib) for g in open_}
        above_kib = sum(now[g.uuid] - g.floor_kib for g in open_)
        share_kib = (above_kib + rest_kib) // len(open_)
        left = []
        for guest in open_:
            goal_kib = _stepped(guest, share_kib, surplus_kib > 0)
            if goal_kib == now[guest.uuid]:
                continue
            rest_kib -= goal_kib - now[guest.uuid]
            targets[guest.uuid] = goal_kib
            left.append(guest)
        open_ = left
    return targets


def _stepped(guest: View, share_kib: int, grow: bool) -> int:
    goal_kib = min(guest.flavor_kib, guest.floor_kib + max(0, share_kib))
    if goal_kib > guest.actual_kib:
        most_kib = guest.actual_kib + _STEP_KIB
        return min(goal_kib, most_kib) if grow else guest.actual_kib
    return max(goal_kib, guest.actual_kib - _STEP_KIB)
