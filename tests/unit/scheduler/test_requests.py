# SPDX-License-Identifier: Apache-2.0
"""Reading Nova's own objects."""

import unittest

from nova.scheduler import host_manager

from nova_xen_overcommit import exception
from nova_xen_overcommit.report import RESERVED_KEY
from nova_xen_overcommit.scheduler import admission, requests
from tests.unit.scheduler import nova_objects, world


class RequestOfTest(unittest.TestCase):
    def test_the_flavors_sizes_and_specs(self) -> None:
        # Given a flavor with swap and a floor of its own
        spec = nova_objects.request_spec({"xen_overcommit:floor_mb": "300"})
        # Then the request has them all
        self.assertEqual(
            admission.Request(1024, floor_mib=300, swap_mib=1024),
            requests.request_of(spec),
        )

    def test_a_spec_without_image_is_read(self) -> None:
        # Given a request that carries no image at all
        # Then the guest is taken as ballooned
        self.assertTrue(
            requests.request_of(nova_objects.request_spec()).overcommit
        )

    def test_images_may_exempt_a_guest(self) -> None:
        for image in (
            {"hw_mem_page_size": "large"},
            {"hw_cpu_policy": "dedicated"},
            {"hw_mem_encryption": True},
            {"hw_locked_memory": True},
            {"hw_numa_nodes": 2},
        ):
            with self.subTest(image=image):
                spec = nova_objects.request_spec(image=image)
                self.assertFalse(requests.request_of(spec).overcommit)

    def test_ordinary_images_dont(self) -> None:
        spec = nova_objects.request_spec(
            image={"hw_cpu_policy": "shared", "hw_machine_type": "xenpvh"}
        )
        self.assertTrue(requests.request_of(spec).overcommit)

    def test_devices_of_ports_exempt_a_guest(self) -> None:
        # Given a PCI request that didn't come from the flavor
        spec = nova_objects.request_spec(pci_alias="from-a-port")
        # Then the guest is never ballooned
        self.assertFalse(requests.request_of(spec).overcommit)

    def test_bad_extra_specs_are_named(self) -> None:
        spec = nova_objects.request_spec({"xen_overcommit:mode": "perhaps"})
        with self.assertRaisesRegex(
            exception.InvalidConfiguration, "xen_overcommit:mode"
        ):
            requests.request_of(spec)


class FiguresOfTest(unittest.TestCase):
    def test_a_hosts_figures(self) -> None:
        state = nova_objects.host_state()
        self.assertEqual(world.HOST, requests.read(state, 512).figures)

    def test_consuming_a_request_counts_as_a_claim(self) -> None:
        # Given a host on which the scheduler has just placed an instance
        state = nova_objects.host_state()
        state.consume_from_request(nova_objects.request_spec())
        # Then it counts as placed since the report
        figures = requests.read(state, 512).figures
        self.assertEqual(world.a_host(claimed=1), figures)
        self.assertEqual(
            admission.Claims(1024, 1),
            admission.Claims.since(world.REPORT, figures),
        )

    def test_hosts_that_dont_say_their_reserved_memory(self) -> None:
        # Given a host that says nothing, or nonsense, of what it reserves
        # Then the scheduler's own option stands in
        for stats in (
            {},
            {RESERVED_KEY: "much"},
            {RESERVED_KEY: "-1"},
            {RESERVED_KEY: "4097"},
            {RESERVED_KEY: float("inf")},
        ):
            state = nova_objects.host_state()
            state.stats = stats
            with self.subTest(stats=stats):
                figures = requests.read(state, 512).figures
                self.assertEqual(512, figures.reserved_mib)

    def test_a_host_never_updated_has_nothing(self) -> None:
        # Given a host state that was never filled
        state = host_manager.HostState("new", "new", None)
        # Then it has no report and no memory
        self.assertEqual(
            (admission.HostFigures(0, 0, 0, 0), None, admission.NO_REPORT),
            requests.read(state, 0),
        )


class ReportTest(unittest.TestCase):
    def test_a_valid_report(self) -> None:
        state = nova_objects.host_state()
        self.assertEqual(world.REPORT, requests.read(state, 0).report)

    def test_what_is_wrong_with_an_invalid_one(self) -> None:
        text = world.REPORT.to_stats()["xen_overcommit"]
        for bad, reason, words in (
            (text[:-9], "unreadable", "not JSON"),
            ("[]", "unreadable", "not a JSON object"),
            ("[" * 4000, "unreadable", "not JSON"),
            ("x" * 4097, "unreadable", "length"),
            (7, "unreadable", "length"),
            (
                text.replace('"version":1', '"version":2'),
                "newer_version",
                "version 2",
            ),
            (text.replace('"version":1', '"version":0'), "absurd", "version"),
            (text.replace("9000", "-9000"), "absurd", "promise_mib"),
            (text.replace("9000", "9" * 40), "absurd", "promise_mib"),
        ):
            state = nova_objects.host_state(None, xen_overcommit=bad)
            with self.subTest(bad=str(bad)[:50]):
                reading = requests.read(state, 0)
                self.assertIsNone(reading.report)
                self.assertEqual(reason, reading.why_not.reason)
                self.assertIn(words, str(reading.why_not))
