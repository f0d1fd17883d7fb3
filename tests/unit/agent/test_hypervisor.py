# SPDX-License-Identifier: Apache-2.0
"""Guests and host through libvirt, on its embedded hypervisor."""

import tempfile
import unittest

import libvirt

from nova_xen_overcommit import exception, guest_metadata
from nova_xen_overcommit.agent.hypervisor import (
    base,
    definition,
    kinds,
    libvirt_host,
)

MIB = 1024
NODE = """
<node>
  <cpu><nodes>1</nodes><sockets>1</sockets><cores>2</cores>
    <threads>1</threads><active>2</active><mhz>2000</mhz></cpu>
  <memory>4194304</memory>
</node>
"""
DOMAIN = """
<domain type='test'>
  <name>{name}</name>
  <metadata>{metadata}</metadata>
  <memory unit='MiB'>1024</memory>
  <currentMemory unit='MiB'>512</currentMemory>
  {extra}
  <os><type>hvm</type></os>
  <devices>{devices}</devices>
</domain>
"""


def domain_xml(name="one", metadata="", extra="", devices="") -> str:
    return DOMAIN.format(
        name=name, metadata=metadata, extra=extra, devices=devices
    )


class EmbeddedTest(unittest.TestCase):
    def setUp(self) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as node:
            node.write(NODE)
            node.flush()
            connection = libvirt_host.connect(f"test://{node.name}")
        self.addCleanup(connection.close)
        self.connection = connection
        self.hypervisor = self.make()

    def make(self, **more) -> libvirt_host.LibvirtHypervisor:
        return libvirt_host.LibvirtHypervisor(lambda: self.connection, **more)

    def start(self, **more) -> base.Domain:
        self.connection.createXML(domain_xml(**more), 0)
        return self.hypervisor.domains()[0]

    def test_a_guest_is_read_with_its_flavor_and_what_it_has(self) -> None:
        domain = self.start()
        self.assertEqual(
            (1024 * MIB, 512 * MIB, 512 * MIB),
            (domain.flavor_kib, domain.actual_kib, domain.asked_kib),
        )

    def test_a_target_reaches_the_guest(self) -> None:
        self.hypervisor.set_target(self.start(), 300 * MIB)
        self.assertEqual(300 * MIB, self.hypervisor.domains()[0].actual_kib)

    def test_what_a_reboot_begins_with_leaves_the_guest_alone(self) -> None:
        # Given a guest with a persistent definition
        handle = self.connection.defineXML(domain_xml())
        handle.create()
        domain = self.hypervisor.domains()[0]
        # When it shall come back with 256 MiB
        self.hypervisor.set_restart_memory(domain, 256 * MIB)
        # Then its definition says so, and it has what it had
        inactive = handle.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        self.assertEqual(256 * MIB, definition.parse(inactive).asked_kib)
        self.assertEqual(512 * MIB, self.hypervisor.domains()[0].actual_kib)
        handle.destroy()
        handle.undefine()

    def test_the_flavor_is_not_lost_when_the_guest_shrinks(self) -> None:
        self.hypervisor.set_target(self.start(), 300 * MIB)
        self.assertEqual(1024 * MIB, self.make().domains()[0].flavor_kib)

    def test_a_vanished_guest_is_named_in_the_error(self) -> None:
        domain = self.start()
        self.connection.lookupByName("one").destroy()
        with self.assertRaisesRegex(exception.HypervisorError, "guest one"):
            self.hypervisor.set_target(domain, 300 * MIB)
        self.assertEqual([], self.hypervisor.domains())

    def test_a_paused_guest_is_busy(self) -> None:
        self.start()
        self.connection.lookupByName("one").suspend()
        self.assertEqual("paused", self.hypervisor.domains()[0].busy)

    def test_metadata_is_read_back(self) -> None:
        told = guest_metadata.GuestMetadata(
            floor_kib=5, swap_kib=7, weight=2.0
        )
        attributes = " ".join(
            f"{name}='{value}'" for name, value in told.to_attributes().items()
        )
        element = (
            f"<x:guest xmlns:x='{guest_metadata.NAMESPACE}' {attributes}/>"
        )
        self.assertEqual(told, self.start(metadata=element).metadata)

    def test_who_made_a_guest_is_known_by_its_metadata(self) -> None:
        # Given definitions as our driver, as Nova's own of two releases,
        # and as others write them
        novas = "http://openstack.org/xmlns/libvirt/nova"
        for element, foreign in (
            (f"<x:guest xmlns:x='{guest_metadata.NAMESPACE}'/>", False),
            (f"<n:instance xmlns:n='{novas}/1.1'/>", False),
            (f"<n:instance xmlns:n='{novas}/1.0'/>", False),
            (f"<n:ports xmlns:n='{novas}/1.1'/>", True),
            ("<o:instance xmlns:o='urn:other'/>", True),
            ("", True),
        ):
            with self.subTest(element=element):
                domain = self.start(metadata=element)
                self.assertIs(foreign, domain.foreign)
                self.connection.lookupByName("one").destroy()

    def test_host_memory_is_what_guests_leave(self) -> None:
        memory = self.hypervisor.host_memory([self.start()])
        self.assertEqual(
            base.HostMemory(4096 * MIB, 3072 * MIB, 512 * MIB), memory
        )

    def test_the_limit_hides_memory(self) -> None:
        memory = self.make(limit_kib=2048 * MIB).host_memory([])
        self.assertEqual(
            base.HostMemory(2048 * MIB, 1536 * MIB, 512 * MIB), memory
        )

    def test_the_configured_reserve_is_kept(self) -> None:
        memory = self.make(reserved_kib=1024 * MIB).host_memory([])
        self.assertEqual(3072 * MIB, memory.free_kib)

    def test_a_closed_connection_is_opened_anew(self) -> None:
        opened = []

        def connect():
            opened.append(libvirt_host.connect("test:///default"))
            return opened[-1]

        hypervisor = libvirt_host.LibvirtHypervisor(connect)
        opened[0].close()
        self.assertEqual("test", hypervisor.domains()[0].name)
        self.assertEqual(2, len(opened))

    def test_an_unreachable_libvirt_is_named(self) -> None:
        with self.assertRaisesRegex(exception.HypervisorError, "no-such"):
            libvirt_host.connect("no-such:///system")


class DefinitionTest(unittest.TestCase):
    def exempt(self, **more) -> str:
        return definition.parse(domain_xml(**more)).exempt

    def test_an_ordinary_guest_may_be_ballooned(self) -> None:
        self.assertEqual("", self.exempt())

    def test_who_is_never_ballooned(self) -> None:
        cases = {
            "balloon": {"devices": "<memballoon model='none'/>"},
            "device": {"devices": "<hostdev mode='subsystem'/>"},
            "huge pages": {
                "extra": "<memoryBacking><hugepages/></memoryBacking>"
            },
            "locked": {"extra": "<memoryBacking><locked/></memoryBacking>"},
            "encrypted": {"extra": "<launchSecurity type='sev'/>"},
            "forbids": {
                "metadata": (
                    f"<x:guest xmlns:x='{guest_metadata.NAMESPACE}' "
                    "overcommit='no'/>"
                )
            },
            "metadata": {
                "metadata": (
                    f"<x:guest xmlns:x='{guest_metadata.NAMESPACE}' "
                    "floor_kib='many'/>"
                )
            },
        }
        for why, parts in cases.items():
            with self.subTest(why=why):
                self.assertIn(why, self.exempt(**parts))

    def test_a_balloon_that_deflates_by_itself_is_known(self) -> None:
        for devices, deflates in (
            ("<memballoon model='virtio' autodeflate='on'/>", True),
            ("<memballoon model='virtio' autodeflate='off'/>", False),
            ("<memballoon model='virtio'/>", False),
            ("", False),
        ):
            parsed = definition.parse(domain_xml(devices=devices))
            with self.subTest(devices=devices):
                self.assertEqual(deflates, parsed.deflates)

    def test_the_buffer_of_plain_qemu_is_known(self) -> None:
        cache = "<tcg><tb-cache unit='MiB'>32</tb-cache></tcg>"
        xml = domain_xml(extra=f"<features>{cache}</features>")
        self.assertEqual(32 * MIB, definition.parse(xml).translation_kib)
        self.assertEqual(0, definition.parse(domain_xml()).translation_kib)

    def test_units_are_understood(self) -> None:
        for unit, size in (("b", 2**31), ("KiB", 2**21), ("GiB", 2)):
            xml = f"<domain><memory unit='{unit}'>{size}</memory></domain>"
            with self.subTest(unit=unit):
                self.assertEqual(2**21, definition.parse(xml).flavor_kib)

    def test_without_a_size_it_is_refused(self) -> None:
        for xml in ("<domain/>", "<dom", "<domain><memory/></domain>"):
            with (
                self.subTest(xml=xml),
                self.assertRaises(exception.HypervisorError),
            ):
                definition.parse(xml)


class FakeConnection:
    """Answers as libxl's and QEMU's connections do."""

    def getInfo(self) -> list[int]:  # noqa: N802
        return ["x86_64", 4096]

    def getFreeMemory(self) -> int:  # noqa: N802
        return 1024**3

    def getMemoryStats(self, _cell, _flags) -> dict:  # noqa: N802
        return {
            "total": 4096 * MIB,
            "free": 500 * MIB,
            "cached": 1500 * MIB,
            "buffers": 100 * MIB,
        }


class KindsTest(unittest.TestCase):
    def guest(self, actual_mib: int) -> base.Domain:
        return base.Domain(
            "u", "n", 1, 1024 * MIB, actual_mib * MIB, 0, 10 * MIB
        )

    def test_on_xen_all_that_is_nobodys_is_the_hosts(self) -> None:
        memory = kinds.of("Xen").host_memory(
            FakeConnection(), [self.guest(1014)], None
        )
        self.assertEqual(
            base.HostMemory(4096 * MIB, 1024 * MIB, 2048 * MIB), memory
        )

    def test_on_qemu_untouched_memory_is_not_free(self) -> None:
        memory = kinds.of("QEMU").host_memory(
            FakeConnection(), [self.guest(3000)], None
        )
        self.assertEqual((4096 - 512 - 24 - 3010) * MIB, memory.free_kib)

    def test_on_qemu_no_more_is_free_than_is_measured(self) -> None:
        memory = kinds.of("QEMU").host_memory(FakeConnection(), [], None)
        self.assertEqual(2100 * MIB, memory.free_kib)

    def test_shadow_memory_follows_libxl(self) -> None:
        self.assertEqual(
            2 * MIB + 4 * (256 * 2 + 2 * 1024),
            kinds.of("Xen").overhead_kib(1024 * MIB, 2, "hvm"),
        )

    def test_other_hypervisors_are_refused(self) -> None:
        with self.assertRaisesRegex(exception.HypervisorError, "LXC"):
            kinds.of("LXC")
