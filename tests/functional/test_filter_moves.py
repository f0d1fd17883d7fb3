# SPDX-License-Identifier: Apache-2.0
"""Which of an instance's moves the filter is asked about, and what it says.

Hosts run Nova's stock driver; their reports are what a test says.
"""

import re
from typing import Any

from nova.tests.functional.api import client as api_client
from nova.tests.functional.libvirt import base as libvirt_base

from nova_xen_overcommit import report as report_module
from tests.functional import base
from tests.functional.test_scheduler import SchedulerTestCase, fresh_report

PRESSED = {"state": report_module.PRESSURE}


class MovesTestCase(SchedulerTestCase):
    """An instance on compute1; compute2 is there to move it to."""

    def setUp(self) -> None:
        super().setUp()
        for name in ("compute1", "compute2"):
            self.publish(self.start_host(name), fresh_report())
        self.let_disks_move()
        # A busy machine is slow, which says nothing of the code under test.
        self.flags(report_max_age_s=3600, group="xen_overcommit")
        self.server = self.boot(host="compute1")

    def act(self, action: dict[str, Any]) -> None:
        """Ask Nova's API for an action, whatever becomes of it."""
        try:
            self.api.post_server_action(self.server["id"], action)
        except api_client.OpenStackApiException as error:
            # Nova's test bus makes calls of casts: the error comes back.
            self.assertIn(error.response.status_code, (400, 409, 500))

    def refusals(self) -> list[str]:
        """Give what was refused for the instance, of the scheduler's log."""
        pattern = rf"Refused (.*) for instance {self.server['id']}: (.*)"
        found = re.findall(pattern, self.stdlog.logger.output)
        return [f"{hosts}: {reasons}" for hosts, reasons in found]

    def assert_refused_for(self, action: dict[str, Any], reasons: str) -> None:
        before = len(self.refusals())
        self.act(action)
        new = self.refusals()[before:]
        self.assertEqual([reasons], new)

    def host_of(self) -> str | None:
        """Give the host that the instance is on."""
        server = self.api.get_server(self.server["id"])
        return server["OS-EXT-SRV-ATTR:host"]


class MigrateTest(
    libvirt_base.LibvirtMigrationMixin,  # type: ignore[misc]
    MovesTestCase,
):
    """Cold and live: the target is asked like any other host."""

    def setUp(self) -> None:
        super().setUp()
        self.src = self.computes["compute1"]
        self.dest = self.computes["compute2"]

    def test_cold(self) -> None:
        # Given the only other host is under pressure
        self.publish("compute2", fresh_report(**PRESSED))
        # When the instance is to be migrated, then it stays
        self.assert_refused_for(
            {"migrate": None}, "1 of 1 host(s): pressure 1 (compute2)"
        )
        self.assertEqual("compute1", self.host_of())
        # When the pressure is over, then it moves
        self.publish("compute2", fresh_report())
        self._migrate_server(self.api.get_server(self.server["id"]))
        self.assertEqual("compute2", self.host_of())

    def test_live(self) -> None:
        # Given the only other host promises one MiB less than is asked for
        short = fresh_report(promise_mib=base.FLAVOR_MIB - 1)
        self.publish("compute2", short)
        # When the instance is to be migrated, with or without naming the
        # host, then it stays
        for host in (None, "compute2"):
            action = {"host": host, "block_migration": "auto"}
            self.assert_refused_for(
                {"os-migrateLive": action},
                "1 of 1 host(s): promise 1 (compute2)",
            )
        self.assertEqual("compute1", self.host_of())
        # When the host promises as much, then it moves
        self.publish("compute2", fresh_report(promise_mib=base.FLAVOR_MIB))
        self.server = self.api.get_server(self.server["id"])
        self._live_migrate(self.server)
        self.assertTrue(self.migrate_stub_ran)


class ResizeTest(MovesTestCase):
    """To another host, and on the instance's own."""

    def setUp(self) -> None:
        super().setUp()
        self.larger = self._create_flavor(
            name="larger", memory_mb=2048, vcpu=1, disk=1, swap=256
        )
        self.action = {"resize": {"flavorRef": self.larger}}

    def test_to_another_host(self) -> None:
        # Given the other host promises one MiB less than the new flavor
        self.publish("compute2", fresh_report(promise_mib=2047))
        # When the instance is resized, then it stays as it is
        self.assert_refused_for(
            self.action, "1 of 1 host(s): promise 1 (compute2)"
        )
        # When it promises as much, then it is resized there
        self.publish("compute2", fresh_report(promise_mib=2048))
        self._resize_server(self.server, self.larger)
        self.assertEqual("compute2", self.host_of())

    def test_on_its_own_host_the_old_flavor_counts(self) -> None:
        # Given resizing on the same host, where alone there is room; old
        # and new flavor count, as in Placement, until it is confirmed: the
        # instance may be reverted any time
        self.flags(allow_resize_to_same_host=True)
        self.publish("compute2", fresh_report(**PRESSED))
        # When one MiB of both flavors is missing, then it is refused
        short = fresh_report(
            promise_mib=1024 + 2047, committed_mib=1024, guests=1
        )
        self.publish("compute1", short)
        before = len(self.refusals())
        self.act(self.action)
        (refusal,) = self.refusals()[before:]
        self.assertIn("2 of 2 host(s)", refusal)
        self.assertIn("promise 1 (compute1)", refusal)
        # When it is there, then it is resized
        enough = fresh_report(
            promise_mib=1024 + 2048, committed_mib=1024, guests=1
        )
        self.publish("compute1", enough)
        self._resize_server(self.server, self.larger)
        self.assertEqual("compute1", self.host_of())


class ComeBackTest(MovesTestCase):
    """Instances that have no host, or whose host has died."""

    def test_unshelve(self) -> None:
        # Given a shelved instance, and pressure on all hosts
        self.flags(shelved_offload_time=0)
        self._shelve_server(self.server)
        for name in ("compute1", "compute2"):
            self.publish(name, fresh_report(**PRESSED))
        # When it is to be unshelved, then it is refused everywhere
        before = len(self.refusals())
        self.act({"unshelve": None})
        (refusal,) = self.refusals()[before:]
        self.assertIn("2 of 2 host(s): pressure 2", refusal)
        # When one can take it, then it comes back there
        self.publish("compute2", fresh_report())
        self._unshelve_server(self.server)
        self.assertEqual("compute2", self.host_of())

    def test_evacuate(self) -> None:
        # Given a dead host, and pressure on the other one
        self.computes["compute1"].stop()
        service = self.api.get_services(
            binary="nova-compute", host="compute1"
        )[0]
        self.api.put_service(service["id"], {"forced_down": "true"})
        self.publish("compute2", fresh_report(**PRESSED))
        # When the instance is evacuated, with or without naming the host,
        # then it is refused: better dead than two hosts' guests swapping
        for host in ({}, {"host": "compute2"}):
            self.assert_refused_for(
                {"evacuate": host}, "1 of 1 host(s): pressure 1 (compute2)"
            )
        # When the pressure is over, then it comes
        self.publish("compute2", fresh_report())
        self.act({"evacuate": {}})
        self._wait_for_migration_status(self.server, ["done"])
        self.assertEqual("compute2", self.host_of())


class NamedHostTest(MovesTestCase):
    """Hosts that a request names."""

    def test_a_requested_host_is_asked(self) -> None:
        # Given pressure on a host
        self.publish("compute2", fresh_report(**PRESSED))
        # When an administrator asks for that host, then it is refused
        self.assert_refused(host="compute2")

    def test_a_forced_host_is_not(self) -> None:
        # Given the same host
        self.publish("compute2", fresh_report(**PRESSED))
        # When it is forced by its availability zone, as only administrators
        # may, then no filter is asked: Placement's capacity and the agent's
        # reservation remain
        server = self.boot(az="nova:compute2")
        self.assertEqual("compute2", server["OS-EXT-SRV-ATTR:host"])


class TracedTest(SchedulerTestCase):
    def test_no_valid_host_is_traced_to_the_reason(self) -> None:
        # Given one host whose agent is silent, one that is full
        self.publish(self.start_host("compute1"), fresh_report(time_s=0))
        full = fresh_report(promise_mib=0)
        self.publish(self.start_host("compute2"), full)
        # When an instance that doesn't fit physically is asked for
        huge = self._create_flavor(name="huge", memory_mb=3900, vcpu=1, disk=1)
        server = self.boot(expected="ERROR", flavor_id=huge)
        # Then Nova says of its request that our filter left no host
        log = self.stdlog.logger.output
        self.assertIn("Filter XenOvercommitFilter returned 0 hosts", log)
        self.assertIn(
            "Filtering removed all hosts for the request with instance ID "
            f"'{server['id']}'",
            log,
        )
        # And we say why, by the same instance
        self.assertIn(
            f"Refused 2 of 2 host(s) for instance {server['id']}: "
            "old_report 1 (compute1), promise 1 (compute2)",
            log,
        )
