# SPDX-License-Identifier: Apache-2.0
"""Tells of guests that took memory back, or came and went, by libvirt.

A KVM guest may deflate its balloon unasked (``autodeflate``): it is in need
then, and what it took is nobody else's. A guest that ended leaves memory
that another may wait for.
"""

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import libvirt

from nova_xen_overcommit.agent import news
from nova_xen_overcommit.agent.guests import TrackedGuest

# Less than this above its target is what guests settle at.
_TOLERANCE_KIB = 8 * 1024
_LEAVE_WITHIN_MS = 200
_KEEPALIVE_S, _KEEPALIVES = 5, 3
# What is only said of a guest, not done with it.
_NO_NEWS = (
    libvirt.VIR_DOMAIN_EVENT_DEFINED,
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED,
)


@functools.cache
def register_event_loop() -> None:
    """Give libvirt its event loop; comes before any connection."""
    libvirt.virEventRegisterDefaultImpl()
    # Without a timer the loop would return only when something happens.
    libvirt.virEventAddTimeout(_LEAVE_WITHIN_MS, lambda *_: None, None)


class DomainEvents:
    """Listens on a connection of its own; see :class:`news.Source`."""

    def __init__(
        self,
        open_connection: Callable[[], Any],
        wake: Callable[[], None],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open = open_connection
        self._wake = wake
        self._monotonic_s = monotonic_s
        self._guests: Mapping[str, TrackedGuest] = {}
        self._pace: news.Pace[str] = news.Pace()
        self._complaint = news.Complaint(
            "Listening to libvirt fails, needs are seen at the next tick"
        )
        self._leaving = threading.Event()

    def follow(self, guests: Collection[TrackedGuest]) -> None:
        """Take the guests of a pass; see :class:`news.Source`."""
        self._guests = {guest.domain.uuid: guest for guest in guests}

    def close(self) -> None:
        """End; see :class:`news.Source`."""
        self._leaving.set()

    def run(self) -> None:
        """Listen; see :class:`news.Source`."""
        while not self._leaving.is_set():
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001
                self._complaint.say(error)
                self._leaving.wait(news.RETRY_S)

    def _listen(self) -> None:
        """Do so until the connection is lost or all ends."""
        register_event_loop()
        connection = self._open()
        try:
            # Or a host that vanished would never be missed.
            with contextlib.suppress(libvirt.libvirtError):
                connection.setKeepAlive(_KEEPALIVE_S, _KEEPALIVES)
            self._register(connection)
            while connection.isAlive() and not self._leaving.is_set():
                libvirt.virEventRunDefaultImpl()
                self._wake_if_due()
                self._complaint.over()
        finally:
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()

    def _register(self, connection: Any) -> None:
        connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lived, None
        )
        connection.domainEventRegisterAny(
            None,
            libvirt.VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE,
            self._ballooned,
            None,
        )

    def _wake_if_due(self) -> None:
        if self._pace.due(self._monotonic_s()):
            self._wake()

    def _lived(
        self, _connection: Any, domain: Any, event: int, *_more: object
    ) -> None:
        if event not in _NO_NEWS:
            self._pace.add([domain.UUIDString()])

    def _ballooned(
        self, _connection: Any, domain: Any, actual_kib: int, *_more: object
    ) -> None:
        guest = self._guests.get(domain.UUIDString())
        if guest is None:
            return
        expected_kib = guest.target_kib + guest.progress.offset_kib
        before_kib = max(guest.domain.actual_kib, expected_kib)
        if actual_kib > before_kib + _TOLERANCE_KIB:
            self._pace.add([guest.domain.uuid])
