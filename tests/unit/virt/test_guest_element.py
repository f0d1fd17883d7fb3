# SPDX-License-Identifier: Apache-2.0
import unittest

from lxml import etree
from nova.virt.libvirt import config as vconfig

from nova_xen_overcommit import guest_metadata
from nova_xen_overcommit.virt import guest_element
from tests.unit.virt import nova_guests


class MetadataTestCase(unittest.TestCase):
    """What the agent reads back."""

    def test_survives_the_way_through_xml(self) -> None:
        metadata = guest_metadata.GuestMetadata(
            floor_kib=1, swap_kib=2, weight=3.5, overcommit=False
        )
        guest = nova_guests.guest(kernel=False)
        guest.metadata.append(guest_element.MetadataElement(metadata))
        domain = etree.fromstring(guest.to_xml())
        self.assertEqual(metadata, guest_metadata.from_domain(domain))
        self.assertIn("<xen_overcommit:guest xmlns:xen", guest.to_xml())


class BalloonTestCase(unittest.TestCase):
    """QEMU guests that may be ballooned."""

    def balloon(self, model: str, period_s: int | None) -> str:
        guest = vconfig.LibvirtConfigGuest()
        device = vconfig.LibvirtConfigMemoryBalloon()
        device.model, device.period = model, period_s
        guest.devices = [device]
        guest_element.with_balloon(guest)
        return str(device.to_xml(pretty_print=False))

    def test_nova_s_own_is_kept(self) -> None:
        self.assertEqual(
            '<memballoon model="virtio" autodeflate="on" '
            'freePageReporting="on"><stats period="10"/></memballoon>',
            self.balloon("virtio", 10),
        )

    def test_none_becomes_one_with_statistics(self) -> None:
        self.assertEqual(
            '<memballoon model="virtio" autodeflate="on" '
            'freePageReporting="on"><stats period="5"/></memballoon>',
            self.balloon("none", None),
        )
