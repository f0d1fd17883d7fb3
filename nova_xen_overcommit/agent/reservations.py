# SPDX-License-Identifier: Apache-2.0
"""Memory held for guests that are about to start, and guests held still.

A lease belongs to a client's connection and ends with it. Server threads
add and remove leases and wait for the answer; the balancer, one thread,
grants and refuses them.
"""

import dataclasses
import threading

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.protocol import StartRequest


@dataclasses.dataclass(eq=False, slots=True)
class Reservation:
    """One start; memory in KiB.

    ``granted_kib`` is what the guest may start with, None while it waits.
    ``overhead_kib`` is what the hypervisor needs beside that. ``restart``:
    not asked by a client, but made for a guest that may be rebooting; it
    ends at its deadline. ``foreign``: that guest isn't Nova's; clients ask
    for Nova's alone.
    """

    request: StartRequest
    asked_at_s: float
    deadline_s: float
    overhead_kib: int = 0
    granted_kib: int | None = None
    restart: bool = False
    foreign: bool = False
    failure: exception.OvercommitError | None = None
    answered: threading.Event = dataclasses.field(
        default_factory=threading.Event
    )

    @property
    def claim_kib(self) -> int:
        """What is set aside for it."""
        if self.granted_kib is None:
            return 0
        return self.granted_kib + self.overhead_kib

    def grant(self, start_kib: int) -> None:
        """Say yes: the guest may start with ``start_kib``."""
        self.granted_kib = start_kib
        self.answered.set()

    def refuse(self, failure: exception.OvercommitError) -> None:
        """Say no, and why."""
        self.failure = failure
        self.answered.set()


class Leases:
    """All reservations and holds; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reservations: list[Reservation] = []
        self._holds: list[tuple[str, str]] = []
        self.changed = threading.Event()

    def add(self, reservation: Reservation) -> None:
        """Queue a start."""
        with self._lock:
            self._reservations.append(reservation)
        self.changed.set()

    def remove(self, reservation: Reservation) -> None:
        """End a reservation; harmless when it has ended already."""
        with self._lock:
            if reservation in self._reservations:
                self._reservations.remove(reservation)
        self.changed.set()

    def reservations(self) -> list[Reservation]:
        """Give those that are not refused, oldest first."""
        with self._lock:
            return [r for r in self._reservations if r.failure is None]

    def hold(self, uuid: str, reason: str) -> None:
        """Keep the balancer's hands off a guest."""
        with self._lock:
            self._holds.append((uuid, reason))
        self.changed.set()

    def unhold(self, uuid: str, reason: str) -> None:
        """End one hold; a guest may have several."""
        with self._lock:
            if (uuid, reason) in self._holds:
                self._holds.remove((uuid, reason))
        self.changed.set()

    def held(self) -> dict[str, str]:
        """Give the reason by UUID of each guest that is held."""
        with self._lock:
            return dict(self._holds)
