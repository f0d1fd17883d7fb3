# SPDX-License-Identifier: Apache-2.0
"""Our errors as Nova's, so that Nova does the right thing with them."""

from nova import exception as nova_exception

from nova_xen_overcommit import exception


class NoRoomOnHost(nova_exception.ComputeResourcesUnavailable):
    """A start was refused for want of memory; Nova tries the next host.

    Users see the text, so it names no other guest.
    """

    msg_fmt = "Not enough memory can be made free on this host: %(reason)s"


class UnsupportedGuest(nova_exception.InvalidInput):
    """Image or flavor ask for what Xen can't do; no other host can either."""


def no_room(failure: exception.NoRoom) -> NoRoomOnHost:
    """Turn the agent's refusal into one that Nova reschedules."""
    reason = (
        f"{failure.asked_kib // 1024} MiB needed to start, "
        f"{failure.free_kib // 1024} MiB free, "
        f"{failure.reclaimable_kib // 1024} MiB could be freed"
    )
    return NoRoomOnHost(reason=reason)
