# SPDX-License-Identifier: Apache-2.0
"""What the driver tells the agent about a guest, kept in its domain XML.

The agent keeps no state of its own about guests: after a restart it reads
this element back from the hypervisor. Attributes that are absent or not
plausible fall back to the configured defaults, so domains that were not
made by our driver are understood too.
"""

import dataclasses
import xml.etree.ElementTree as ET

from nova_xen_overcommit import exception

NAMESPACE = "https://opendev.org/x/nova-xen-overcommit/xmlns/guest/1.0"
PREFIX = "xen_overcommit"
TAG = f"{{{NAMESPACE}}}guest"
# Nova's own element, on every hypervisor; its version follows.
_NOVAS = "{http://openstack.org/xmlns/libvirt/nova/"
_NOVAS_INSTANCE = "}instance"


@dataclasses.dataclass(frozen=True, slots=True)
class GuestMetadata:
    """Per-guest facts that only Nova knows.

    ``floor_kib`` 0 means the configured floor; ``swap_kib`` is the size of
    the flavor's swap disk; ``weight`` is the guest's share when memory is
    short; ``overcommit`` False exempts the guest from ballooning.
    """

    floor_kib: int = 0
    swap_kib: int = 0
    weight: float = 1.0
    overcommit: bool = True

    def __post_init__(self) -> None:
        if self.floor_kib < 0 or self.swap_kib < 0 or not self.weight > 0:
            raise exception.InvalidConfiguration(
                f"guest metadata out of range: {self}"
            )

    def to_attributes(self) -> dict[str, str]:
        """Give the XML attributes that :func:`from_element` reads."""
        return {
            "floor_kib": str(self.floor_kib),
            "swap_kib": str(self.swap_kib),
            "weight": repr(self.weight),
            "overcommit": "yes" if self.overcommit else "no",
        }


def from_element(element: ET.Element | None) -> GuestMetadata:
    """Read the metadata element; None gives the defaults.

    :raises InvalidConfiguration: an attribute is not of its form.
    """
    if element is None:
        return GuestMetadata()
    try:
        return GuestMetadata(
            floor_kib=int(element.get("floor_kib", "0")),
            swap_kib=int(element.get("swap_kib", "0")),
            weight=float(element.get("weight", "1.0")),
            overcommit=element.get("overcommit", "yes") != "no",
        )
    except ValueError as error:
        raise exception.InvalidConfiguration(
            f"guest metadata is not of its form: {error}"
        ) from error


def from_domain(domain: ET.Element) -> GuestMetadata:
    """Read the metadata of a parsed ``<domain>``.

    :raises InvalidConfiguration: an attribute is not of its form.
    """
    return from_element(domain.find(f"metadata/{TAG}"))


def is_novas(domain: ET.Element) -> bool:
    """Tell whether Nova made a parsed ``<domain>``.

    Nova writes an element of its own into each, and did so before this
    host had our driver. Ours counts alike.
    """
    metadata = domain.find("metadata")
    return any(
        part.tag == TAG
        or (part.tag.startswith(_NOVAS) and part.tag.endswith(_NOVAS_INSTANCE))
        for part in (() if metadata is None else metadata)
    )
