# SPDX-License-Identifier: Apache-2.0
"""One look at a hypervisor, read-only, beside the agent.

For the tool's ``check``: it must tell of a host whose agent doesn't run, and
of what the agent has no use for.
"""

import dataclasses
import threading
import xml.etree.ElementTree as ET

import libvirt

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.hypervisor import definition

_DOMAIN_0 = 0
# In the order in which they are told.
_FORBIDDING = (
    ("its CPUs are pinned", "cputune/vcpupin"),
    ("it has NUMA cells", "cpu/numa/cell"),
    ("its memory is bound to NUMA nodes", "numatune"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Surveyed:
    """One running guest; KiB.

    ``exempt``: why it is never ballooned. ``foreign``: Nova didn't make it.
    """

    uuid: str
    name: str
    flavor_kib: int
    swap_kib: int
    exempt: str
    foreign: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Survey:
    """A hypervisor and its guests.

    ``domain_0_kib`` and ``domain_0_most_kib`` are what Xen's dom0 has and
    may have, 0 elsewhere. ``unread`` are guests that couldn't be read.
    """

    kind: str
    libvirt: str
    hypervisor: str
    physical_kib: int
    domain_0_kib: int
    domain_0_most_kib: int
    guests: tuple[Surveyed, ...]
    unread: tuple[str, ...]


def survey(uri: str, patience_s: float = 10.0) -> Survey:
    """Look at the hypervisor behind ``uri``.

    :raises HypervisorError: it doesn't answer, or not in time.
    """
    found: list[Survey | Exception] = []

    def look() -> None:
        try:
            found.append(_survey(uri))
        except Exception as error:  # noqa: BLE001
            found.append(error)

    # libvirt knows no time-outs.
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(patience_s)
    if not found:
        raise exception.HypervisorError(
            f"{uri}: no answer in {patience_s:g} s"
        )
    (seen,) = found
    if isinstance(seen, Exception):
        raise exception.HypervisorError(f"{uri}: {seen}") from seen
    return seen


def _survey(uri: str) -> Survey:
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    connection = libvirt.openReadOnly(uri)
    try:
        return _seen(connection)
    finally:
        connection.close()


def _seen(connection: libvirt.virConnect) -> Survey:
    kind = connection.getType().lower()
    has_kib = most_kib = 0
    guests, unread = [], []
    for domain in connection.listAllDomains(
        libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
    ):
        if kind == "xen" and domain.ID() == _DOMAIN_0:
            _state, most_kib, has_kib, _vcpus, _cpu_ns = domain.info()
            continue
        try:
            guests.append(surveyed(domain.XMLDesc(0)))
        except (libvirt.libvirtError, exception.HypervisorError) as error:
            unread.append(f"{domain.name()}: {error}")
    return Survey(
        kind=kind,
        libvirt=_version(connection.getLibVersion()),
        hypervisor=_version(connection.getVersion()),
        physical_kib=connection.getInfo()[1] * 1024,
        domain_0_kib=has_kib,
        domain_0_most_kib=most_kib,
        guests=tuple(guests),
        unread=tuple(unread),
    )


def surveyed(xml: str) -> Surveyed:
    """Give what a live domain's XML tells.

    :raises HypervisorError: the XML has no believable memory size.
    """
    defined = definition.parse(xml)
    # libvirt wrote it, not the guest.
    domain = ET.fromstring(xml)  # noqa: S314
    exempt = defined.exempt
    if exempt and not defined.metadata.overcommit:
        # Nova's flavor forbids it for one of these, maybe.
        whys = [
            why for why, path in _FORBIDDING if domain.find(path) is not None
        ]
        exempt = "; ".join([exempt, *whys])
    return Surveyed(
        uuid=domain.findtext("uuid") or "",
        name=domain.findtext("name") or "",
        flavor_kib=defined.flavor_kib,
        swap_kib=defined.metadata.swap_kib,
        exempt=exempt,
        foreign=defined.foreign,
    )


def _version(number: int) -> str:
    major, rest = divmod(number, 1_000_000)
    return f"{major}.{rest // 1000}.{rest % 1000}"
