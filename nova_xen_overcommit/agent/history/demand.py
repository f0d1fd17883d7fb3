# SPDX-License-Identifier: Apache-2.0
"""Demand of the guests over time, from pass to pass."""

import logging
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from nova_xen_overcommit.agent.history import records, steps
from nova_xen_overcommit.agent.history.past import Past
from nova_xen_overcommit.agent.history.records import GuestStep, HostStep
from nova_xen_overcommit.policy.predictors import HostPast

LOG = logging.getLogger(__name__)

# The first step waits so long for what the last agent knew.
_LOAD_S = 60.0


class Seen(NamedTuple):
    """What one pass saw of a guest; KiB, 0 where nothing is believed.

    ``in_full`` says that it counts with its whole flavor for now.
    """

    flavor_kib: int
    demand_kib: int
    used_kib: int
    in_full: bool


class Store(Protocol):
    """Where history outlives the agent; none of its methods ever waits."""

    def loaded(self) -> Past | None:
        """Give what was known before this agent, once, when it is read.

        Its open step is the one that was under way at the start.
        """

    def put(self, step: HostStep) -> None:
        """Take a step to be written."""

    def close(self) -> None:
        """Write what is left; gives up after some seconds."""


class DemandHistory:
    """The highest demand of each guest in each time step, in KiB.

    A step begins at a multiple of its length by the wall clock, and ends
    when that much time has gone by on the monotonic one. So a clock that is
    set neither stretches nor tears a step: what comes after it has new
    labels.
    """

    def __init__(self, history_s: float, store: Store | None = None) -> None:
        self.step_s = steps.length_s(history_s)
        self._past = Past(steps.most(history_s) - 1)
        self._store = store
        self._awaits = store
        self._began_s: float | None = None
        self._label = 0
        self._ends_s = 0.0

    def add(
        self, seen: Mapping[str, Seen], now_s: float, wall_s: float
    ) -> None:
        """Take what a pass saw of each running guest, by uuid.

        ``now_s`` and ``wall_s`` are one moment on the monotonic and on the
        wall clock.
        """
        if self._began_s is None:
            self._began_s = now_s
            self._open(now_s, wall_s)
        if self._awaits is not None:
            self._take_over(self._awaits, now_s - self._began_s)
            # It is watched for as long as it has to wait.
            self._ends_s = max(self._ends_s, now_s)
        if now_s >= self._ends_s and self._awaits is None:
            self._close(now_s, wall_s)
        self._note(seen)

    def _take_over(self, store: Store, waited_s: float) -> None:
        """Begin with what the last agent knew, as soon as that is read."""
        loaded = store.loaded()
        if loaded is not None:
            loaded.take_open(self._past)
            self._past = loaded
            self._awaits = None
        elif waited_s >= _LOAD_S:
            LOG.warning(
                "The history before this start can't be read: no answer for "
                "%d s; the promise begins anew",
                _LOAD_S,
            )
            self._awaits = None

    def _open(self, now_s: float, wall_s: float) -> None:
        # A clock that was never set is at the epoch, or far off.
        wall_s = min(max(wall_s, 0.0), records.LAST_S)
        self._label = int(wall_s // self.step_s)
        self._ends_s = now_s + (self._label + 1) * self.step_s - wall_s

    def _close(self, now_s: float, wall_s: float) -> None:
        self._save()
        self._past.close()
        # Nobody looked in what went by besides.
        self._past.skip(int((now_s - self._ends_s) // self.step_s))
        self._open(now_s, wall_s)

    def _note(self, seen: Mapping[str, Seen]) -> None:
        past, sum_kib = self._past, 0
        known = past.guests
        for uuid, (flavor_kib, demand_kib, used_kib, in_full) in seen.items():
            guest = known.get(uuid)
            if guest is None:
                guest = past.guest(uuid)
            if in_full:
                # What a guest needs to boot is no sign of what it will
                # need: a known one needs no more than it ever did, and of
                # a new one nothing is known.
                demand_kib = min(demand_kib, guest.highest_kib)
            guest.note(flavor_kib, demand_kib, used_kib)
            # Silent for a moment, it needs what it did before.
            sum_kib += demand_kib or guest.open_kib
        past.open_kib = max(past.open_kib, sum_kib)

    def _save(self) -> None:
        if self._store is not None:
            self._store.put(
                HostStep(
                    time_s=self._label * self.step_s,
                    step_s=self.step_s,
                    demand_kib=self._past.open_kib,
                    guests=[
                        GuestStep(
                            uuid,
                            guest.flavor_kib,
                            guest.open_kib,
                            guest.used_kib,
                        )
                        for uuid, guest in self._past.guests.items()
                        if guest.present
                    ],
                )
            )

    def close(self) -> None:
        """Write the open step, so that the next agent knows of it."""
        if self._store is not None:
            if self._began_s is not None:
                self._save()
            self._store.close()

    def past(self, flavors_kib: Mapping[str, int]) -> HostPast:
        """Give the past of some guests, by uuid; flavors in KiB."""
        guests = [
            self._past.told(uuid, flavor_kib)
            for uuid, flavor_kib in flavors_kib.items()
        ]
        return HostPast(
            step_s=self.step_s,
            end_s=(self._label + 1) * self.step_s,
            sum_kib=self._past.sums(flavors_kib),
            guests=[guest for guest in guests if guest is not None],
        )
