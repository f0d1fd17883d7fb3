# SPDX-License-Identifier: Apache-2.0
"""Reservations and holds while instances move and are worked on."""

import pathlib
from typing import Any

from nova import conf as nova_conf
from nova.tests.functional.libvirt import base as libvirt_base

from tests.functional import test_driver, xen_fake


class TestResize(test_driver.DriverTestCase):
    """Resize, confirm and revert between two hosts."""

    def setUp(self) -> None:
        super().setUp()
        self.let_disks_move()
        self.start_host("compute1")
        self.start_host("compute2")
        self.server = self.boot()
        self.larger = self._create_flavor(memory_mb=2048, vcpu=1, disk=1)

    def test_resize_reserves_the_new_flavor(self) -> None:
        self._resize_server(self.server, self.larger)
        request = self.agent.requests[-1]
        self.assertEqual(2, len(self.agent.requests))
        self.assertEqual(2048 * 1024, request.flavor_kib)
        held = ("begin", self.server["id"], "resize")
        self.assertIn(held, self.agent.events)

    def test_revert_reserves_the_old_flavor(self) -> None:
        self._resize_server(self.server, self.larger)
        self._revert_resize(self.server)
        self.assertEqual(3, len(self.agent.requests))
        request = self.agent.requests[-1]
        self.assertEqual(1024 * 1024, request.flavor_kib)


class TestHolds(test_driver.DriverTestCase):
    """The agent is told what it must not disturb."""

    def held(self, server: dict[str, Any]) -> set[str]:
        """Give all reasons for which the guest was held."""
        return {
            what
            for event, uuid, what in self.agent.events
            if uuid == server["id"] and event == "begin"
        } - {"start"}

    def test_pause(self) -> None:
        self.start_host("compute1")
        server = self.boot()
        self.api.post_server_action(server["id"], {"pause": {}})
        self._wait_for_state_change(server, "PAUSED")
        self.assertEqual({"pause"}, self.held(server))

    def test_rescue(self) -> None:
        self.start_host("compute1")
        server = self.boot()
        # Nova's fixture makes no images, nor the directory for them.
        pathlib.Path(nova_conf.CONF.instances_path, server["id"]).mkdir()
        self.api.post_server_action(server["id"], {"rescue": {}})
        self._wait_for_state_change(server, "RESCUE")
        self.assertEqual({"rescue"}, self.held(server))
        self.assertEqual(2, len(self.agent.requests))
        self._unrescue_server(server)
        self.assertEqual({"rescue", "unrescue"}, self.held(server))
        self.assertEqual(3, len(self.agent.requests))
        self.assertEqual(3, self.starts_of(server["id"]).count("end"))

    def test_rebuild_reserves(self) -> None:
        self.start_host("compute1")
        server = self.boot()
        other_image = "155d900f-4e14-4e4c-a73d-069cbf4541e6"
        self._rebuild_server(server, other_image)
        self.assertEqual(2, len(self.agent.requests))
        self.assertEqual(2, self.starts_of(server["id"]).count("end"))

    def test_unshelve_reserves(self) -> None:
        self.start_host("compute1")
        server = self.boot()
        self._shelve_server(server)
        self.assertEqual(1, len(self.agent.requests))
        self._unshelve_server(server)
        self.assertEqual(2, len(self.agent.requests))
        self.assertEqual(2, self.starts_of(server["id"]).count("end"))


class TestLiveMigration(
    libvirt_base.LibvirtMigrationMixin,  # type: ignore[misc]
    test_driver.DriverTestCase,
):
    """A reservation at the destination, a hold at the source."""

    def migrate(self) -> None:
        """Move an instance from the first host to the second."""
        self.start_host("compute1")
        self.start_host("compute2")
        self.server = self._create_server(
            flavor_id=self.flavor_id, networks="none", host="compute1"
        )
        self.src = self.computes["compute1"]
        self.dest = self.computes["compute2"]
        self._live_migrate(self.server)

    def test_room_is_made_for_all_of_the_guest(self) -> None:
        self.migrate()
        self.assertTrue(self.migrate_stub_ran)
        request = self.agent.requests[-1]
        self.assertEqual(2, len(self.agent.requests))
        self.assertEqual(request.flavor_kib, request.restore_kib)
        held = ("begin", self.server["id"], "live migration")
        self.assertIn(held, self.agent.events)
        # The source held it while the destination's reservation lived
        self.assertEqual(["begin", "end"] * 2, self._starts(self.server))

    def _starts(self, server: dict[str, Any]) -> list[str]:
        return self.starts_of(server["id"])


class TestXenLiveMigration(TestLiveMigration):
    """The same over libxl, which takes fewer parameters."""

    connection_class = xen_fake.XenConnection

    def setUp(self) -> None:
        super().setUp()
        self.flags(virt_type="xen", group="libvirt")

    def _migrate_stub(
        self, domain: Any, destination: str, params: Any, flags: int
    ) -> None:
        assert destination == "xen+tcp://compute2/system", destination
        assert set(params) <= {"destination_xml", "migrate_uri"}, params
        super()._migrate_stub(domain, destination, params, flags)
