# SPDX-License-Identifier: Apache-2.0
import unittest
from typing import Any

from oslo_config import cfg

from nova_xen_overcommit import conf, exception, report
from nova_xen_overcommit.virt import inventory, publisher
from tests.reports import host_report

NOW_S = 1_000_000.0
INVENTORY = {"total": 4096, "reserved": 512, "allocation_ratio": 1.0}


class Source:
    """An agent with one report, or a failure."""

    def __init__(self) -> None:
        self.failure: exception.OvercommitError | None = None
        self.changes: dict[str, Any] = {"time_s": NOW_S}

    def report(self) -> report.HostReport:
        if self.failure is not None:
            raise self.failure
        return host_report(**self.changes)


class PublisherTestCase(unittest.TestCase):
    """What the scheduler and Placement hear."""

    def setUp(self) -> None:
        self.conf = cfg.ConfigOpts()
        conf.register_opts(self.conf)
        self.conf.register_opts(
            [
                cfg.FloatOpt("ram_allocation_ratio"),
                cfg.FloatOpt("initial_ram_allocation_ratio", default=1.0),
            ]
        )
        self.conf([])
        self.conf.set_override("mode", "overcommit", "xen_overcommit")
        self.source = Source()
        self.publisher = publisher.Publisher(
            self.conf, self.source, lambda: NOW_S
        )

    def capacity(self, host_usable_mib: int = 3328) -> int:
        found = self.publisher.set_ratio(INVENTORY, host_usable_mib)
        ratio = found["allocation_ratio"]
        return inventory.capacity_mib(4096, 512, ratio)

    def test_the_report_joins_nova_s_own_stats(self) -> None:
        found = self.publisher.add_stats({"uptime": "x"})
        self.assertEqual("x", found["uptime"])
        self.assertIsNotNone(report.HostReport.from_stats(found))

    def test_no_stats_at_all_is_fine(self) -> None:
        self.assertEqual([report.STATS_KEY], [*self.publisher.add_stats(None)])

    def test_the_more_careful_mode_is_what_the_scheduler_hears(self) -> None:
        for ours, agents, heard in (
            ("overcommit", "overcommit", "overcommit"),
            ("balance", "overcommit", "balance"),
            ("observe", "overcommit", "observe"),
            ("overcommit", "balance", "balance"),
        ):
            with self.subTest(ours=ours, agents=agents):
                self.conf.set_override("mode", ours, "xen_overcommit")
                self.source.changes = {"time_s": NOW_S, "mode": agents}
                found = report.HostReport.from_stats(
                    self.publisher.add_stats(None)
                )
                self.assertIsNotNone(found)
                self.assertEqual(heard, found.mode)

    def test_a_report_that_can_not_be_believed_is_withdrawn(self) -> None:
        old = {report.STATS_KEY: "from before"}
        for failure, age_s in (
            (exception.AgentUnavailable("gone"), 0),
            (exception.InvalidReport("garbage"), 0),
            (None, 181),
            (None, -31),
        ):
            with self.subTest(failure=failure, age_s=age_s):
                self.source.failure = failure
                self.source.changes = {"time_s": NOW_S - age_s}
                self.assertEqual({}, self.publisher.add_stats(old))

    def test_a_report_at_the_limit_of_its_age_is_believed(self) -> None:
        for age_s in (180, -30):
            self.source.changes = {"time_s": NOW_S - age_s}
            self.assertIsNotNone(self.publisher.report())

    def test_promise_then_last_usable_then_promise(self) -> None:
        self.assertEqual(12288, self.capacity())
        self.source.failure = exception.AgentUnavailable("gone")
        self.assertEqual(3072, self.capacity())
        self.source.failure = None
        self.assertEqual(12288, self.capacity())

    def test_what_was_last_usable_is_without_what_is_not_novas(self) -> None:
        self.source.changes = {"time_s": NOW_S, "foreign_mib": 1024}
        self.assertEqual(12288, self.capacity())
        self.source.failure = exception.AgentUnavailable("gone")
        self.assertEqual(2048, self.capacity())

    def test_an_agent_never_heard_leaves_the_host_s_own_figure(self) -> None:
        self.source.failure = exception.AgentUnavailable("gone")
        self.assertEqual(3328, self.capacity())

    def test_all_else_of_the_inventory_is_nova_s(self) -> None:
        found = self.publisher.set_ratio(INVENTORY, 0)
        self.assertEqual(4096, found["total"])
        self.assertEqual(512, found["reserved"])
        self.assertEqual(1.0, INVENTORY["allocation_ratio"])

    def test_the_mode_is_the_more_careful(self) -> None:
        self.assertEqual("overcommit", self.publisher.mode())
        self.source.changes = {"time_s": NOW_S, "mode": "observe"}
        self.assertEqual("observe", self.publisher.mode())
        self.conf.set_override("mode", "observe", "xen_overcommit")
        self.source.failure = exception.AgentUnavailable("gone")
        self.assertEqual("observe", self.publisher.mode())

    def test_silence_is_told_once_and_its_end_too(self) -> None:
        self.source.failure = exception.AgentUnavailable("gone")
        with self.assertLogs(level="INFO") as logs:
            self.publisher.report()
            self.publisher.report()
            self.source.failure = None
            self.publisher.report()
            self.publisher.report()
        self.assertEqual(2, len(logs.output), logs.output)

    def test_a_configured_ratio_that_cuts_the_promise_is_told(self) -> None:
        # Given a promise of 12288 MiB, and an operator's ratio of 2
        self.conf.set_override("ram_allocation_ratio", 2.0)
        # When it is published twice
        with self.assertLogs(level="INFO") as logs:
            self.assertEqual(7168, self.capacity())
            self.capacity()
        # Then a warning says once what is cut
        (line,) = logs.output
        self.assertIn("WARNING", line)
        self.assertIn("ram_allocation_ratio = 2.0", line)
        self.assertIn("cuts the promise of 12288 MiB to 7168 MiB", line)

    def test_a_configured_ratio_that_cuts_nothing_is_told_too(self) -> None:
        # Given an operator's ratio of 2, and promises below and above it
        self.conf.set_override("ram_allocation_ratio", 2.0)
        # When they are published
        with self.assertLogs(level="INFO") as logs:
            for promise_mib in (5000, 6000, 9000, 5000):
                self.source.changes = {
                    "time_s": NOW_S,
                    "promise_mib": promise_mib,
                }
                self.capacity()
        # Then each change is said, with the bound
        self.assertEqual(3, len(logs.output), logs.output)
        self.assertIn("is within that", logs.output[0])
        self.assertIn("cuts the promise of 9000 MiB", logs.output[1])
        self.assertIn("5000 MiB is within that", logs.output[2])

    def test_observing_hosts_have_the_ratio_as_nova_has_it(self) -> None:
        # Given an operator's ratio, and a host that only observes
        self.conf.set_override("ram_allocation_ratio", 2.0)
        self.conf.set_override("mode", "observe", "xen_overcommit")
        # Then it is in force, and there is nothing to say of it
        with self.assertNoLogs(level="INFO"):
            self.assertEqual(7168, self.capacity())
