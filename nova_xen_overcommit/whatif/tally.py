# SPDX-License-Identifier: Apache-2.0
"""Counts what happens in a replay, step by step; KiB."""

from collections.abc import Sequence

import numpy as np

from nova_xen_overcommit.whatif.fleet import Fleet
from nova_xen_overcommit.whatif.hosts import Host

# What is missing to a guest up to so much is no shortage.
TOLERANCE_KIB = 1024


class Tally:
    """Figures by step, by host and by guest.

    By step: ``committed_kib``, ``used_kib`` and ``demand_kib`` of all
    guests, ``hosts`` and ``stock_hosts`` with guests on them. By host and
    step: ``short_kib`` and ``short_guests``; by host, how many steps it had
    guests. By guest: ``lived`` and ``short_steps``, ``missed_kib`` summed
    over steps, ``worst_kib`` at one moment. ``promises`` are (step, host,
    promised, committed).
    """

    def __init__(self, fleet: Fleet, steps: int, step_s: float) -> None:
        self._fleet = fleet
        self._steps = steps
        self.step_s = step_s
        self.committed_kib = np.zeros(steps, dtype=np.int64)
        self.used_kib = np.zeros(steps, dtype=np.int64)
        self.demand_kib = np.zeros(steps, dtype=np.int64)
        self.hosts = np.zeros(steps, dtype=np.int64)
        self.stock_hosts = np.zeros(steps, dtype=np.int64)
        self.short_kib: dict[int, np.ndarray] = {}
        self.short_guests: dict[int, np.ndarray] = {}
        self.served: dict[int, int] = {}
        guests = len(fleet.names)
        self.lived = np.zeros(guests, dtype=np.int64)
        self.short_steps = np.zeros(guests, dtype=np.int64)
        self.missed_kib = np.zeros(guests, dtype=np.int64)
        self.worst_kib = np.zeros(guests, dtype=np.int64)
        self.promises: list[tuple[int, int, int, int]] = []

    def step(self, step: int, stock_hosts: int, hosts: Sequence[Host]) -> None:
        """Count one step after all balancers have done their passes."""
        fleet, needs = self._fleet, self._fleet.needs
        placed = np.flatnonzero(fleet.host >= 0)
        self.committed_kib[step] = fleet.sizes_kib[placed].sum()
        self.demand_kib[step] = needs.demand_kib[placed].sum()
        self.stock_hosts[step] = stock_hosts
        self.lived[placed] += 1
        for host in hosts:
            if len(host.members):
                self.hosts[step] += 1
                served = self.served.get(host.index, 0)
                self.served[host.index] = served + 1
        speaking = placed[needs.speaks[placed]]
        self.used_kib[step] = needs.used_kib[speaking].sum()
        missing_kib = needs.used_kib[speaking] - fleet.target_kib[speaking]
        short = missing_kib > TOLERANCE_KIB
        if short.any():
            self._shortage(step, speaking[short], missing_kib[short])

    def _shortage(
        self, step: int, who: np.ndarray, missing_kib: np.ndarray
    ) -> None:
        self.short_steps[who] += 1
        self.missed_kib[who] += missing_kib
        self.worst_kib[who] = np.maximum(self.worst_kib[who], missing_kib)
        at = self._fleet.host[who]
        for host in np.unique(at).tolist():
            for series, figure in (
                (self.short_kib, missing_kib[at == host].sum()),
                (self.short_guests, (at == host).sum()),
            ):
                if host not in series:
                    series[host] = np.zeros(self._steps, dtype=np.int64)
                series[host][step] = figure

    def promise(self, step: int, host: Host) -> None:
        """Take note of what a host promises after a step."""
        committed_kib = int(self._fleet.sizes_kib[host.members].sum())
        self.promises.append(
            (step, host.index, host.promise_kib, committed_kib)
        )
