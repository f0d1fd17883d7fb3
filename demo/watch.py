# SPDX-License-Identifier: Apache-2.0
"""Looks at hypervisor, agent and Placement several times a second."""

import collections
import threading
import time
from collections.abc import Callable
from typing import Any

import libvirt

from demo import host, rules
from nova_xen_overcommit.agent import client

INTERVAL_S = 0.2
# Placement learns of a promise at the next update of the inventory.
_PROMISE_HOLDS_S = 5.0


class Watch:
    """Records moments and counts broken rules until the context is left.

    ``observing`` tells whether the host's mode is observe now.
    ``capacity_mib`` reads Placement.
    """

    def __init__(
        self,
        shared: libvirt.virConnect,
        agent: client.AgentClient,
        limits: rules.Limits,
        observing: Callable[[], bool],
        capacity_mib: Callable[[], int],
    ) -> None:
        self._connection = shared
        self._agent = agent
        self.limits = limits
        self._observing = observing
        self._capacity_mib = capacity_mib
        self._leaving = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name="watch", daemon=True
        )
        self._promises: collections.deque[tuple[float, int]] = (
            collections.deque()
        )
        self._passes = (-1, time.monotonic())
        self.began_s = time.monotonic()
        self.moments: list[rules.Moment] = []
        self.faults: collections.Counter[str] = collections.Counter()
        self.blind: Exception | None = None

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._leaving.set()
        self._thread.join(timeout=10.0)

    @property
    def latest(self) -> rules.Moment | None:
        """The newest moment."""
        return self.moments[-1] if self.moments else None

    @property
    def violations(self) -> int:
        """How many times a rule was seen broken."""
        return self.faults.total()

    def _watch(self) -> None:
        while not self._leaving.wait(INTERVAL_S):
            try:
                self._look_and_judge()
            except Exception as error:  # noqa: BLE001 - kept for later
                # Whoever can't see must not report that all is well.
                self.blind = error
                return

    def _look_and_judge(self) -> None:
        moment = self.look()
        self.moments.append(moment)
        faults = rules.broken(moment, self.limits)
        if faults:
            # Guests are measured one after another while memory moves
            # between them; what is still so in a second look is so.
            again = set(rules.broken(self.look(), self.limits))
            self.faults.update(again.intersection(faults))

    def look(self) -> rules.Moment:
        """Look at everything once."""
        observing = self._observing()
        seen = host.guests(self._connection)
        status = self._agent.status()
        capacity_mib = self._capacity_mib()
        now_s = time.monotonic()
        return rules.Moment(
            time_s=now_s - self.began_s,
            observing=observing and self._observing(),
            guests=seen,
            told={row["uuid"]: _told(row) for row in status["guests"]},
            promised_mib=self._promised_mib(status, now_s),
            capacity_mib=capacity_mib,
            silent_s=self._silent_s(status["passes"], now_s),
            failed_passes=status["failures"],
        )

    def _promised_mib(self, status: dict[str, Any], now_s: float) -> int:
        self._promises.append((now_s, status["report"]["promise_mib"]))
        while self._promises[0][0] < now_s - _PROMISE_HOLDS_S:
            self._promises.popleft()
        return max(promise_mib for _time_s, promise_mib in self._promises)

    def _silent_s(self, passes: int, now_s: float) -> float:
        if passes != self._passes[0]:
            self._passes = (passes, now_s)
        return now_s - self._passes[1]


def _told(row: dict[str, Any]) -> rules.Told:
    return rules.Told(
        target_kib=row["target_kib"],
        demand_kib=row["demand_kib"],
        used_kib=row["used_kib"],
        swap_used_kib=row["swap_used_kib"],
        floor_kib=row["floor_kib"],
        status=row["status"],
        reason=row["hands_off"] or row["reason"],
    )
