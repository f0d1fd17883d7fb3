# SPDX-License-Identifier: Apache-2.0
"""What the host counts on guests' disks, in as few calls as there are.

Where the driver has statistics one call reads all guests; elsewhere each
disk costs one. libxl counts only for disks of its own backend (driver
``phy``), and makes its callers wait while another job runs on the guest.
It multiplies sectors of 512 bytes by the disk's physical sector, so where
that is 4 KiB its bytes are eight times too many: a guest is spared earlier.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import libvirt

from nova_xen_overcommit.agent.hypervisor import base, kinds, patience
from nova_xen_overcommit.policy.traffic import DiskCounters

LOG = logging.getLogger(__name__)

_BYTES_PER_KIB = 1024
# In what blockStats gives.
_READ_BYTES, _WRITTEN_BYTES = 1, 3
# These figures are good to have, but no pass waits for them as long as for
# the guests themselves.
_PATIENCE_S = 1.0

Reached = Sequence[tuple[base.Domain, libvirt.virDomain]]


class DiskReader:
    """Reads counters of many guests' disks.

    It has a patience of its own: a guest whose disks can't be read now is
    measured all the same.
    """

    def __init__(self, kind: kinds.Kind, patience_s: float) -> None:
        self._kind = kind
        self._patience = patience.Patience(min(_PATIENCE_S, patience_s))

    def read(
        self, connection: libvirt.virConnect, guests: Reached
    ) -> dict[str, DiskCounters]:
        """Give the counters by UUID; who can't be read is left out.

        :raises Unanswered: the call for all hangs, or too many do.
        :raises libvirtError: the call for all failed.
        """
        if self._kind.has_statistics:
            return self._patience.call(
                "the disks of guests",
                lambda: _from_statistics(connection, guests),
            )
        found = self._patience.each(
            guests,
            lambda guest: guest[0].uuid,
            lambda guest: (guest[0].uuid, _one(*guest)),
        )
        return {uuid: counters for uuid, counters in found if counters}


def _one(
    domain: base.Domain, handle: libvirt.virDomain
) -> DiskCounters | None:
    disks = domain.disks
    if disks is None:
        return None
    try:
        swap = handle.blockStats(disks.swap)
        files = [handle.blockStats(name) for name in disks.files]
    except libvirt.libvirtError as error:
        LOG.debug("Disks of %s are not counted: %s", domain.name, error)
        return None
    return _counters(
        swap[_READ_BYTES],
        swap[_WRITTEN_BYTES],
        sum(f[_READ_BYTES] for f in files),
    )


def _counters(
    swap_read_bytes: int, swap_written_bytes: int, file_read_bytes: int
) -> DiskCounters:
    return DiskCounters(
        swap_read_kib=swap_read_bytes // _BYTES_PER_KIB,
        swap_written_kib=swap_written_bytes // _BYTES_PER_KIB,
        file_read_kib=file_read_bytes // _BYTES_PER_KIB,
    )


def _from_statistics(
    connection: libvirt.virConnect, guests: Reached
) -> dict[str, DiskCounters]:
    """Read all in one call that waits for none of them."""
    if not guests:
        return {}
    rows = connection.domainListGetStats(
        [handle for _domain, handle in guests],
        libvirt.VIR_DOMAIN_STATS_BLOCK,
        libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT,
    )
    disks = {domain.uuid: domain.disks for domain, _handle in guests}
    counters = {}
    for handle, figures in rows:
        uuid = handle.UUIDString()
        found = _of_row(figures, disks.get(uuid))
        if found is not None:
            counters[uuid] = found
    return counters


def _of_row(
    figures: Mapping[str, Any], disks: base.Disks | None
) -> DiskCounters | None:
    if disks is None:
        return None
    numbers = {
        figures.get(f"block.{number}.name"): number
        for number in range(figures.get("block.count", 0))
    }
    try:
        swap = numbers[disks.swap]
        files = [numbers[name] for name in disks.files]
        return _counters(
            figures[f"block.{swap}.rd.bytes"],
            figures[f"block.{swap}.wr.bytes"],
            sum(figures[f"block.{n}.rd.bytes"] for n in files),
        )
    except KeyError:
        # QEMU was busy, or has just lost a disk.
        return None
