# SPDX-License-Identifier: Apache-2.0
"""Our own part of a guest's configuration, on every hypervisor; pure."""

from typing import Any

from nova.virt.libvirt import config as vconfig

from nova_xen_overcommit import guest_metadata

# Where Nova's own option says "no statistics" the agent needs some.
_STATS_PERIOD_S = 5


class MetadataElement(vconfig.LibvirtConfigObject):
    """What the agent reads back from the domain's ``<metadata>``."""

    def __init__(self, metadata: guest_metadata.GuestMetadata) -> None:
        super().__init__(
            root_name="guest",
            ns_prefix=guest_metadata.PREFIX,
            ns_uri=guest_metadata.NAMESPACE,
        )
        self.metadata = metadata

    def format_dom(self) -> Any:
        """Give the element."""
        node = super().format_dom()
        for name, value in self.metadata.to_attributes().items():
            node.set(name, value)
        return node


def with_balloon(guest: Any) -> None:
    """Make sure that a QEMU guest has a balloon with statistics."""
    for device in guest.devices:
        if isinstance(device, vconfig.LibvirtConfigMemoryBalloon):
            device.model = "virtio"
            device.period = device.period or _STATS_PERIOD_S
