# SPDX-License-Identifier: Apache-2.0
"""The host: libvirt's embedded test hypervisor with 4 GiB of memory.

Whoever opens a ``test:///FILE`` URI gets a hypervisor of his own, so the
agent, Nova's side and the demo's own eyes share one connection.
"""

import dataclasses
import functools
from pathlib import Path

import libvirt

from nova_xen_overcommit.agent.hypervisor import libvirt_host

KIB = 1024
HOST_MIB = 4096
# What Nova and the agent both leave to the host unless told otherwise.
RESERVED_MIB = 512

_NODE = f"""
<node>
  <cpu><nodes>1</nodes><sockets>1</sockets><cores>8</cores>
    <threads>1</threads><active>8</active><mhz>2400</mhz>
    <model>x86_64</model></cpu>
  <memory>{HOST_MIB * KIB}</memory>
</node>
"""


def describe(directory: Path) -> str:
    """Write the host's description; give the URI that opens it."""
    path = directory / "host.xml"
    path.write_text(_NODE)
    return f"test://{path}"


@functools.cache
def connection(uri: str) -> libvirt.virConnect:
    """Open the hypervisor, the same one for everybody in this process."""
    return libvirt_host.connect(uri)


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """A guest as the hypervisor measures it; KiB."""

    uuid: str
    name: str
    domain_id: int
    flavor_kib: int
    actual_kib: int


def guests(shared: libvirt.virConnect) -> list[Seen]:
    """Measure all running guests, in the order of their creation."""
    flags = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
    seen = []
    for handle in shared.listAllDomains(flags):
        try:
            _state, flavor_kib, actual_kib, _vcpus, _cpu = handle.info()
        except libvirt.libvirtError:
            continue  # it stopped just now
        seen.append(
            Seen(
                handle.UUIDString(),
                handle.name(),
                handle.ID(),
                flavor_kib,
                actual_kib,
            )
        )
    return sorted(seen, key=lambda guest: guest.domain_id)
