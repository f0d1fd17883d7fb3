# SPDX-License-Identifier: Apache-2.0
"""Xen guests through a real Nova, over a libvirt that answers like libxl."""

import threading
import time
from typing import Any

import fixtures
from lxml import etree
from nova.tests import fixtures as nova_fixtures
from nova.tests.fixtures import libvirt as fakelibvirt

from tests.functional import base, test_driver, xen_fake

FLAVOR_KIB = base.FLAVOR_MIB * 1024


class TestXen(test_driver.DriverTestCase):
    """virt_type=xen."""

    connection_class = xen_fake.XenConnection

    def setUp(self) -> None:
        super().setUp()
        self.flags(virt_type="xen", group="libvirt")

    def image(self, **properties: str) -> str:
        """Give a new image with these properties."""
        image = {
            "name": "xen",
            "status": "active",
            "container_format": "bare",
            "disk_format": "raw",
            "min_disk": 0,
            "min_ram": 0,
            "size": 1,
            "properties": {"architecture": "x86_64", **properties},
        }
        return str(self.glance.create(None, image)["id"])

    def kernel_image(self, **properties: str) -> str:
        """Give an image that names a kernel and a ramdisk."""
        return self.image(
            kernel_id="155d900f-4e14-4e4c-a73d-069cbf4541e6",
            ramdisk_id="155d900f-4e14-4e4c-a73d-069cbf4541e6",
            **properties,
        )

    def boot_image(self, image: str, expected: str = "ACTIVE") -> Any:
        """Boot from the image."""
        return self.boot(expected=expected, image_uuid=image)

    def test_domain_0_is_no_instance(self) -> None:
        # Given a host that lists Domain-0 among its domains
        host = self.start_host("compute1")
        # Then Nova sees no instance
        driver = self.computes[host].driver
        self.assertEqual([], driver.list_instance_uuids())
        self.assertEqual(0, driver.get_num_instances())

    def test_memory_is_the_hypervisor_s(self) -> None:
        host = self.start_host("compute1")
        resource = self.computes[host].driver.get_available_resource(host)
        self.assertEqual(4096, resource["memory_mb"])
        self.assertEqual(4096 - 3000, resource["memory_mb_used"])

    def test_kinds_that_nova_has_no_word_for_are_left_out(self) -> None:
        host = self.start_host("compute1")
        resource = self.computes[host].driver.get_available_resource(host)
        found = {tuple(found) for found in resource["supported_instances"]}
        self.assertEqual(
            {("x86_64", "xen", "xen"), ("x86_64", "xen", "hvm")}, found
        )

    def test_pv(self) -> None:
        self.start_host("compute1")
        image = self.kernel_image(hw_vm_mode="xen")
        domain = self.domain(self.boot_image(image))
        self.assertEqual("xen", domain.get("type"))
        self.assertEqual("linux", domain.findtext("os/type"))
        self.assertEqual("xenpv", domain.find("os/type").get("machine"))
        self.assertTrue(domain.findtext("os/kernel").endswith("kernel"))
        self.assertIn("root=/dev/xvda", domain.findtext("os/cmdline"))
        targets = [
            (target.get("dev"), target.get("bus"))
            for target in domain.iterfind("devices/disk/target")
        ]
        # Root, ephemeral disk and swap
        disks = [("xvda", "xen"), ("xvdb", "xen"), ("xvdc", "xen")]
        self.assertEqual(disks, targets)
        self.assertEqual("linux", self.agent.requests[-1].os_type)
        current = domain.findtext("currentMemory")
        self.assertEqual(str(FLAVOR_KIB // 2), current)

    def test_pvh(self) -> None:
        self.start_host("compute1")
        image = self.kernel_image(hw_machine_type="xenpvh")
        domain = self.domain(self.boot_image(image))
        self.assertEqual("xenpvh", domain.findtext("os/type"))
        self.assertIsNone(domain.find("devices/graphics"))
        self.assertEqual("xenpvh", self.agent.requests[-1].os_type)

    def test_hvm(self) -> None:
        self.start_host("compute1")
        domain = self.domain(self.boot_image(self.image()))
        self.assertEqual("hvm", domain.findtext("os/type"))
        self.assertIn("hvmloader", domain.findtext("os/loader"))
        self.assertIn("qemu-system", domain.findtext("devices/emulator"))
        self.assertEqual("hvm", self.agent.requests[-1].os_type)

    def test_hvm_with_emulated_scsi_disks(self) -> None:
        # Given an image that asks for the bus that boots fastest
        self.start_host("compute1")
        image = self.image(hw_disk_bus="scsi")
        domain = self.domain(self.boot_image(image))
        targets = [
            (target.get("dev"), target.get("bus"))
            for target in domain.iterfind("devices/disk/target")
        ]
        disks = [("sda", "scsi"), ("sdb", "scsi"), ("sdc", "scsi")]
        self.assertEqual(disks, targets)

    def test_a_volume_attached_to_hvm_is_paravirtual(self) -> None:
        # Given an HVM guest on emulated SCSI, which takes no disk later
        self.start_host("compute1")
        self.useFixture(nova_fixtures.CinderFixture(self))
        attached: list[str] = []
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova.tests.fixtures.libvirt.Domain.attachDeviceFlags",
                lambda _domain, xml, flags: attached.append(xml),
            )
        )
        server = self.boot_image(self.image(hw_disk_bus="scsi"))
        # When a volume is attached
        volume = nova_fixtures.CinderFixture.SWAP_OLD_VOL
        self.api.post_server_volume(
            server["id"], {"volumeAttachment": {"volumeId": volume}}
        )
        self.notifier.wait_for_versioned_notifications(
            "instance.volume_attach.end"
        )
        # Then it is a disk by Xen's own bus, and none of the four of which
        # libxl makes IDE disks, too: the firmware would boot from it
        target = etree.fromstring(attached[-1]).find("target")
        self.assertEqual("xvde", target.get("dev"))
        self.assertEqual("xen", target.get("bus"))
        # And it stays that when the guest starts anew
        self._reboot_server(server, hard=True)
        targets = [
            (target.get("dev"), target.get("bus"))
            for target in self.domain(server).iterfind("devices/disk/target")
        ]
        self.assertIn(("xvde", "xen"), targets)

    def test_a_volume_is_detached_from_a_running_guest(self) -> None:
        # Given a guest with a volume
        self.start_host("compute1")
        self.useFixture(nova_fixtures.CinderFixture(self))
        server = self.boot_image(self.image())
        volume = nova_fixtures.CinderFixture.SWAP_OLD_VOL
        self.api.post_server_volume(
            server["id"], {"volumeAttachment": {"volumeId": volume}}
        )
        self.notifier.wait_for_versioned_notifications(
            "instance.volume_attach.end"
        )
        self.assertIn("xvde", self.disks(server))
        # When it is detached while it runs
        self.api.delete_server_volume(server["id"], volume)
        self.notifier.wait_for_versioned_notifications(
            "instance.volume_detach.end"
        )
        # Then it is gone, though libxl names no device and sends no event
        self.assertNotIn("xvde", self.disks(server))

    def disks(self, server: Any) -> set[str]:
        """Name the disks of a guest as it runs."""
        connection = self.computes["compute1"].driver._host.get_connection()
        domain = connection.lookupByUUIDString(server["id"])
        devices = etree.fromstring(domain.XMLDesc(0)).find("devices")
        return {x.get("dev") for x in devices.iterfind("disk/target")}

    def test_hvm_with_a_config_drive(self) -> None:
        self.start_host("compute1")
        image = self.image(img_config_drive="mandatory")
        domain = self.domain(self.boot_image(image))
        devices = [
            target.get("dev")
            for target in domain.iterfind("devices/disk/target")
        ]
        self.assertEqual(["xvda", "xvdb", "xvdc", "xvdd"], devices)

    def test_pv_without_a_kernel_fails_for_good(self) -> None:
        # Given two hosts
        self.start_host("compute1")
        self.start_host("compute2")
        # When an image asks for PV and names no kernel
        server = self.boot_image(self.image(hw_vm_mode="xen"), "ERROR")
        # Then the user reads why, and no second host was tried
        self.assertIn("kernel", server["fault"]["message"])
        self.assertEqual([], self.agent.requests)

    def test_life(self) -> None:
        self.start_host("compute1")
        image = self.kernel_image(hw_vm_mode="xen")
        server = self.boot_image(image)
        self._reboot_server(server, hard=True)
        self._suspend_server(server)
        self._resume_server(server)
        self._start_server(self._stop_server(server))
        self.assertEqual(4, len(self.agent.requests))
        self._delete_server(server)

    def test_a_snapshot_gives_the_guest_back_what_it_had(self) -> None:
        # Given that a Xen guest is saved to disk for a snapshot
        self.start_host("compute1")
        server = self.boot_image(self.kernel_image(hw_vm_mode="xen"))
        # When it comes back
        self._snapshot_server(server, "snapshot")
        self.notifier.wait_for_versioned_notifications("instance.snapshot.end")
        # Then there was room for all it had when it was saved
        self.assertEqual(2, len(self.agent.requests))
        self.assertEqual(FLAVOR_KIB, self.agent.requests[-1].restore_kib)
        for held in ("snapshot", "suspend"):
            self.assertIn(("begin", server["id"], held), self.agent.events)
        self.assertEqual(2, self.starts_of(server["id"]).count("end"))

    def test_domains_start_one_at_a_time(self) -> None:
        # Given domains that notice whether another is starting
        starting: list[int] = []
        most: list[int] = []
        stock = fakelibvirt.Domain.createWithFlags

        def create(domain: Any, flags: int) -> None:
            starting.append(1)
            most.append(len(starting))
            time.sleep(0.2)
            stock(domain, flags)
            starting.pop()

        self.useFixture(
            fixtures.MonkeyPatch(
                "nova.tests.fixtures.libvirt.Domain.createWithFlags", create
            )
        )
        host = self.start_host("compute1")
        driver = self.computes[host].driver
        servers = [self.boot_image(self.image()) for _ in range(2)]
        # When two are started at once
        most.clear()
        threads = []
        for server in servers:
            xml = self.defined["compute1"][server["id"]]
            guest = driver._host.write_instance_config(xml)
            threads.append(threading.Thread(target=guest.launch))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # Then the second has waited for the first
        self.assertEqual([1, 1], most)

    def test_without_the_agent_the_hypervisor_is_asked(self) -> None:
        host = self.start_host("compute1")
        connection = self.computes[host].driver._host.get_connection()
        self.agent.stop()
        image = self.kernel_image(hw_vm_mode="xen")
        server = self.boot_image(image)
        current = self.domain(server).findtext("currentMemory")
        self.assertEqual(str(FLAVOR_KIB), current)
        connection.free_mib = 1024
        refused = self.boot_image(image, "ERROR")
        self.assertNotIn(refused["id"], self.defined["compute1"])

    def test_without_any_report_dom0_is_not_promised(self) -> None:
        self.agent.stop()
        self.start_host("compute1")
        self.assertEqual(4096 - 768, self.capacity_mib())

    def test_stock_promises_what_dom0_leaves(self) -> None:
        self.flags(mode="observe", group="xen_overcommit")
        self.start_host("compute1")
        self.assertEqual(4096 - 512, self.capacity_mib())
