# SPDX-License-Identifier: Apache-2.0
"""The production balancer over a host of a replay.

Decides with :mod:`policy.targets` and :mod:`policy.grants` as the agent
does, pass after pass until nothing moves. Balloons arrive between two
passes, since a trace's step has time for many.
"""

from collections.abc import Sequence

import numpy as np

from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy import grants, targets
from nova_xen_overcommit.policy.limits import Limit
from nova_xen_overcommit.whatif.arrays import Bools, Ints
from nova_xen_overcommit.whatif.fleet import Fleet, Shape

# A step of five minutes has so many passes in which guests have spoken.
MOST_PASSES = 60


class Balancer:
    """Moves memory between the guests of one host at a time."""

    def __init__(self, fleet: Fleet, shape: Shape, settings: Settings) -> None:
        self._fleet = fleet
        self._shape = shape
        self._settings = settings
        self.plans = 0

    def free_kib(self, members: Ints) -> int:
        """Give what nobody has on a host with these guests."""
        fleet = self._fleet
        held_kib = fleet.target_kib[members] + fleet.overheads_kib[members]
        return self._shape.usable_kib - int(held_kib.sum())

    def would_move(self, hosts: int) -> Bools:
        """Tell of each host whether a pass could change anything there.

        It can't where nobody lacks more than the dead band to its hopes, no
        starved guest lacks anything, and free memory covers what is lacking
        and the reserve: the planner then takes the way of "enough for all",
        nothing is missing, and all keep what they have.
        """
        fleet, needs = self._fleet, self._fleet.needs
        placed = np.flatnonzero(fleet.host >= 0)
        at = fleet.host[placed]
        floors_kib, sizes_kib = fleet.floors_kib[placed], self._sizes(placed)
        need_kib = np.clip(needs.wanted_kib[placed], floors_kib, sizes_kib)
        hoped_kib = np.minimum(sizes_kib, needs.hoped_kib[placed])
        has_kib = fleet.target_kib[placed]
        lack_kib = np.maximum(need_kib, hoped_kib) - has_kib
        lack_kib = np.where(self._growable(placed), lack_kib, 0).clip(0)
        dead_kib = np.where(
            needs.starved[placed] > 0,
            1,
            max(1, self._settings.targets.dead_band_kib),
        )
        grows = np.bincount(at[lack_kib >= dead_kib], minlength=hosts) > 0
        held_kib = has_kib + fleet.overheads_kib[placed] + lack_kib
        # Exact: far below 2**53.
        asked_kib = np.bincount(at, weights=held_kib, minlength=hosts)
        room_kib = self._shape.usable_kib - self._settings.reserve_kib
        return np.asarray(grows | (asked_kib > room_kib))

    def settle(self, members: Ints, wanted_kib: int = 0) -> None:
        """Do passes until nothing moves.

        ``wanted_kib`` is what a start waits for; once it is free the start
        takes it, and no more passes are made for it.
        """
        slack_kib = self._settings.slack_kib
        for _ in range(MOST_PASSES):
            free_kib = self.free_kib(members)
            if wanted_kib and free_kib - slack_kib >= wanted_kib:
                return
            if not self._pass(members, free_kib, wanted_kib):
                return

    def _pass(self, members: Ints, free_kib: int, wanted_kib: int) -> bool:
        """Plan and carry out; tell whether anything moved."""
        self.plans += 1
        settings = self._settings
        guests = self._planned(members)
        plan = targets.plan(
            guests,
            targets.Host(
                expected_free_kib=free_kib,
                reserve_kib=settings.reserve_kib,
                slack_kib=settings.slack_kib,
                wanted_kib=wanted_kib,
            ),
            settings.targets,
        )
        wishes, moved = [], False
        for index, guest in zip(members.tolist(), guests, strict=True):
            lack_kib = plan[guest.uuid].target_kib - guest.target_kib
            if lack_kib < 0:
                self._fleet.target_kib[index] += lack_kib
                moved = True
            elif lack_kib > 0:
                wishes.append(_wish(guest, lack_kib))
        if not wishes:
            return moved
        purse = grants.Purse(
            spendable_kib=free_kib - settings.slack_kib,
            wanted_kib=wanted_kib,
            reserve_kib=settings.reserve_kib - settings.slack_kib,
        )
        granted = grants.grants(wishes, purse)
        for index, guest in zip(members.tolist(), guests, strict=True):
            grant_kib = granted.get(guest.uuid, 0)
            self._fleet.target_kib[index] += grant_kib
            moved = moved or grant_kib > 0
        return moved

    def _sizes(self, who: Ints) -> Ints:
        return self._fleet.sizes_kib[who]

    def _growable(self, who: Ints) -> Bools:
        """Tell who may be given memory.

        Not who is silent, unless the last it said was that it is starved.
        """
        needs = self._fleet.needs
        return needs.speaks[who] | (needs.starved[who] > 0)

    def _planned(self, members: Ints) -> Sequence[targets.Guest]:
        fleet, needs = self._fleet, self._fleet.needs
        columns = (
            members,
            fleet.sizes_kib[members],
            fleet.floors_kib[members],
            fleet.target_kib[members],
            needs.wanted_kib[members],
            needs.used_kib[members],
            self._growable(members),
            needs.speaks[members],
            needs.starved[members] > 0,
            needs.hoped_kib[members],
            needs.firm_kib[members],
            needs.bare_kib[members],
        )
        return [
            _guest(fleet.names[row[0]], *row[1:])
            for row in zip(*(one.tolist() for one in columns), strict=True)
        ]


def _guest(
    name: str,
    size_kib: int,
    floor_kib: int,
    target_kib: int,
    wanted_kib: int,
    used_kib: int,
    growable: bool,
    speaks: bool,
    starved: bool,
    hoped_kib: int,
    firm_kib: int,
    bare_kib: int,
) -> targets.Guest:
    """Give the planner's view, as the agent's guests give it."""
    starved = starved and speaks
    hold = None
    if not speaks:
        hold = Limit.NO_DATA
    elif starved:
        hold = Limit.STARVED
    return targets.Guest(
        uuid=name,
        flavor_kib=size_kib,
        floor_kib=floor_kib,
        actual_kib=target_kib,
        target_kib=target_kib,
        demand_kib=wanted_kib,
        used_kib=used_kib,
        growable=growable,
        shrinkable=hold is None,
        starved=starved,
        hold=hold,
        yields_if_short=starved,
        hoped_kib=hoped_kib if speaks else 0,
        firm_kib=firm_kib if speaks else None,
        bare_kib=bare_kib if speaks else None,
    )


def _wish(guest: targets.Guest, lack_kib: int) -> grants.Wish:
    return grants.Wish(
        uuid=guest.uuid,
        lack_kib=lack_kib,
        firm_kib=max(0, guest.firm_need_kib - guest.target_kib),
        flavor_kib=guest.flavor_kib,
        starved=guest.starved,
    )
