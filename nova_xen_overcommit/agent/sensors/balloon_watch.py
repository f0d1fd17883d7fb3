# SPDX-License-Identifier: Apache-2.0
"""Tells of KVM guests in need as soon as their statistics show it.

QEMU has no event for them: they change once a second, at a moment of the
guest's own, and are looked at more often than the agent does its passes.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping

from nova_xen_overcommit.agent import news
from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.agent.sensors.base import Sensor
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy.sample import MemorySample

LOG = logging.getLogger(__name__)

# Looking takes this share of the time at most: each guest costs QEMU and
# libvirt an answer.
_LOOKING_SHARE = 0.1


class BalloonWatch:
    """Looks at the statistics of all guests; see :class:`news.Source`.

    ``sensor`` is its own: this has a thread of its own.
    """

    def __init__(
        self,
        sensor: Sensor,
        settings: Callable[[], Settings],
        wake: Callable[[], None],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sensor = sensor
        self._settings = settings
        self._wake = wake
        self._monotonic_s = monotonic_s
        self._guests: Mapping[str, TrackedGuest] = {}
        self._told: Mapping[str, MemorySample] = {}
        self._complaint = news.Complaint(
            "Watching balloons fails, needs are seen at the next tick"
        )
        self._leaving = threading.Event()

    def follow(self, guests: Collection[TrackedGuest]) -> None:
        """Watch these; see :class:`news.Source`."""
        self._guests = {guest.domain.uuid: guest for guest in guests}

    def close(self) -> None:
        """End; see :class:`news.Source`."""
        self._leaving.set()

    def run(self) -> None:
        """Look until closed; see :class:`news.Source`."""
        rest_s = news.LOOK_EVERY_S
        while not self._leaving.wait(rest_s):
            began_s = self._monotonic_s()
            rest_s = news.LOOK_EVERY_S if self.round() else news.RETRY_S
            took_s = self._monotonic_s() - began_s
            rest_s = max(rest_s, took_s / _LOOKING_SHARE - took_s)
        self._sensor.close()

    def round(self) -> bool:
        """Look once; give whether that went well."""
        try:
            self.look()
        except Exception as error:  # noqa: BLE001
            self._complaint.say(error)
            return False
        self._complaint.over()
        return True

    def look(self) -> None:
        """Look at all guests once, and wake if one that spoke is in need."""
        guests, settings = self._guests, self._settings()
        if not guests or not settings.moves:
            return
        before = self._told
        self._told = self._sensor.read([g.domain for g in guests.values()])
        for uuid, sample in self._told.items():
            if sample is before.get(uuid):
                continue
            guest = guests[uuid]
            if guest.would_lack(sample, settings):
                LOG.debug("Guest %s is in need", guest.domain.name)
                self._wake()
                return
