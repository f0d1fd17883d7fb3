# SPDX-License-Identifier: Apache-2.0
"""Demand of the guests over time, kept small and in memory."""

import collections
from collections.abc import Collection, Iterable, Mapping

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

    def summed(self, uuids: Iterable[str]) -> list[int]:
        """Give the summed demand of some guests, oldest first.

        A guest that wasn't there in a step counts with the highest it ever
        had: it would have been there with no less.
        """
        series = [self._guests[u] for u in uuids if u in self._guests]
        steps = sorted(set().union(*series)) if series else []
        highest = [max(guest.values()) for guest in series]
        return [
            sum(
                guest.get(step, most)
                for guest, most in zip(series, highest, strict=True)
            )
            for step in steps
        ]
