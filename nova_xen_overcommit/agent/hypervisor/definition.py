# SPDX-License-Identifier: Apache-2.0
"""What a domain's definition says that measuring doesn't: pure XML."""

import dataclasses
import xml.etree.ElementTree as ET

from nova_xen_overcommit import exception, guest_metadata
from nova_xen_overcommit.agent.hypervisor.base import Disks

_KIB_PER_UNIT = {
    "b": 1 / 1024,
    "bytes": 1 / 1024,
    "k": 1,
    "kib": 1,
    "m": 1024,
    "mib": 1024,
    "g": 1024**2,
    "gib": 1024**2,
    "t": 1024**3,
    "tib": 1024**3,
}
# Nova calls the image of the flavor's swap disk.swap, wherever it keeps
# images: a file of that name, a volume or a RADOS image <uuid>_disk.swap.
_SWAP_ENDING = "disk.swap"
_SOURCE_ATTRIBUTES = ("file", "dev", "name")


@dataclasses.dataclass(frozen=True, slots=True)
class Definition:
    """The parts of a domain's XML that the balancer uses; KiB.

    ``exempt`` says why the guest is never ballooned, "" when it may be.
    ``disks`` is None where it isn't known which is the swap disk.
    ``deflates``: its balloon deflates unasked before the guest is out of
    memory. ``translation_kib`` is the buffer in which plain QEMU keeps the
    code it has translated. ``foreign``: Nova didn't make it.
    """

    flavor_kib: int
    asked_kib: int
    vcpus: int
    os_type: str
    metadata: guest_metadata.GuestMetadata
    exempt: str
    disks: Disks | None
    deflates: bool = False
    translation_kib: int = 0
    foreign: bool = False


def parse(xml: str) -> Definition:
    """Read a live domain's XML.

    :raises HypervisorError: the XML has no believable memory size.
    """
    try:
        # libvirt wrote it, not the guest.
        domain = ET.fromstring(xml)  # noqa: S314
    except ET.ParseError as error:
        raise exception.HypervisorError(f"domain XML: {error}") from error
    flavor_kib = _size_kib(domain.find("memory"))
    if flavor_kib <= 0:
        raise exception.HypervisorError("domain XML without memory size")
    asked_kib = _size_kib(domain.find("currentMemory")) or flavor_kib
    metadata, complaint = _metadata(domain)
    return Definition(
        flavor_kib=flavor_kib,
        asked_kib=min(asked_kib, flavor_kib),
        vcpus=int(domain.findtext("vcpu") or 1),
        os_type=domain.findtext("os/type") or "hvm",
        metadata=metadata,
        exempt=complaint or _exempt(domain, metadata),
        disks=_disks(domain),
        deflates=_deflates(domain),
        translation_kib=_size_kib(domain.find("features/tcg/tb-cache")),
        foreign=not guest_metadata.is_novas(domain),
    )


def _deflates(domain: ET.Element) -> bool:
    balloon = domain.find("devices/memballoon")
    return balloon is not None and balloon.get("autodeflate") == "on"


def _disks(domain: ET.Element) -> Disks | None:
    """Give the disks that tell of the guest's memory.

    What is read-only (a config drive, a CD-ROM) is left out: what is read
    from it is read once.
    """
    swaps, files = [], []
    for disk in domain.findall("devices/disk"):
        target = disk.find("target")
        name = "" if target is None else target.get("dev", "")
        if disk.get("device", "disk") != "disk" or not name:
            continue
        if _is_swap(disk):
            swaps.append(name)
        elif disk.find("readonly") is None:
            files.append(name)
    if len(swaps) != 1 or not files:
        return None
    return Disks(swaps[0], tuple(files))


def _is_swap(disk: ET.Element) -> bool:
    source = disk.find("source")
    if source is None:
        return False
    places = (source.get(name, "") for name in _SOURCE_ATTRIBUTES)
    return any(place.endswith(_SWAP_ENDING) for place in places)


def _size_kib(element: ET.Element | None) -> int:
    if element is None or not (element.text or "").strip():
        return 0
    unit = element.get("unit", "KiB").lower()
    return int(int(element.text or 0) * _KIB_PER_UNIT.get(unit, 1))


def _metadata(
    domain: ET.Element,
) -> tuple[guest_metadata.GuestMetadata, str]:
    try:
        return guest_metadata.from_domain(domain), ""
    except exception.InvalidConfiguration as error:
        # Its floor is unknown, so nothing may be taken from it.
        return guest_metadata.GuestMetadata(), str(error)


def _exempt(domain: ET.Element, metadata: guest_metadata.GuestMetadata) -> str:
    balloon = domain.find("devices/memballoon")
    reasons = {
        "its flavor or image forbids overcommit": not metadata.overcommit,
        "it has no balloon device": (
            balloon is not None and balloon.get("model") == "none"
        ),
        "it has a passed-through device": (
            domain.find("devices/hostdev") is not None
        ),
        "its memory is in huge pages": (
            domain.find("memoryBacking/hugepages") is not None
        ),
        "its memory is locked": (
            domain.find("memoryBacking/locked") is not None
        ),
        "its memory is encrypted": domain.find("launchSecurity") is not None,
    }
    return next((why for why, holds in reasons.items() if holds), "")
