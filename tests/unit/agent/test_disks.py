# SPDX-License-Identifier: Apache-2.0
"""What the host counts on guests' disks: libvirt's own driver and doubles."""

import time
import unittest
from typing import Any

import libvirt

from nova_xen_overcommit import exception, guest_metadata
from nova_xen_overcommit.agent.balancer import Balancer
from nova_xen_overcommit.agent.hypervisor import base, definition, libvirt_host
from nova_xen_overcommit.agent.reservations import Leases
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy.probe import Phase
from nova_xen_overcommit.policy.traffic import DiskCounters
from tests.simulator.clock import VirtualClock
from tests.simulator.production import configured
from tests.unit.agent.test_census import PATIENCE_S, CensusTest, Connection
from tests.unit.agent.test_hypervisor import MIB, domain_xml

DISK = "<disk type='{0}' {3}><source {1}/><target dev='{2}'/>{4}</disk>"
ROOT = DISK.format("file", "file='/i/u/disk'", "xvda", "", "")
SWAP = DISK.format("file", "file='/i/u/disk.swap'", "xvdb", "", "")
METADATA = (
    f"<x:guest xmlns:x='{guest_metadata.NAMESPACE}' swap_kib='1048576'/>"
)


class WhichDiskTest(unittest.TestCase):
    def disks(self, *devices: str) -> base.Disks | None:
        return definition.parse(domain_xml(devices="".join(devices))).disks

    def test_the_swap_disk_is_known_wherever_nova_keeps_images(self) -> None:
        for kind, source in (
            ("file", "file='/var/lib/nova/instances/u/disk.swap'"),
            ("block", "dev='/dev/vg/u_disk.swap'"),
            ("network", "protocol='rbd' name='pool/u_disk.swap'"),
        ):
            swap = DISK.format(kind, source, "vdb", "", "")
            with self.subTest(kind=kind):
                self.assertEqual(
                    base.Disks("vdb", ("xvda",)), self.disks(ROOT, swap)
                )

    def test_disks_that_hold_files_count_together(self) -> None:
        volume = DISK.format(
            "block", "dev='/dev/sdb'", "xvdf", "device='disk'", ""
        )
        cdrom = DISK.format(
            "file", "file='/i/u/x.iso'", "hdc", "device='cdrom'", ""
        )
        config = DISK.format(
            "file", "file='/i/u/disk.config'", "xvdz", "", "<readonly/>"
        )
        self.assertEqual(
            base.Disks("xvdb", ("xvda", "xvdf")),
            self.disks(ROOT, SWAP, volume, cdrom, config),
        )

    def test_without_one_swap_disk_nothing_is_known(self) -> None:
        other = DISK.format("file", "file='/i/v/disk.swap'", "xvdc", "", "")
        empty = "<disk type='file'><target dev='xvdc'/></disk>"
        lost = "<disk type='file'><source file='/i/u/disk.swap'/></disk>"
        for devices in (
            (ROOT,),
            (SWAP,),
            (ROOT, SWAP, other),
            (ROOT, empty),
            (ROOT, lost),
        ):
            with self.subTest(devices=devices):
                self.assertIsNone(self.disks(*devices))


class DisksTest(CensusTest):
    def start_with_disks(self, *names: str) -> None:
        for name in names:
            self.real.createXML(
                domain_xml(name=name, metadata=METADATA, devices=ROOT + SWAP),
                0,
            )

    def read_in_time(self, domains: list[base.Domain]) -> dict:
        began_s = time.monotonic()
        found = self.hypervisor.disk_counters(domains)
        self.assertLess(time.monotonic() - began_s, 10 * PATIENCE_S)
        return found


class EmbeddedTest(DisksTest):
    def test_libvirts_own_counters_are_read(self) -> None:
        self.connect()
        self.start_with_disks("one")
        domain = self.domain("one")
        first = self.hypervisor.disk_counters([domain])[domain.uuid]
        time.sleep(0.2)
        then = self.hypervisor.disk_counters([domain])[domain.uuid]
        # The embedded driver plays 50 kB/s of reads, half of it of writes
        self.assertTrue(first.is_before(then))
        grown_kib = then.swap_read_kib - first.swap_read_kib
        self.assertGreaterEqual(grown_kib, 9)
        self.assertGreater(first.swap_read_kib, first.swap_written_kib)

    def test_a_disk_that_is_not_counted_for_leaves_the_guest_out(self) -> None:
        self.connect()
        self.start_with_disks("one", "two")
        one, two = self.domain("one"), self.domain("two")
        refused = self.connection.watched

        def refuse(method: Any, *names: str) -> Any:
            def call(*arguments: Any) -> Any:
                if names == ("one", "blockStats") and arguments == ("xvda",):
                    # As libxl does for disks of QEMU
                    raise libvirt.libvirtError("unsupported disk driver qemu")
                return refused(method, *names)(*arguments)

            return call

        self.connection.watched = refuse  # type: ignore[method-assign]
        found = self.hypervisor.disk_counters([one, two])
        self.assertEqual([two.uuid], list(found))

    def test_a_guest_that_is_gone_is_left_out(self) -> None:
        self.connect()
        self.start_with_disks("one")
        domain = self.domain("one")
        self.real.lookupByName("one").destroy()
        self.assertEqual({}, self.hypervisor.disk_counters([domain]))
        self.hypervisor.domains()
        self.assertEqual({}, self.hypervisor.disk_counters([domain]))

    def test_a_guest_whose_disks_hang_holds_up_nobody(self) -> None:
        # Given a Xen host on which one guest is being saved
        self.connect("Xen")
        self.start("dom0")
        self.start_with_disks("one", "two")
        one, two = self.domain("one"), self.domain("two")
        self.connection.hanging = {"blockStats"}
        self.connection.watched = _only("one", self.connection)
        # Then the other is read, and the next time without any wait
        self.assertEqual([two.uuid], list(self.read_in_time([one, two])))
        began_s = time.monotonic()
        self.assertEqual([two.uuid], list(self.read_in_time([one, two])))
        self.assertLess(time.monotonic() - began_s, PATIENCE_S)
        # And it is measured and moved all the same
        self.assertEqual(512 * MIB, self.domain("one").actual_kib)
        self.hypervisor.set_target(one, 300 * MIB)


def _only(name: str, connection: Connection) -> Any:
    watched = connection.watched

    def hang_for(method: Any, *names: str) -> Any:
        hangs = "blockStats" in names and name not in names
        return method if hangs else watched(method, *names)

    return hang_for


class QemuConnection(Connection):
    """Adds the call that reads the disks of some guests at once."""

    rows: dict[str, dict[str, Any]]

    def domainListGetStats(  # noqa: N802
        self, handles: list, stats: int, flags: int
    ) -> list:
        assert stats == libvirt.VIR_DOMAIN_STATS_BLOCK
        assert flags == libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        self.calls.append("domainListGetStats")
        return self.watched(
            lambda: [(h, self.rows[h.name()]) for h in handles],
            "domainListGetStats",
        )()


class QemuTest(DisksTest):
    ROW = {
        "block.count": 3,
        "block.0.name": "xvda",
        "block.0.rd.bytes": 10 * 1024,
        "block.0.wr.bytes": 99,
        "block.1.name": "hdc",
        "block.1.rd.bytes": 77 * 1024,
        "block.2.name": "xvdb",
        "block.2.rd.bytes": 20 * 1024,
        "block.2.wr.bytes": 30 * 1024 + 1023,
    }

    def connect(self, kind: str = "QEMU") -> None:
        self.connection = QemuConnection(self.real, kind)
        self.addCleanup(self.connection.go_on.set)
        self.hypervisor = libvirt_host.LibvirtHypervisor(
            lambda: self.connection, patience_s=PATIENCE_S
        )

    def read(self, **rows: dict[str, Any]) -> dict[str, DiskCounters]:
        self.connect()
        self.start_with_disks(*rows)
        self.connection.rows = rows
        found = self.hypervisor.disk_counters(self.hypervisor.domains())
        return {
            self.real.lookupByUUIDString(uuid).name(): counters
            for uuid, counters in found.items()
        }

    def test_all_guests_are_one_call(self) -> None:
        counters = DiskCounters(20, 30, 10)
        self.assertEqual(
            {"one": counters, "two": counters},
            self.read(one=self.ROW, two=self.ROW),
        )
        calls = self.connection.calls
        self.assertEqual(1, calls.count("domainListGetStats") // 2)
        self.assertNotIn("blockStats", calls)

    def test_who_was_too_busy_to_answer_is_left_out(self) -> None:
        lacks = {k: v for k, v in self.ROW.items() if k != "block.2.rd.bytes"}
        for row in ({}, lacks, {"block.count": 0}):
            found = self.read(**{f"busy{len(row)}": row})
            self.assertEqual({}, found)
            self.real.lookupByName(f"busy{len(row)}").destroy()

    def test_nobody_to_read_is_no_call(self) -> None:
        self.assertEqual({}, self.read())
        self.assertNotIn("domainListGetStats", self.connection.calls)

    def test_a_call_that_hangs_ends_in_time(self) -> None:
        self.read(one=self.ROW)
        self.connection.hanging = {"domainListGetStats"}
        with self.assertRaises(exception.HypervisorError):
            self.read_in_time(self.hypervisor.domains())


class WholeWayTest(DisksTest):
    """libvirt's embedded driver, its counters, and the real balancer."""

    def setUp(self) -> None:
        super().setUp()
        self.connect()
        self.start_with_disks("silent")
        # Its 3 GiB and what the host keeps leave nothing of the 4 GiB
        self.real.createXML(
            domain_xml("big").replace("'MiB'>1024<", "'MiB'>3072<", 1), 0
        )
        self.real.lookupByName("silent").setMemory(1024 * MIB)
        self.real.lookupByName("big").setMemory(2560 * MIB)
        self.clock = VirtualClock()
        self.balancer = Balancer(
            self.hypervisor, [], Leases(), self.clock.monotonic_s
        )

    def run_for(self, seconds: int, **options: Any) -> int:
        """Give what the silent guest is asked to have then, in MiB."""
        settings = Settings.of(
            configured(
                mode="balance", **{"probe_silent_guests": True, **options}
            )
        )
        for _ in range(seconds):
            self.balancer.run_pass(settings)
            self.clock.now_s += 1.0
        guests = self.balancer.guests.values()
        self.silent = next(g for g in guests if g.domain.name == "silent")
        return self.real.lookupByName("silent").info()[2] // MIB

    def test_down_in_steps_and_back_when_its_disk_is_read(self) -> None:
        self.assertEqual(1024, self.run_for(180))
        # Given that the reserve is to be refilled
        now_mib = self.run_for(40)
        self.assertLess(now_mib, 1024 - 3 * 16)
        self.assertGreaterEqual(now_mib, 1024 - 5 * 16)
        self.assertEqual(0, self.silent.probe.pains)
        # When reads hurt that libvirt counts while real time goes by
        time.sleep(0.1)
        self.run_for(5, swap_in_high_kib_s=1)
        self.assertIs(Phase.HELD_OFF, self.silent.probe.phase)
        self.assertIn("swap disk read", self.silent.probe.signs[0])
        self.assertGreater(self.silent.demand_kib, now_mib * MIB)

    def test_without_the_option_nothing_happens(self) -> None:
        options = {"probe_silent_guests": False}
        self.assertEqual(1024, self.run_for(260, **options))
        self.assertNotIn("blockStats", self.connection.calls)
