# SPDX-License-Identifier: Apache-2.0
"""Flavor extra specs: what they mean, and what Nova's API lets through."""

import subprocess
import sys
import unittest

from hypothesis import given
from hypothesis import strategies as st
from nova import exception as nova_exception
from nova.api.validation.extra_specs import base

from nova_xen_overcommit import exception, extra_specs
from nova_xen_overcommit.extra_specs import OvercommitSpecs

MODE, FLOOR, WEIGHT = (
    "xen_overcommit:mode",
    "xen_overcommit:floor_mb",
    "xen_overcommit:weight",
)
BAD = {
    MODE: ("", "Allow", "yes", "allow "),
    FLOOR: ("-1", "1.5", "", "many", "1_000", " 5", "0x10", "1025", "\u0663"),
    WEIGHT: ("0", "0.0", "-1", "inf", "nan", "1e3", "", "heavy", "1001"),
}


class ParseTest(unittest.TestCase):
    def test_a_flavor_that_says_nothing_may_be_overcommitted(self) -> None:
        self.assertEqual(
            OvercommitSpecs("allow", 0, 1.0, True, ""),
            extra_specs.parse({}, 1024),
        )

    def test_floor_and_weight(self) -> None:
        specs = extra_specs.parse(
            {MODE: "allow", FLOOR: "1024", WEIGHT: "2.5"}, 1024
        )
        self.assertEqual(OvercommitSpecs("allow", 1024, 2.5, True), specs)

    def test_a_flavor_may_forbid_it(self) -> None:
        specs = extra_specs.parse({MODE: "forbid", FLOOR: "300"}, 1024)
        self.assertFalse(specs.overcommit)
        self.assertIn("xen_overcommit:mode=forbid", specs.why_not)
        self.assertEqual(300, specs.floor_mib)

    def test_bad_values_are_refused_by_their_key(self) -> None:
        for key, values in BAD.items():
            for value in values:
                with (
                    self.subTest(key=key, value=value),
                    self.assertRaisesRegex(
                        exception.InvalidConfiguration, key
                    ),
                ):
                    extra_specs.parse({key: value}, 1024)

    def test_bad_values_are_refused_in_forbidding_flavors_too(self) -> None:
        with self.assertRaises(exception.InvalidConfiguration):
            extra_specs.parse({MODE: "forbid", WEIGHT: "0"}, 1024)

    @given(
        st.dictionaries(
            st.sampled_from([MODE, FLOOR, WEIGHT]),
            st.text("0123456789.-+e allow", max_size=12),
        ),
        st.integers(1, 1 << 20),
    )
    def test_what_is_parsed_is_in_range(self, specs, memory_mb) -> None:
        try:
            parsed = extra_specs.parse(specs, memory_mb)
        except exception.InvalidConfiguration:
            return
        self.assertTrue(0 <= parsed.floor_mib <= memory_mb)
        self.assertTrue(0 < parsed.weight <= extra_specs.MAX_WEIGHT)


class EligibilityTest(unittest.TestCase):
    def assert_never(self, words: str, flavor=None, image=None) -> None:
        specs = extra_specs.parse(flavor or {}, 1024, image)
        self.assertFalse(specs.overcommit)
        self.assertIn(words, specs.why_not)
        self.assertEqual("allow", specs.mode)

    def test_flavors_that_are_never_overcommitted(self) -> None:
        for key, value, words in (
            ("hw:mem_page_size", "large", "huge pages"),
            ("hw:mem_page_size", "any", "huge pages"),
            ("hw:mem_page_size", "2048", "huge pages"),
            ("hw:mem_page_size", "1GB", "huge pages"),
            ("hw:cpu_policy", "dedicated", "pinned CPUs"),
            ("hw:cpu_policy", "mixed", "pinned CPUs"),
            ("hw:numa_nodes", "1", "NUMA"),
            ("hw:locked_memory", "true", "locked memory"),
            ("hw:mem_encryption", "True", "encrypted memory"),
            ("hw:cpu_realtime", "yes", "real-time"),
            ("pci_passthrough:alias", "gpu:1", "PCI devices"),
            ("accel:device_profile", "fpga", "accelerator"),
            ("resources:PCPU", "2", "pinned CPUs"),
            ("resources:VGPU", "1", "virtual GPU"),
            ("resources1:VGPU", "1", "virtual GPU"),
            ("resources_GPU:PGPU", "1", "GPU"),
            ("resources:MEM_ENCRYPTION_CONTEXT", "1", "encrypted"),
        ):
            with self.subTest(key=key, value=value):
                self.assert_never(words, {key: value})

    def test_images_that_are_never_overcommitted(self) -> None:
        for name, value, words in (
            ("hw_mem_page_size", "large", "the image has huge pages"),
            ("hw_cpu_policy", "dedicated", "pinned CPUs"),
            ("hw_numa_nodes", 2, "NUMA"),
            ("hw_locked_memory", True, "locked memory"),
            ("hw_mem_encryption", True, "encrypted memory"),
        ):
            with self.subTest(name=name):
                self.assert_never(words, image={name: value})

    def test_flavors_that_may_be(self) -> None:
        for key, value in (
            ("hw:mem_page_size", "small"),
            ("hw:mem_page_size", "4"),
            ("hw:mem_page_size", "4KB"),
            ("hw:mem_page_size", "4096B"),
            ("hw:cpu_policy", "shared"),
            ("hw:locked_memory", "false"),
            ("hw:mem_encryption", "no"),
            ("hw:cpu_sockets", "2"),
            ("resources:VGPU", "0"),
            ("resources:CUSTOM_THING", "1"),
            ("trait:HW_CPU_X86_AVX", "required"),
            ("quota:cpu_shares", "10"),
        ):
            with self.subTest(key=key, value=value):
                specs = extra_specs.parse({key: value}, 1024)
                self.assertTrue(specs.overcommit, specs.why_not)

    def test_images_that_may_be(self) -> None:
        image = {"hw_vm_mode": "xen", "hw_locked_memory": False}
        self.assertTrue(extra_specs.parse({}, 1024, image).overcommit)


class ValidatorsTest(unittest.TestCase):
    """Nova's API, at microversion 2.86, asks these."""

    def setUp(self) -> None:
        self.validators = {v.name: v for v in extra_specs.register()}

    def test_they_are_novas(self) -> None:
        self.assertEqual({MODE, FLOOR, WEIGHT}, set(self.validators))
        for validator in self.validators.values():
            self.assertIsInstance(validator, base.ExtraSpecValidator)
            self.assertTrue(validator.description)

    def test_what_we_read_passes(self) -> None:
        for key, value in (
            (MODE, "allow"),
            (MODE, "forbid"),
            (FLOOR, "0"),
            (FLOOR, "512"),
            (WEIGHT, "1"),
            (WEIGHT, "0.5"),
            (WEIGHT, "1000"),
        ):
            with self.subTest(key=key, value=value):
                self.validators[key].validate(key, value)
                extra_specs.parse({key: value}, 1024)

    def test_what_we_refuse_is_refused_there(self) -> None:
        # The API's integers are more lenient and know no flavor's size:
        # what passes there is still refused when the flavor is used.
        lenient = {"1_000", " 5", "1025", "1001", "\u0663"}
        for key, values in BAD.items():
            for value in set(values) - lenient:
                with (
                    self.subTest(key=key, value=value),
                    self.assertRaises(nova_exception.ValidationError),
                ):
                    self.validators[key].validate(key, value)


class WithoutNovaTest(unittest.TestCase):
    def test_the_module_needs_no_nova(self) -> None:
        # Given an environment in which nova can't be imported
        code = (
            "import sys; sys.modules['nova'] = None\n"
            "from nova_xen_overcommit import extra_specs\n"
            "print(extra_specs.parse({}, 1).overcommit)"
        )
        # Then extra specs are read all the same
        ran = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual("True\n", ran.stdout)
