# SPDX-License-Identifier: Apache-2.0
"""How much memory a guest had when it was saved to disk.

It comes back with exactly that much. Nova keeps the figure with the
instance, so that it outlives nova-compute and the host's restart.
"""

from typing import Any

from nova import exception as nova_exception

SAVED_KEY = "xen_overcommit_saved_kib"
_INFO_MEMORY = 2


def remember(instance: Any, host: Any) -> None:
    """Note the memory that a guest has now."""
    memory_kib = host._get_domain(instance).info()[_INFO_MEMORY]
    instance.system_metadata[SAVED_KEY] = str(memory_kib)


def recall(instance: Any, host: Any, flavor_kib: int) -> int:
    """Give the KiB a guest comes back with, 0 if it boots anew.

    A saved guest of which nothing was noted may need its whole flavor.
    """
    if not _is_saved(instance, host):
        return 0
    text = instance.system_metadata.get(SAVED_KEY, "")
    return min(int(text), flavor_kib) if text.isdecimal() else flavor_kib


def forget(instance: Any) -> None:
    """Drop the note: the guest runs."""
    instance.system_metadata.pop(SAVED_KEY, None)


def _is_saved(instance: Any, host: Any) -> bool:
    try:
        domain = host._get_domain(instance)
    except nova_exception.InstanceNotFound:
        return False
    return bool(domain.hasManagedSaveImage(0))
