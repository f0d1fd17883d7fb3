# SPDX-License-Identifier: Apache-2.0
"""The driver inside a real Nova: API, scheduler, conductor, Placement.

Only libvirt is Nova's own fake, and the agent's balancer is not behind its
socket.
"""

import time
import warnings
from typing import Any

import fixtures
import testtools
from lxml import etree
from nova import context as nova_context
from nova import objects
from nova.scheduler import host_manager
from nova.tests.functional.api import client
from sqlalchemy import exc as sqlalchemy_exception

from nova_xen_overcommit import exception, guest_metadata, report
from tests.functional import agent_double, base

FLAVOR_KIB = base.FLAVOR_MIB * 1024


class DriverTestCase(base.FunctionalTestCase):
    """A Nova whose computes run our driver, and their agent."""

    compute_driver = "xen_overcommit.XenOvercommitDriver"
    mode = "overcommit"
    # What is to answer instead of Nova's fake of QEMU.
    connection_class: type | None = None

    def setUp(self) -> None:
        super().setUp()
        # Nova's fixtures make errors of warnings of a later SQLAlchemy.
        warnings.simplefilter(
            "ignore", sqlalchemy_exception.SADeprecationWarning
        )
        directory = self.useFixture(fixtures.TempDir()).path
        socket_path = f"{directory}/agent.sock"
        self.agent = self.useFixture(agent_double.AgentDouble(socket_path))
        self.flags(
            mode=self.mode,
            agent_socket=socket_path,
            reserve_wait_s=1,
            group="xen_overcommit",
        )
        self.flavor_id = self._create_flavor(
            memory_mb=base.FLAVOR_MIB,
            vcpu=1,
            disk=1,
            swap=256,
            extra_spec={"xen_overcommit:floor_mb": "200"},
        )

    def domain(
        self, server: dict[str, Any], hostname: str = "compute1"
    ) -> etree._Element:
        """Give the instance's domain as libvirt was given it."""
        return etree.fromstring(self.domain_xml(server, hostname))

    def domain_xml(self, server: dict[str, Any], hostname: str) -> str:
        """Give the XML that the newest start defined."""
        return self.defined[hostname][server["id"]]

    def capacity_mib(self, hostname: str = "compute1") -> int:
        """Give the memory that Placement would hand out."""
        inventory = self.memory_inventory(hostname)
        span_mib = inventory["total"] - inventory["reserved"]
        return int(span_mib * inventory["allocation_ratio"])

    def host_stats(self, hostname: str = "compute1") -> dict[str, Any]:
        """Give what a filter sees in HostState.stats."""
        context = nova_context.get_admin_context()
        node = objects.ComputeNode.get_first_node_by_host_for_old_compat(
            context, hostname
        )
        state = host_manager.HostState(hostname, hostname, None)
        state.update(compute=node)
        return dict(state.stats)

    def refresh(self) -> None:
        """Let nova-compute's periodic update run."""
        context = nova_context.get_admin_context()
        for compute in self.computes.values():
            compute.manager.update_available_resource(context)

    def starts_of(self, uuid: str) -> list[str]:
        """Give what began and ended of an instance's reservations."""
        # The server notices the closed connection a moment later.
        deadline_s = time.monotonic() + 5
        while self.agent.held and time.monotonic() < deadline_s:
            time.sleep(0.05)
        return [
            event
            for event, seen_uuid, what in self.agent.events
            if seen_uuid == uuid and what == "start"
        ]

    def _get_connection(self, *args: Any, **kwargs: Any) -> Any:
        connection = super()._get_connection(*args, **kwargs)
        if self.connection_class is not None:
            connection.__class__ = self.connection_class
        defined = self.defined.setdefault(
            kwargs.get("hostname") or args[-1], {}
        )
        stock = connection.defineXML

        def define(xml: str) -> Any:
            domain = stock(xml)
            defined[domain.UUIDString()] = xml
            return domain

        connection.defineXML = define
        return connection

    @property
    def defined(self) -> dict[str, dict[str, str]]:
        """The XML that was defined, by host and instance."""
        return self.__dict__.setdefault("_defined", {})


class TestOvercommit(DriverTestCase):
    """mode=overcommit with a living agent."""

    def test_the_capacity_in_placement_is_the_promise(self) -> None:
        # Given an agent that promises 12 GiB of a 4 GiB host
        # When the compute service starts
        self.start_host("compute1")
        # Then Placement hands out exactly that
        self.assertEqual(12 * 1024, self.capacity_mib())

    def test_a_lower_promise_is_published(self) -> None:
        # Given a host that has published its promise
        self.start_host("compute1")
        # When the agent promises less
        self.agent.reports = {"promise_mib": 5000}
        self.refresh()
        # Then so does Placement
        self.assertEqual(5000, self.capacity_mib())

    def test_the_report_reaches_the_scheduler(self) -> None:
        # Given a report with a figure to know it by
        self.agent.reports = {"idle_mib": 1234}
        # When the compute service starts
        self.start_host("compute1")
        # Then a filter can read it from HostState, next to Nova's own stats
        stats = self.host_stats()
        found = report.HostReport.from_stats(stats)
        self.assertEqual(1234, found.idle_mib if found else None)
        self.assertIn("uptime", stats)

    def test_a_guest_starts_with_what_was_granted(self) -> None:
        # Given an agent that grants half of the flavor
        self.start_host("compute1")
        # When an instance is created
        server = self.boot()
        # Then its domain may grow to the flavor and starts with half of it
        domain = self.domain(server)
        self.assertEqual(str(FLAVOR_KIB), domain.findtext("memory"))
        current = domain.findtext("currentMemory")
        self.assertEqual(str(FLAVOR_KIB // 2), current)

    def test_the_agent_learns_of_the_flavor(self) -> None:
        self.start_host("compute1")
        server = self.boot()
        # The agent is told at the start ...
        request = self.agent.requests[-1]
        self.assertEqual(server["id"], request.uuid)
        self.assertEqual(FLAVOR_KIB, request.flavor_kib)
        self.assertEqual(200 * 1024, request.floor_kib)
        self.assertEqual(256 * 1024, request.swap_kib)
        self.assertEqual(0, request.restore_kib)
        self.assertTrue(request.overcommit)
        # ... and after its own restart by the domain
        metadata = guest_metadata.from_domain(self.domain(server))
        self.assertEqual(200 * 1024, metadata.floor_kib)
        self.assertEqual(256 * 1024, metadata.swap_kib)

    def test_nova_s_own_element_tells_whose_it_is(self) -> None:
        # Given an instance's definition, as Nova writes it without us
        self.start_host("compute1")
        domain = self.domain(self.boot())
        ours = domain.find(f"metadata/{guest_metadata.TAG}")
        ours.getparent().remove(ours)
        # Then the agent knows it for Nova's, and any other for none
        self.assertTrue(guest_metadata.is_novas(domain))
        domain.remove(domain.find("metadata"))
        self.assertFalse(guest_metadata.is_novas(domain))

    def test_what_is_not_novas_is_left_out_of_the_capacity(self) -> None:
        # Given an agent that knows of 1 GiB that isn't Nova's
        self.agent.reports = {
            "mode": "balance",
            "promise_mib": 11 * 1024,
            "foreign_mib": 1024,
        }
        # When the compute service starts, then Placement hands out the rest
        self.start_host("compute1")
        self.assertEqual(2 * 1024, self.capacity_mib())
        # And the scheduler hears of it
        told = report.HostReport.from_stats(self.host_stats())
        self.assertEqual(1024, told.foreign_mib)

    def test_the_reservation_ends_with_the_start(self) -> None:
        self.start_host("compute1")
        server = self.boot()
        self.assertEqual(["begin", "end"], self.starts_of(server["id"]))

    def test_more_instances_than_memory(self) -> None:
        # Given a 4 GiB host with a promise of 12 GiB
        self.start_host("compute1")
        # When more 1 GiB instances are created than physical memory holds
        servers = [self.boot() for _ in range(5)]
        # Then all of them run
        self.assertEqual(5, len({server["id"] for server in servers}))
        self.assertEqual(5, len(self.agent.requests))

    def test_no_room_takes_the_instance_to_the_next_host(self) -> None:
        # Given two hosts, of which the first asked has no room
        self.start_host("compute1")
        self.start_host("compute2")
        self.agent.refusals = [_no_room()]
        # When an instance is created
        server = self.boot()
        # Then it runs on the other one
        self.assertEqual(2, len(self.agent.requests))
        self.assertEqual([1, 0], sorted(map(len, self.defined.values()))[::-1])
        self.assertEqual("ACTIVE", server["status"])

    def test_no_room_anywhere_fails_the_build(self) -> None:
        # Given one host, and no room on it
        self.start_host("compute1")
        self.agent.always_refuse = _no_room()
        # When an instance is created
        server = self.boot(expected="ERROR")
        # Then no domain was defined, and nothing is left reserved
        self.assertNotIn(server["id"], self.defined["compute1"])
        self.assertEqual([], self.agent.held)

    def test_no_room_is_told_with_figures(self) -> None:
        # Given a stopped instance, and another guest that doesn't yield
        self.start_host("compute1")
        server = self._stop_server(self.boot())
        self.agent.always_refuse = _no_room()
        # When it is to be started
        # (Nova's test bus makes calls of casts, so the error comes back.)
        with testtools.ExpectedException(client.OpenStackApiException):
            self.api.post_server_action(server["id"], {"os-start": None})
        # Then its user reads how much was missing, but not whose fault it is
        message = self._fault_of(server)
        self.assertIn("256 MiB needed", message)
        self.assertIn("100 MiB free", message)
        self.assertIn("50 MiB could be freed", message)
        self.assertNotIn("instance-stubborn", message)
        self.assertEqual([], self.agent.held)

    def test_power_cycle_and_hard_reboot_reserve(self) -> None:
        self.start_host("compute1")
        server = self.boot()
        self._stop_server(server)
        self._start_server(server)
        self.assertEqual(2, len(self.agent.requests))
        self._reboot_server(server, hard=True)
        self.assertEqual(3, len(self.agent.requests))
        self._reboot_server(server, hard=False)
        self.assertEqual(4, len(self.agent.requests))
        self.assertEqual(4, self.starts_of(server["id"]).count("end"))

    def test_suspend_and_resume_come_back_with_the_same_memory(self) -> None:
        self.start_host("compute1")
        server = self.boot()
        self._suspend_server(server)
        self._resume_server(server)
        # The fake hypervisor shows a guest with all of its flavor
        self.assertEqual(FLAVOR_KIB, self.agent.requests[-1].restore_kib)
        self.assertIn(("begin", server["id"], "suspend"), self.agent.events)
        # And the next boot asks for nothing of the past
        self._reboot_server(server, hard=True)
        self.assertEqual(0, self.agent.requests[-1].restore_kib)

    def test_a_flavor_that_forbids_it_asks_for_all(self) -> None:
        self.start_host("compute1")
        self.flavor_id = self._create_flavor(
            memory_mb=base.FLAVOR_MIB,
            vcpu=1,
            disk=1,
            extra_spec={"xen_overcommit:mode": "forbid"},
        )
        server = self.boot()
        self.assertFalse(self.agent.requests[-1].overcommit)
        metadata = guest_metadata.from_domain(self.domain(server))
        self.assertFalse(metadata.overcommit)

    def _fault_of(self, server: dict[str, Any]) -> str:
        context = nova_context.get_admin_context()
        faults = objects.InstanceFaultList.get_by_instance_uuids(
            context, [server["id"]]
        )
        return str(faults[0].message)


class TestWithoutAgent(DriverTestCase):
    """mode=overcommit after the agent has died."""

    def test_the_host_promises_physical_memory_only(self) -> None:
        # Given a host that has promised 12 GiB
        self.start_host("compute1")
        self.assertEqual(12 * 1024, self.capacity_mib())
        # When its agent dies
        self.agent.stop()
        self.refresh()
        # Then the last known usable memory is all there is
        self.assertEqual(3 * 1024, self.capacity_mib())
        # And the scheduler sees no report
        self.assertIsNone(report.HostReport.from_stats(self.host_stats()))

    def test_an_old_report_is_no_report(self) -> None:
        self.agent.reports = {"time_s": 1000.0}
        self.start_host("compute1")
        self.assertEqual(4096 - 512, self.capacity_mib())
        self.assertIsNone(report.HostReport.from_stats(self.host_stats()))

    def test_a_guest_starts_with_all_its_memory_if_that_is_free(self) -> None:
        self.start_host("compute1")
        self.agent.stop()
        # Nova's fake host has 10 GiB available
        server = self.boot()
        current = self.domain(server).findtext("currentMemory")
        self.assertEqual(str(FLAVOR_KIB), current)

    def test_a_guest_does_not_start_where_it_is_not_free(self) -> None:
        self.start_host("compute1")
        self.agent.stop()
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova.virt.libvirt.host.Host._get_avail_memory_kb",
                staticmethod(lambda: FLAVOR_KIB),
            )
        )
        server = self.boot(expected="ERROR")
        self.assertNotIn(server["id"], self.defined["compute1"])

    def test_other_operations_go_on(self) -> None:
        self.start_host("compute1")
        server = self.boot()
        self.agent.stop()
        self._suspend_server(server)
        self._resume_server(server)


class TestObserve(DriverTestCase):
    """mode=observe: stock Nova, with a report."""

    mode = "observe"

    def test_capacity_is_stock_and_the_report_is_there(self) -> None:
        self.agent.reports = {"mode": "observe"}
        self.start_host("compute1")
        self.assertEqual(4096 - 512, self.capacity_mib())
        self.assertIsNotNone(report.HostReport.from_stats(self.host_stats()))

    def test_guests_start_with_all_and_nobody_is_asked(self) -> None:
        self.start_host("compute1")
        self.agent.always_refuse = _no_room()
        server = self.boot()
        current = self.domain(server).findtext("currentMemory")
        self.assertEqual(str(FLAVOR_KIB), current)
        self.assertEqual([], self.agent.requests)

    def test_leaving_overcommit_gives_the_stock_ratio_back(self) -> None:
        self.flags(mode="overcommit", group="xen_overcommit")
        self.start_host("compute1")
        self.assertEqual(12 * 1024, self.capacity_mib())
        self.flags(mode="observe", group="xen_overcommit")
        self.refresh()
        self.assertEqual(4096 - 512, self.capacity_mib())


class TestBalance(DriverTestCase):
    """mode=balance: reservations, but no promise beyond what is there."""

    mode = "balance"

    def test_capacity_is_what_is_usable(self) -> None:
        self.start_host("compute1")
        self.assertEqual(3 * 1024, self.capacity_mib())

    def test_starts_reserve(self) -> None:
        self.start_host("compute1")
        server = self.boot()
        current = self.domain(server).findtext("currentMemory")
        self.assertEqual(str(FLAVOR_KIB // 2), current)


def _no_room() -> exception.NoRoom:
    return exception.NoRoom(
        asked_kib=256 * 1024,
        free_kib=100 * 1024,
        reclaimable_kib=50 * 1024,
        unyielding=["instance-stubborn"],
    )
