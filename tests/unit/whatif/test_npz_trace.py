# SPDX-License-Identifier: Apache-2.0
"""Reading arrays."""

import tempfile
import unittest
from pathlib import Path
from typing import Any

import numpy as np

from nova_xen_overcommit import exception
from nova_xen_overcommit.whatif import npz_trace, read
from nova_xen_overcommit.whatif.trace import GAP, Trace

MIB = 1024
NAN = float("nan")


class NpzCase(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "trace.npz"
        self.arrays: dict[str, Any] = {
            "vm_ids": ["a", "b"],
            "t_seconds": [0, 300, 600],
            "configured_mib": [1024.0, 512.0],
            "active_mib": [[1.0, NAN, 2.5], [NAN, 100.0, 512.0]],
            "granted_mib": [[900.0, 900.0, 900.0], [5.0, 100.0, 512.0]],
        }

    def read(self, **wishes: Any) -> Trace:
        arrays = {name: np.array(one) for name, one in self.arrays.items()}
        np.savez(self.path, **arrays)
        return read.read(self.path, **wishes)

    def wide(self, times_s: list[int]) -> None:
        """Give one guest, which uses one MiB more with each sample."""
        self.arrays |= {
            "vm_ids": ["a"],
            "t_seconds": times_s,
            "configured_mib": [1024.0],
            "active_mib": [list(range(1, len(times_s) + 1))],
        }

    def refused(self, **wishes: Any) -> str:
        with self.assertRaises(exception.InvalidTrace) as caught:
            self.read(**wishes)
        return str(caught.exception)


class NpzTest(NpzCase):
    def test_figures(self) -> None:
        trace = self.read()
        self.assertEqual(("a", "b"), trace.names)
        self.assertEqual([1024 * MIB, 512 * MIB], trace.sizes_kib.tolist())
        self.assertEqual((0.0, 300.0), (trace.begin_s, trace.step_s))
        self.assertEqual(
            [[MIB, GAP, 2560], [GAP, 100 * MIB, 512 * MIB]],
            trace.used_kib.tolist(),
        )

    def test_another_array_may_tell_what_is_used(self) -> None:
        trace = self.read(used="granted_mib")
        self.assertEqual(900 * MIB, trace.used_kib[0, 1])

    def test_a_guest_without_samples_stays_out(self) -> None:
        self.arrays["active_mib"][0] = [NAN, NAN, NAN]
        trace = self.read()
        self.assertEqual((("b",), 0), (trace.names, trace.skipped))

    def test_bad_cells(self) -> None:
        for figure in (-1.0, float("inf"), 1025.0):
            with self.subTest(figure=figure):
                self.arrays["active_mib"][0][1] = figure
                self.assertIn(
                    f"{self.path}:active_mib[0,1]: 'a' uses {figure} MiB",
                    self.refused(),
                )
                trace = self.read(skip_bad=True)
                self.assertEqual(1, trace.skipped)
                self.assertEqual(GAP, trace.used_kib[0, 1])

    def test_bad_sizes(self) -> None:
        for size in (0.0, -1.0, NAN):
            with self.subTest(size=size):
                self.arrays["configured_mib"][1] = size
                self.assertIn(
                    f"{self.path}:configured_mib[1]: size of 'b' is {size}",
                    self.refused(),
                )
                trace = self.read(skip_bad=True)
                self.assertEqual((("a",), 1), (trace.names, trace.skipped))

    def test_a_name_twice(self) -> None:
        self.arrays["vm_ids"] = ["a", "a"]
        self.assertIn("another row of 'a'", self.refused())

    def test_arrays_that_lack_or_do_not_fit(self) -> None:
        del self.arrays["active_mib"]
        self.assertIn("no array active_mib; it has", self.refused())
        self.arrays["active_mib"] = [[1.0, 2.0]]
        self.assertIn("active_mib has the shape (1, 2)", self.refused())

    def test_times_that_do_not_rise_evenly(self) -> None:
        self.arrays["t_seconds"] = [0, 300, 300]
        self.assertIn("t_seconds doesn't rise", self.refused())
        self.arrays["t_seconds"] = [0, NAN, 600]
        self.assertIn("t_seconds has nan", self.refused())
        self.wide([0, 300, 600, 700])
        self.assertIn("unequal steps", self.refused())

    def test_times_that_lack_are_a_gap(self) -> None:
        self.wide([0, 300, 1200, 1500])
        trace = self.read()
        self.assertEqual(300.0, trace.step_s)
        self.assertEqual(
            [[MIB, 2 * MIB, GAP, GAP, 3 * MIB, 4 * MIB]],
            trace.used_kib.tolist(),
        )

    def test_a_sample_that_is_late_leaves_no_gap(self) -> None:
        self.wide([0, 300, 740, 900])
        trace = self.read()
        self.assertEqual(
            [[MIB, 2 * MIB, 3 * MIB, 4 * MIB]], trace.used_kib.tolist()
        )

    def test_a_bad_cell_is_told_of_by_its_place_in_the_file(self) -> None:
        self.wide([0, 300, 1200, 1500])
        self.arrays["active_mib"][0][3] = -1
        self.assertIn("active_mib[0,3]: 'a' uses -1", self.refused())

    def test_times_that_no_report_may_have(self) -> None:
        for first_s, fault in (
            (1_700_000_000_000, "1.7e+12, no time in seconds; milliseconds?"),
            (-300, "-300, negative"),
            (float("inf"), "inf, no time in seconds"),
        ):
            with self.subTest(first_s=first_s):
                self.arrays["t_seconds"] = [first_s, first_s + 300, 600]
                self.assertIn(
                    f"{self.path}: t_seconds has {fault}", self.refused()
                )

    def test_a_hole_that_no_memory_holds(self) -> None:
        # Given one time of another unit
        self.arrays["t_seconds"] = [0, 1, 10_000_000_000]
        # Then it is refused before memory is used up
        self.assertIn("is the time in seconds?", self.refused())

    def test_python_objects_are_named_with_their_cure(self) -> None:
        for name, kind in (
            ("vm_ids", "text: .astype(str)"),
            ("configured_mib", "numbers: .astype(float)"),
        ):
            with self.subTest(name=name):
                before = self.arrays[name]
                self.arrays[name] = np.array(before, dtype=object)
                self.assertEqual(
                    f"{self.path}: {name} has Python objects; save it as "
                    f"{kind}",
                    self.refused(),
                )
                self.arrays[name] = before

    def test_text_is_no_number(self) -> None:
        self.arrays["configured_mib"] = ["large", "small"]
        self.assertIn("configured_mib has no numbers", self.refused())

    def test_arrays_of_other_dimensions(self) -> None:
        for name, other in (("t_seconds", 300), ("vm_ids", [["a"], ["b"]])):
            with self.subTest(name=name):
                before = self.arrays[name]
                self.arrays[name] = other
                self.assertIn(f"{name} has the shape", self.refused())
                self.arrays[name] = before

    def test_what_is_no_npz(self) -> None:
        self.path.write_bytes(b"PK\x03\x04 but no archive")
        with self.assertRaisesRegex(exception.InvalidTrace, "no npz"):
            read.read(self.path)
        with self.path.open("wb") as file:
            np.save(file, np.zeros(3))
        with self.assertRaisesRegex(exception.InvalidTrace, "a single array"):
            npz_trace.load(self.path, "active_mib")


class ExcludeTest(NpzCase):
    def test_a_guest_may_be_left_out(self) -> None:
        trace = self.read().without(frozenset(["a"]))
        self.assertEqual(("b",), trace.names)
        self.assertEqual([512 * MIB], trace.sizes_kib.tolist())
        self.assertEqual(100 * MIB, trace.used_kib[0, 1])

    def test_who_is_not_there_can_not(self) -> None:
        with self.assertRaisesRegex(exception.InvalidTrace, "--exclude c"):
            self.read().without(frozenset(["c"]))

    def test_somebody_must_be_left(self) -> None:
        with self.assertRaisesRegex(exception.InvalidTrace, "leaves no VM"):
            self.read().without(frozenset(["a", "b"]))
