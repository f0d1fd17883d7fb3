# SPDX-License-Identifier: Apache-2.0
"""Filter and weigher in Nova's real scheduler, asked through its API.

Hosts run Nova's stock driver on its fake libvirt; what our driver would add
(the report among the stats, the promise in Placement) a test says itself, so
that it can say what no healthy host would.
"""

import time
from typing import Any

from nova import context as nova_context
from nova.scheduler import host_manager
from nova.tests.functional.api import client as api_client

from nova_xen_overcommit import report as report_module
from nova_xen_overcommit.report import HostReport
from tests import reports
from tests.functional import base

USABLE_MIB = 3584  # what the base's hosts have beside the 512 reserved


def fresh_report(**changes: Any) -> HostReport:
    """Give the report of an empty 4 GiB host that promises 12 GiB."""
    empty = {"usable_mib": USABLE_MIB, "free_mib": USABLE_MIB}
    return reports.host_report(**{**empty, **changes})


class SchedulerTestCase(base.FunctionalTestCase):
    """Hosts whose reports are what a test says."""

    def setUp(self) -> None:
        super().setUp()
        # Placement lets everything through: the filter alone decides.
        self.flags(ram_allocation_ratio=16.0)

    def publish(self, host: str, report: HostReport | None) -> None:
        """Let a host's nova-compute send ``report`` with its stats."""
        manager = self.computes[host].manager
        driver = manager.driver
        if not hasattr(driver, "stock_resource"):
            driver.stock_resource = driver.get_available_resource

        def get_available_resource(nodename: str) -> dict[str, Any]:
            resource: dict[str, Any] = driver.stock_resource(nodename)
            resource["stats"] = report.to_stats() if report else {}
            return resource

        driver.get_available_resource = get_available_resource
        manager.update_available_resource(nova_context.get_admin_context())

    def boot_all(self, count: int) -> list[str]:
        """Boot so many and give the hosts they run on."""
        servers = [self.boot() for _ in range(count)]
        return [server["OS-EXT-SRV-ATTR:host"] for server in servers]

    def assert_refused(self, **api_args: Any) -> None:
        server = self.boot(expected="ERROR", **api_args)
        self.assertIn("No valid host", server["fault"]["message"])


class FilterTest(SchedulerTestCase):
    def test_idle_memory_takes_more_than_physical_memory_holds(self) -> None:
        # Given a host with room for three physically, and idle memory
        host = self.start_host("compute1")
        self.publish(
            host,
            fresh_report(
                promise_mib=5 * 1024, free_mib=1000, reclaimable_mib=3000
            ),
        )

        # When five are asked for, then all run there
        self.assertEqual([host] * 5, self.boot_all(5))

        # When a sixth is asked for, then it is refused: five are promised,
        # and the claims since the report count
        self.assert_refused()

    def test_an_old_report_lets_physical_memory_be_used_only(self) -> None:
        # Given the same host, whose agent has been silent too long
        host = self.start_host("compute1")
        self.publish(
            host,
            fresh_report(time_s=time.time() - 600, reclaimable_mib=3000),
        )

        # When three are asked for, then they fit physically
        self.boot_all(3)

        # When a fourth is asked for, then it is refused
        self.assert_refused()

    def test_a_host_under_pressure_takes_none(self) -> None:
        host = self.start_host("compute1")
        self.publish(host, fresh_report(state=report_module.PRESSURE))
        self.assert_refused()

        # When the pressure is over
        self.publish(host, fresh_report())

        # Then it takes them again
        self.boot_all(1)

    def test_an_observing_host_is_stock_nova(self) -> None:
        # Given a host that only observes, and Nova's own ratio of 16
        host = self.start_host("compute1")
        self.publish(host, fresh_report(mode="observe", promise_mib=0))

        # When more is asked for than it has, then it runs
        self.boot_all(4)

    def test_a_flavor_that_forbids_overcommit(self) -> None:
        # Given a host that can start small, and has 600 MiB to give
        host = self.start_host("compute1")
        self.publish(host, fresh_report(free_mib=100, reclaimable_mib=500))
        fixed = self._create_flavor(
            name="fixed",
            memory_mb=1024,
            vcpu=1,
            disk=1,
            extra_spec={"xen_overcommit:mode": "forbid"},
        )

        # When the flavor's whole memory is needed, then it is refused
        self.assert_refused(flavor_id=fixed)

        # When an ordinary flavor is asked for, then it runs
        self.boot_all(1)

    def test_several_at_once_are_counted_one_by_one(self) -> None:
        # Given two hosts that promise room for two each
        for name in ("compute1", "compute2"):
            host = self.start_host(name)
            self.publish(host, fresh_report(promise_mib=2048))

        # When four are asked for in one request
        request = self._build_server(flavor_id=self.flavor_id, networks="none")
        request |= {"min_count": 4, "max_count": 4}
        self.api.post_server({"server": request})
        servers = [
            self._wait_for_state_change(server, "ACTIVE")
            for server in self.api.get_servers()
        ]

        # Then each host has two
        hosts = [server["OS-EXT-SRV-ATTR:host"] for server in servers]
        self.assertEqual(
            ["compute1", "compute1", "compute2", "compute2"], sorted(hosts)
        )

        # And one more is refused
        self.assert_refused()

    def test_a_rebuild_is_not_refused(self) -> None:
        # Given an instance on a host that has come under pressure
        host = self.start_host("compute1")
        self.publish(host, fresh_report())
        server = self.boot()
        self.publish(host, fresh_report(state=report_module.EMERGENCY))

        # When it is rebuilt from another image
        image = "155d900f-4e14-4e4c-a73d-069cbf4541e6"
        self._rebuild_server(server, image)

        # Then it runs
        self._wait_for_state_change(server, "ACTIVE")


class WeigherTest(SchedulerTestCase):
    def setUp(self) -> None:
        super().setUp()
        for name, idle_mib in (("busy", 200), ("idle", 3000)):
            host = self.start_host(name)
            report = fresh_report(
                free_mib=300, idle_mib=idle_mib, reclaimable_mib=3000
            )
            self.publish(host, report)
        # Nova's own weighers see two equal hosts.

    def test_the_host_with_most_idle_memory_is_chosen(self) -> None:
        self.assertEqual(["idle"], self.boot_all(1))

    def test_a_negative_multiplier_stacks(self) -> None:
        self.flags(weight_multiplier=-100.0, group="xen_overcommit")
        self.assertEqual(["busy"], self.boot_all(1))

    def test_a_host_without_a_report_comes_last(self) -> None:
        # Given the idle host's agent has died
        self.publish("idle", None)

        # When one is asked for that would fit on either
        # Then the other is chosen
        self.assertEqual(["busy"], self.boot_all(1))


class ExtraSpecsTest(SchedulerTestCase):
    def test_hosts_are_read_by_their_stats_alone(self) -> None:
        # Given what the scheduler knows of a host
        host = self.start_host("compute1")
        report = fresh_report()
        self.publish(host, report)
        states = host_manager.HostManager().get_host_states_by_uuids(
            nova_context.get_admin_context(),
            {self.compute_rp_uuids[host]},
            None,
        )

        # Then its report has come through unchanged
        (state,) = states
        self.assertEqual(report, HostReport.from_stats(state.stats))

    def test_wrong_extra_specs_are_refused_by_the_api(self) -> None:
        # Given a flavor
        flavor = self._create_flavor(name="wrong")
        for spec in (
            {"xen_overcommit:mode": "perhaps"},
            {"xen_overcommit:floor_mb": "-1"},
            {"xen_overcommit:weight": "0"},
            {"xen_overcommit:colour": "blue"},
        ):
            # When a wrong extra spec is given to it
            # Then the API says no
            with self.subTest(spec=spec):
                error = self.assertRaises(
                    api_client.OpenStackApiException,
                    self.admin_api.post_extra_spec,
                    flavor,
                    {"extra_specs": spec},
                )
                self.assertEqual(400, error.response.status_code)

    def test_right_extra_specs_pass(self) -> None:
        flavor = self._create_flavor(name="right")
        self.admin_api.post_extra_spec(
            flavor,
            {
                "extra_specs": {
                    "xen_overcommit:mode": "allow",
                    "xen_overcommit:floor_mb": "200",
                    "xen_overcommit:weight": "2.5",
                }
            },
        )
