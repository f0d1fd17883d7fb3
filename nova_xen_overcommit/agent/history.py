# SPDX-License-Identifier: Apache-2.0
"""Demand of the guests over time, kept small and in memory."""

import collections
from collections.abc import Collection, Mapping

from nova_xen_overcommit.policy.predictors import GuestPast, HostPast

# A day in five-minute steps, and no fewer steps for shorter histories.
STEPS = 288
_LEAST_STEP_S = 5.0


class DemandHistory:
    """The highest demand of each guest in each time step, in KiB."""

    def __init__(self, history_s: float) -> None:
        self.step_s = max(_LEAST_STEP_S, history_s / STEPS)
        self._guests: dict[str, collections.OrderedDict[int, int]] = {}

    def add(
        self,
        demands_kib: Mapping[str, int],
        present: Collection[str],
        now_s: float,
    ) -> None:
        """Take one pass's demands; guests not present are forgotten."""
        step = int(now_s // self.step_s)
        for uuid in set(self._guests) - set(present):
            del self._guests[uuid]
        for uuid, demand_kib in demands_kib.items():
            steps = self._guests.setdefault(uuid, collections.OrderedDict())
            steps[step] = max(steps.get(step, 0), demand_kib)
            while next(iter(steps)) <= step - STEPS:
                steps.popitem(last=False)

    def past(
        self, flavors_kib: Mapping[str, int], now_s: float, wall_s: float
    ) -> HostPast:
        """Give the past of some guests, by uuid; flavors in KiB.

        A guest that wasn't there in a step counts with the highest it ever
        had: it would have been there with no less. ``now_s`` and ``wall_s``
        are one moment, told by the clock of ``add`` and by the wall clock.
        """
        known = [uuid for uuid in flavors_kib if uuid in self._guests]
        series = [self._guests[uuid] for uuid in known]
        steps = sorted(set().union(*series)) if series else []
        highest = [max(guest.values()) for guest in series]
        last = steps[-1] if steps else int(now_s // self.step_s)
        return HostPast(
            step_s=self.step_s,
            end_s=wall_s + (last + 1) * self.step_s - now_s,
            sum_kib=[
                sum(
                    guest.get(step, most)
                    for guest, most in zip(series, highest, strict=True)
                )
                for step in steps
            ],
            guests=[
                GuestPast(flavors_kib[uuid], len(guest), most)
                for uuid, guest, most in zip(
                    known, series, highest, strict=True
                )
            ],
        )
