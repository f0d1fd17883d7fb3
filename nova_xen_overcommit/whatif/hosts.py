# SPDX-License-Identifier: Apache-2.0
"""What a host of a replay promises and reports.

The promise is :mod:`policy.promise`'s, from the peak that the production
predictor foretells; the report is the one the scheduler's filter reads.
"""

import numpy as np

from nova_xen_overcommit import report as reports
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy import floor, promise
from nova_xen_overcommit.policy.predictors import Predictor
from nova_xen_overcommit.whatif.arrays import Bools, Ints
from nova_xen_overcommit.whatif.balancing import Balancer
from nova_xen_overcommit.whatif.fleet import Fleet, Shape
from nova_xen_overcommit.whatif.history import History

_KIB_PER_MIB = 1024


class Host:
    """One host: its guests' indexes, and what is foretold of them."""

    def __init__(self, index: int, raise_delay_s: float) -> None:
        self.index = index
        self.rise = promise.SlowRise(raise_delay_s)
        self.members: Ints = np.array([], dtype=np.int64)
        self.peak_kib = 0
        self.promise_kib = 0

    def take(self, guest: int) -> None:
        """Add a guest."""
        self.members = np.append(self.members, guest)

    def drop(self, guest: int) -> None:
        """Let a guest go."""
        self.members = self.members[self.members != guest]


class Reporter:
    """Makes the promises and reports of all hosts.

    ``known`` tells whose demand is in the history: who is past its warm-up
    and spoke in the last step. All others count with their flavors.
    """

    def __init__(
        self,
        fleet: Fleet,
        shape: Shape,
        settings: Settings,
        predictor: Predictor,
        history: History,
        balancer: Balancer,
    ) -> None:
        self._fleet = fleet
        self._shape = shape
        self._settings = settings
        self._predictor = predictor
        self._history = history
        self._balancer = balancer
        self.known: Bools = np.zeros(len(fleet.names), dtype=bool)
        self.predictions = 0

    def remember(self, step: int, now_s: float) -> None:
        """Take the demand of one step into the history."""
        fleet = self._fleet
        old = now_s - fleet.arrived_s >= self._settings.warm_up_s
        placed, speaks = fleet.host >= 0, fleet.needs.speaks
        self.known = placed & speaks & old
        who = np.flatnonzero(self.known)
        silent = np.flatnonzero(placed & ~speaks)
        self._history.add(step, who, fleet.needs.demand_kib[who], silent)

    def foretell(self, host: Host, step: int) -> None:
        """Ask the predictor anew."""
        self.predictions += 1
        past = self._history.past(self._known(host), step)
        host.peak_kib = self._predictor.peak_kib(past)

    def _known(self, host: Host) -> Ints:
        known: Ints = host.members[self.known[host.members]]
        return known

    def publish(self, host: Host, now_s: float) -> int:
        """Give what the host promises now, in KiB."""
        made = promise.promise(self._account(host))
        host.promise_kib = host.rise.publish(made.promise_kib, now_s)
        return host.promise_kib

    def _account(self, host: Host) -> promise.Account:
        fleet, settings, members = self._fleet, self._settings, host.members
        flavors_kib = int(fleet.sizes_kib[members].sum())
        floors_kib = int(fleet.floors_kib[members].sum())
        overheads_kib = int(fleet.overheads_kib[members].sum())
        return promise.Account(
            usable_kib=self._shape.usable_kib,
            reserve_kib=settings.reserve_kib,
            committed_kib=flavors_kib,
            peak_kib=overheads_kib + self._peak_kib(host, flavors_kib),
            floors_kib=floors_kib + overheads_kib,
            overhead_kib=overheads_kib,
            floor_share=(
                floors_kib / flavors_kib
                if flavors_kib
                else settings.floor_share
            ),
            max_ratio=settings.max_ratio,
            swap_kib=(
                self._swap_kib(members)
                if settings.require_guest_swap
                else None
            ),
        )

    def _swap_kib(self, members: Ints) -> int:
        """Give what of the guests' swap backs their flavors."""
        fleet = self._fleet
        sizes_kib = fleet.sizes_kib[members].tolist()
        swaps_kib = fleet.swaps_kib[members].tolist()
        return sum(map(floor.counted_swap_kib, sizes_kib, swaps_kib))

    def _peak_kib(self, host: Host, flavors_kib: int) -> int:
        """Give the peak with those in full who aren't known."""
        fleet, known = self._fleet, self._known(host)
        full_kib = flavors_kib - int(fleet.sizes_kib[known].sum())
        # What is needed now is no prediction: it counts at once.
        now_kib = int(fleet.needs.demand_kib[known].sum())
        return min(flavors_kib, full_kib + max(host.peak_kib, now_kib))

    def report(self, host: Host, wall_s: float) -> reports.HostReport:
        """Give what the host tells the scheduler."""
        fleet, settings, members = self._fleet, self._settings, host.members
        needs, has_kib = fleet.needs, fleet.target_kib[members]
        account = self._account(host)
        free_kib = self._balancer.free_kib(members)
        speaks = needs.speaks[members]
        firm_kib = np.clip(
            needs.firm_kib[members],
            fleet.floors_kib[members],
            needs.demand_kib[members],
        )
        idle_kib = (has_kib - needs.demand_kib[members]).clip(0)
        yields = speaks & (needs.starved[members] == 0)
        spare_kib = (has_kib - firm_kib).clip(0)
        short_kib = (firm_kib - has_kib).clip(0)[speaks].sum()
        return reports.HostReport(
            time_s=wall_s,
            mode="overcommit",
            state=self._state(members, int(short_kib), free_kib),
            physical_mib=self._shape.physical_kib // _KIB_PER_MIB,
            usable_mib=self._shape.usable_kib // _KIB_PER_MIB,
            reserve_mib=_mib_up(settings.reserve_kib),
            free_mib=max(0, free_kib) // _KIB_PER_MIB,
            committed_mib=_mib_up(account.committed_kib),
            promise_mib=host.promise_kib // _KIB_PER_MIB,
            floors_mib=_mib_up(account.floors_kib),
            demand_mib=_mib_up(int(needs.demand_kib[members].sum())),
            peak_mib=_mib_up(account.peak_kib),
            idle_mib=int(idle_kib[speaks].sum()) // _KIB_PER_MIB,
            reclaimable_mib=int(spare_kib[yields].sum()) // _KIB_PER_MIB,
            swap_mib=self._swap_kib(members) // _KIB_PER_MIB,
            max_ratio=settings.max_ratio,
            floor_share=settings.floor_share,
            start_share=settings.start_share,
            require_guest_swap=settings.require_guest_swap,
            guests=len(members),
            uncooperative=0,
            overhead_mib=_mib_up(account.overhead_kib),
        )

    def _state(self, members: Ints, short_kib: int, free_kib: int) -> str:
        """Name the host's state as the agent does."""
        needs = self._fleet.needs
        if short_kib > max(0, free_kib):
            starved = (needs.starved[members] > 0).any()
            return reports.EMERGENCY if starved else reports.PRESSURE
        if free_kib < self._settings.reserve_kib:
            return reports.RECLAIMING
        return reports.NORMAL


def _mib_up(kib: int) -> int:
    return -(-kib // _KIB_PER_MIB)
