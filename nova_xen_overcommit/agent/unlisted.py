# SPDX-License-Identifier: Apache-2.0
"""Domains in build: they hold memory, and no list names them yet.

Their memory is neither free nor anyone's, and would be taken for the
host's own. It is seen as one sum only: what is more than the host kept
before the starts. So of each start it must be known whether that sum may
be its own.
"""

import dataclasses
from collections.abc import Callable, Container, Mapping, Sequence

from nova_xen_overcommit.agent import starts
from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.agent.hypervisor.base import HostMemory
from nova_xen_overcommit.agent.reservations import Reservation

# What guests and host move by themselves from one pass to the next.
_JITTER_KIB = 1024


class Unlisted:
    """What starts have taken of their grants before they are listed; KiB."""

    def __init__(self) -> None:
        self._kept_kib: int | None = None
        self._building_kib = 0
        self._served: Sequence[Reservation] = ()
        self._orphans: dict[str, int] = {}

    def steady(
        self,
        memory: HostMemory,
        reservations: Sequence[Reservation],
        listed: Container[str],
        freed_kib: Callable[[], int],
    ) -> HostMemory:
        """Keep what domains in build hold out of the host's own share.

        ``listed`` holds the UUIDs of all domains that are; ``freed_kib``
        tells how much of what they held for ``memory`` they hold no more.
        """
        kept_kib, before_kib = memory.kept_kib, self._kept_kib
        if before_kib is not None:
            if kept_kib < before_kib - _JITTER_KIB:
                # What is torn down was listed first and then free, so it
                # counted twice: the host keeps no less for that.
                kept_kib += freed_kib()
            if reservations:
                kept_kib = min(kept_kib, before_kib)
        self._kept_kib = kept_kib
        self._building_kib = max(0, memory.kept_kib - kept_kib)
        self._find_orphans(reservations, listed)
        return dataclasses.replace(memory, kept_kib=kept_kib)

    def served(self, reservations: Sequence[Reservation]) -> None:
        """Remember whose starts may be under way from now on."""
        self._served = reservations

    def claims_kib(
        self,
        reservations: Sequence[Reservation],
        guests: Mapping[str, TrackedGuest],
    ) -> int:
        """Give what must stay free for starts that were granted."""
        outstanding_kib = sum(
            starts.outstanding_kib(one, guests) for one in reservations
        )
        # What an orphan may have taken is no start's that is waited for.
        orphans_kib = sum(self._orphans.values())
        taken_kib = max(0, self._building_kib - orphans_kib)
        return max(0, outstanding_kib - taken_kib)

    def _find_orphans(
        self, reservations: Sequence[Reservation], listed: Container[str]
    ) -> None:
        """Find the starts whose client has gone before they are listed.

        Their domain may be in build all the same: libvirt goes on without
        the client. They are remembered until they are listed, or no other
        start is left and what they hold counts as the host's own.
        """
        if not reservations:
            self._orphans.clear()
            return
        asked = {one.request.uuid for one in reservations}
        seen = {one.request.uuid: one.claim_kib for one in self._served}
        self._orphans = {
            uuid: claim_kib
            for uuid, claim_kib in (self._orphans | seen).items()
            if uuid not in asked and uuid not in listed
        }
