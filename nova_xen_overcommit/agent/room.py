# SPDX-License-Identifier: Apache-2.0
"""Tells of a host that leaves nothing for guests.

Its agent does its passes as any other's does, grants nothing and promises
nothing: without a word that looks like a host that is full.
"""

import logging

LOG = logging.getLogger(__name__)

_KIB_PER_MIB = 1024


def is_left(usable: int, reserve: int) -> bool:
    """Whether guests may have more than is kept free for their needs.

    Both of one unit; ``usable`` is what guests may have in all.
    """
    return usable > reserve


class RoomWatch:
    """Warns when room for guests is gone, not again while it is."""

    def __init__(self) -> None:
        self._left = True

    def observe(self, usable_kib: int, reserve_kib: int) -> None:
        """Look at what a pass has seen; KiB."""
        left = is_left(usable_kib, reserve_kib)
        if self._left and not left:
            LOG.warning(
                "Nothing is left for guests: they may have %d MiB in all, and "
                "the reserve is %d. Lower host_reserved_mib or reserve_mib",
                usable_kib // _KIB_PER_MIB,
                reserve_kib // _KIB_PER_MIB,
            )
        self._left = left
