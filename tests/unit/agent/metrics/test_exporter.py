# SPDX-License-Identifier: Apache-2.0
"""What Prometheus is shown of a simulated host and its real agent."""

import unittest
from unittest import mock

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from nova_xen_overcommit.agent.metrics import catalogue, exporter
from tests.simulator import GIB, MIB
from tests.unit.agent.harness import Harness

PREFIX = catalogue.PREFIX


class ExporterTest(unittest.TestCase):
    def setUp(self) -> None:
        self.harness = Harness()
        self.exporter = exporter.Exporter(
            self.harness.agent, self.harness.host.clock.monotonic_s
        )
        self.harness.agent.followers.append(self.exporter.passed)

    def scrape(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Give every sample of what really goes over the wire."""
        text = generate_latest(self.exporter.registry).decode()
        return {
            (
                sample.name.removeprefix(PREFIX),
                tuple(sorted(sample.labels.items())),
            ): (sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, metric: str, **labels: str) -> float:
        return self.scrape()[metric, tuple(sorted(labels.items()))]

    def names(self) -> set[str]:
        return {name for name, _labels in self.scrape()}

    def test_before_the_first_pass_ages_count_from_the_start(self) -> None:
        self.harness.host.run(40)
        self.assertEqual(40, self.value("heartbeat_age_seconds"))
        self.assertEqual(40, self.value("report_age_seconds"))
        self.assertEqual(40, self.value("report_sent_age_seconds"))
        self.assertEqual(0, self.value("passes_total"))
        self.assertNotIn("host_usable_bytes", self.names())

    def test_guests_figures_are_in_bytes(self) -> None:
        guest = self.harness.host.start("web", wants_kib=400 * MIB)
        self.harness.run(20)
        (told,) = self.harness.agent.pictured().guests
        labels = {"uuid": guest.uuid, "name": guest.name}
        for name, kib in (
            ("guest_actual_bytes", told.actual_kib),
            ("guest_target_bytes", told.target_kib),
            ("guest_demand_bytes", told.demand_kib),
            ("guest_floor_bytes", told.floor_kib),
            ("guest_flavor_bytes", GIB),
        ):
            self.assertEqual(kib * 1024, self.value(name, **labels), name)
        self.assertGreater(told.actual_kib, 0)

    def test_the_hosts_figures_are_those_of_the_report(self) -> None:
        self.harness.host.start("web")
        self.harness.run(20)
        report = self.harness.agent.report()
        for name in ("usable", "free", "reserve", "committed", "promise"):
            self.assertEqual(
                report[f"{name}_mib"] * 2**20,
                self.value(f"host_{name}_bytes"),
                name,
            )

    def test_series_of_a_guest_that_is_gone_are_gone(self) -> None:
        guest = self.harness.host.start("web")
        self.harness.host.start("mail")
        self.harness.run(5)
        self.assertIn(guest.uuid, self.uuids())
        self.harness.host.end(guest)
        self.harness.run(5)
        self.assertNotIn(guest.uuid, self.uuids())
        self.assertEqual(1, len(self.uuids()))

    def uuids(self) -> set[str]:
        labels = [dict(labels) for _name, labels in self.scrape()]
        return {one["uuid"] for one in labels if "uuid" in one}

    def test_the_number_of_series_for_a_guest_is_bounded(self) -> None:
        self.harness.run(1)
        before = len(self.scrape())
        for number in range(5):
            self.harness.host.start(f"guest-{number}", flavor_kib=GIB // 4)
        self.harness.run(20)
        more = len(self.scrape()) - before
        # And one for the sensor that has heard them.
        self.assertLessEqual(more, 5 * len(catalogue.GUEST) + 1)

    def test_hostile_names_spoil_nothing(self) -> None:
        names = ['a"} 1\nup{x="', "back\\slash", "x" * 500, "half \udc80"]
        for name in names:
            guest = self.harness.host.start("web", flavor_kib=GIB // 4)
            guest.name = name
        self.harness.run(2)
        told = {
            dict(labels)["name"]
            for name, labels in self.scrape()
            if name == "guest_actual_bytes"
        }
        self.assertEqual({*names[:2], "x" * 80, "half ?"}, told)
        self.assertNotIn(("up", (("x", ""),)), self.scrape())

    def test_one_state_holds(self) -> None:
        self.harness.run(1)
        states = {
            dict(labels)["state"]: value
            for (name, labels), value in self.scrape().items()
            if name == "host_state"
        }
        self.assertEqual(1, sum(states.values()))
        self.assertEqual(1, states["normal"])
        self.assertEqual(1, self.value("mode", mode="overcommit"))

    def test_starved_time_is_counted(self) -> None:
        guest = self.harness.host.start("web", wants_kib=100 * MIB)
        self.harness.run(30)
        labels = {"uuid": guest.uuid, "name": guest.name}
        self.assertEqual(
            0, self.value("guest_starved_seconds_total", **labels)
        )
        # More than it has, and its balloon doesn't move
        guest.stuck = True
        guest.wants_kib = 1200 * MIB
        self.harness.run(20)
        self.assertGreater(
            self.value("guest_starved_seconds_total", **labels), 5
        )
        self.assertEqual(1, self.value("guest_starved", **labels))

    def test_an_uncooperative_guest_is_told(self) -> None:
        crowd = [self.harness.host.start("x") for _ in range(2)]
        guest = self.harness.host.start("web", wants_kib=60 * MIB)
        self.harness.run(20)
        labels = {"uuid": guest.uuid, "name": guest.name}
        self.assertEqual(0, self.value("guest_uncooperative", **labels))
        guest.stuck = True
        crowd[0].wants_kib = crowd[1].wants_kib = GIB
        self.harness.ask(flavor_kib=2 * GIB, wait_s=60)
        self.harness.run(40)
        self.assertEqual(1, self.value("guest_uncooperative", **labels))
        self.assertEqual(1, self.value("guests", state="uncooperative"))

    def test_passes_are_counted_and_measured(self) -> None:
        for _ in range(7):
            self.harness.agent.tick()
        self.assertEqual(7, self.value("passes_total"))
        self.assertEqual(7, self.value("pass_duration_seconds_count"))
        self.assertEqual(
            7, self.value("pass_duration_seconds_bucket", le="+Inf")
        )

    def test_taking_the_report_is_counted(self) -> None:
        self.harness.run(1)
        self.harness.agent.explain("")
        self.assertEqual(0, self.value("reports_sent_total"))
        self.harness.agent.report()
        self.harness.host.run(9)
        self.assertEqual(1, self.value("reports_sent_total"))
        self.assertEqual(9, self.value("report_sent_age_seconds"))

    def test_a_failed_pass_ages_the_report_not_the_heartbeat(self) -> None:
        self.harness.run(1)
        with mock.patch.object(
            self.harness.balancer, "run_pass", side_effect=RuntimeError("no")
        ):
            self.harness.run(10)
        self.assertEqual(20, self.value("pass_failures_total"))
        self.assertLess(self.value("heartbeat_age_seconds"), 1)
        self.assertGreaterEqual(self.value("report_age_seconds"), 10)

    def test_two_agents_share_nothing(self) -> None:
        other = Harness()
        theirs = exporter.Exporter(other.agent)
        self.harness.run(5)
        self.assertIsNone(theirs.registry.get_sample_value(f"{PREFIX}x_total"))
        self.assertEqual(
            0, theirs.registry.get_sample_value(f"{PREFIX}passes_total")
        )

    def test_every_metric_is_in_the_catalogue(self) -> None:
        self.harness.host.start("web")
        self.harness.run(5)
        known = {line.name for line in catalogue.lines()}
        shown = {
            PREFIX + name.removesuffix(suffix)
            for name in self.names()
            for suffix in ("_bucket", "_count", "_sum", "")
            if PREFIX + name.removesuffix(suffix) in known
        }
        for name in self.names():
            base = PREFIX + name
            for suffix in ("_bucket", "_count", "_sum", "_created"):
                base = base.removesuffix(suffix)
            self.assertIn(base, known)
        # What is there only while something is wrong.
        missing = known - shown
        self.assertLessEqual(missing, {f"{PREFIX}sensor_failing"})
