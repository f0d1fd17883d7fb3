# SPDX-License-Identifier: Apache-2.0
"""What a Xen host can run, in Nova's words; pure."""

from typing import Any

from nova import exception as nova_exception
from nova.objects import fields
from oslo_utils import netutils


def instances(capabilities: Any) -> list[tuple[str, str, str]]:
    """Give (architecture, hypervisor, mode) of each kind of guest.

    Kinds that Nova has no word for, such as PVH, are left out: images ask
    for them by machine type.
    """
    return [
        found
        for guest in capabilities.guests
        for domain in guest.domains
        if (found := _instance(guest.arch, domain, guest.ostype))
    ]


def migration_uri(dest: str, scheme: str | None) -> str:
    """Give the libvirt URI of another Xen host."""
    host = netutils.escape_ipv6(dest)
    return f"xen+{scheme or 'tcp'}://{host}/system"


def _instance(
    arch: str, domain: str, os_type: str
) -> tuple[str, str, str] | None:
    try:
        return (
            fields.Architecture.canonicalize(arch),
            fields.HVType.canonicalize(domain),
            fields.VMMode.canonicalize(os_type),
        )
    except (
        nova_exception.InvalidArchitectureName,
        nova_exception.InvalidHypervisorVirtType,
        nova_exception.InvalidVirtualMachineMode,
    ):
        return None
