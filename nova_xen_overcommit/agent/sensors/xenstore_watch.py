# SPDX-License-Identifier: Apache-2.0
"""Tells of Xen guests in need as soon as they publish it."""

import logging
import os
import select
import time
import weakref
from collections.abc import Callable, Collection, Mapping

from nova_xen_overcommit.agent import news
from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.agent.sensors import guest_line
from nova_xen_overcommit.agent.sensors.written import WhoWrote
from nova_xen_overcommit.agent.sensors.xenstore import (
    LINE,
    data_path,
    dated,
)
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.agent.xenstore import Xenstore

LOG = logging.getLogger(__name__)


class XenstoreWatch:
    """Watches what each guest's publisher writes.

    One connection is for events and one for reads, so that a flood of
    events is never in the way of an answer. Neither is the sensor's: this
    has a thread of its own. ``wrote`` is told who wrote, for the sensor.
    """

    def __init__(
        self,
        open_store: Callable[[], Xenstore],
        settings: Callable[[], Settings],
        wake: Callable[[], None],
        wrote: WhoWrote,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._events, self._reads = open_store(), open_store()
        self._wrote = wrote
        self._settings = settings
        self._wake = wake
        self._monotonic_s = monotonic_s
        self._guests: Mapping[int, TrackedGuest] = {}
        self._watched: set[int] = set()
        self._pace: news.Pace[int] = news.Pace()
        self._complaint = news.Complaint(
            "Watching xenstore fails, needs are seen at the next tick"
        )
        self._leaving = False
        self._changed = os.eventfd(0, os.EFD_NONBLOCK)
        # Not when run() ends: follow() and close() may come later.
        weakref.finalize(self, os.close, self._changed)

    def follow(self, guests: Collection[TrackedGuest]) -> None:
        """Watch these; see :class:`news.Source`."""
        before = self._guests.keys()
        self._guests = {g.domain.domain_id: g for g in guests}
        if self._guests.keys() != before:
            os.eventfd_write(self._changed, 1)

    def close(self) -> None:
        """End; see :class:`news.Source`."""
        self._leaving = True
        os.eventfd_write(self._changed, 1)

    def run(self) -> None:
        """Listen; see :class:`news.Source`."""
        while not self._leaving:
            if not self.round():
                self._wait([], news.RETRY_S)
                continue
            # What comes in this time is the next round's.
            time.sleep(news.ROUND_S)
            self._rest()
        self._drop()

    def round(self) -> bool:
        """Take what was told by now, and look at those whose turn it is.

        Gives whether that went well. After what went wrong, all is watched
        anew in the next round.
        """
        try:
            self._watch_all()
            self._pace.add(self._told())
            self._look()
        except Exception as error:  # noqa: BLE001
            self._failed(error)
            return False
        self._complaint.over()
        return True

    def _rest(self) -> None:
        """Wait until there is something to do."""
        try:
            if not self._events.has_events:
                self._wait([self._events.fileno()], self._patience_s())
        except Exception as error:  # noqa: BLE001
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._complaint.say(error)
        self._drop()

    def _drop(self) -> None:
        # Watches end with their connection.
        self._wrote.lose()
        self._events.close()
        self._reads.close()
        self._watched = set()

    def _watch_all(self) -> None:
        wanted = set(self._guests)
        for domain_id in self._watched - wanted:
            self._events.unwatch(_path(domain_id), str(domain_id))
        for domain_id in wanted - self._watched:
            self._events.watch(_path(domain_id), str(domain_id))
        self._watched = wanted
        self._pace.forget_all_but(wanted)

    def _told(self) -> set[int]:
        """Give the guests that wrote, however often."""
        tokens = self._events.take_events()
        told = {int(token) for token in tokens if token.isdecimal()}
        self._wrote.tell(told, self._monotonic_s())
        return told

    def _look(self) -> None:
        """Read those whose turn it is, and wake if one is in need."""
        guests = self._guests
        due = [k for k in self._pace.due(self._monotonic_s()) if k in guests]
        if not due:
            return
        settings = self._settings()
        if not settings.moves:
            return
        lines = self._reads.read_many([_path(key) for key in due])
        for domain_id in due:
            line = lines[_path(domain_id)]
            guest = guests[domain_id]
            if line and self._in_need(guest, line, settings):
                LOG.debug("Guest %s is in need", guest.domain.name)
                self._wake()
                return

    def _in_need(
        self, guest: TrackedGuest, line: bytes, settings: Settings
    ) -> bool:
        try:
            figures = guest_line.parse_line(line, guest.domain.flavor_kib)
        except guest_line.Implausible:
            return False  # the sensor complains of it
        sample = dated(figures, self._monotonic_s(), 0.0)
        return guest.would_lack(sample, settings)

    def _patience_s(self) -> float | None:
        next_s = self._pace.next_s()
        if next_s is None:
            return None
        return max(0.0, next_s - self._monotonic_s())

    def _wait(self, sockets: list[int], patience_s: float | None) -> None:
        ready, _w, _x = select.select(
            [self._changed, *sockets], [], [], patience_s
        )
        if self._changed in ready:
            os.eventfd_read(self._changed)


def _path(domain_id: int) -> str:
    return data_path(domain_id, LINE)
