# SPDX-License-Identifier: Apache-2.0
"""Guests that reboot by themselves, where a reboot frees their memory.

On Xen such a guest is ended and built anew, which nobody announces: it is
gone from one pass to the next, its memory is free, and its next life begins
as soon as that much is there. What it comes back with is made small while
it runs, and kept for it when it is gone, until it is back or won't come.
"""

import logging
from collections.abc import Iterable, Mapping

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.agent.hypervisor.base import Hypervisor
from nova_xen_overcommit.agent.protocol import StartRequest
from nova_xen_overcommit.agent.reservations import Leases, Reservation
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy import floor

LOG = logging.getLogger(__name__)

# Ending and building a domain takes seconds; one that isn't back by then
# was shut down.
GRACE_S = 60.0


class RestartDesk:
    """Keeps memory for guests that may be on their way back."""

    def __init__(self, hypervisor: Hypervisor, leases: Leases) -> None:
        self._hypervisor = hypervisor
        self._leases = leases

    def prepare(
        self, guests: Iterable[TrackedGuest], settings: Settings
    ) -> None:
        """Say of each guest with how much it comes back.

        Once, and again when its floor has changed.
        """
        if not self._hypervisor.rebuilds_at_reboot:
            return
        for guest in guests:
            if not guest.restart_due or guest.domain.busy or guest.held:
                continue
            guest.restart_due = False
            if guest.domain.exempt:
                guest.restart_kib = guest.domain.flavor_kib
            else:
                guest.restart_kib = self._made_small(guest, settings)

    def _made_small(self, guest: TrackedGuest, settings: Settings) -> int:
        domain = guest.domain
        start_kib = floor.start_kib(
            domain.flavor_kib, guest.floor_kib, settings.start_share
        )
        try:
            self._hypervisor.set_restart_memory(domain, start_kib)
        except exception.HypervisorError as error:
            LOG.warning("It may not come back from a reboot: %s", error)
            # What its definition says is not known here, but never more.
            return domain.flavor_kib
        return start_kib

    def keep(
        self,
        before: Mapping[str, TrackedGuest],
        now: Mapping[str, TrackedGuest],
        now_s: float,
    ) -> None:
        """Keep memory for guests that are gone; let go what needs none."""
        reservations = self._leases.reservations()
        asked = {r.request.uuid for r in reservations if not r.restart}
        for reservation in reservations:
            uuid = reservation.request.uuid
            back = uuid in now and not now[uuid].domain.busy
            late = now_s >= reservation.deadline_s
            if reservation.restart and (back or late or uuid in asked):
                self._leases.remove(reservation)
        for uuid in before.keys() - now.keys() - asked:
            if before[uuid].restart_kib:
                self._leases.add(self._reservation(before[uuid], now_s))

    def _reservation(self, guest: TrackedGuest, now_s: float) -> Reservation:
        domain = guest.domain
        LOG.info(
            "Guest %s is gone; %d KiB are kept for %d s, in case it reboots",
            domain.name,
            guest.restart_kib,
            GRACE_S,
        )
        request = StartRequest(
            uuid=domain.uuid,
            name=domain.name,
            flavor_kib=domain.flavor_kib,
            vcpus=domain.vcpus,
            os_type=domain.os_type,
            floor_kib=guest.floor_kib,
            swap_kib=domain.metadata.swap_kib,
            overcommit=not domain.exempt,
        )
        return Reservation(
            request,
            now_s,
            now_s + GRACE_S,
            overhead_kib=domain.overhead_kib,
            granted_kib=guest.restart_kib,
            restart=True,
            foreign=domain.foreign,
        )
