# SPDX-License-Identifier: Apache-2.0
"""Reading rows: what is taken, and what is told of what can't be."""

import tempfile
import unittest
from pathlib import Path
from typing import Any

from nova_xen_overcommit import exception
from nova_xen_overcommit.whatif import read
from nova_xen_overcommit.whatif.trace import GAP, Trace

MIB = 1024
HEADER = "vm,time,size,used"


class CsvTest(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "trace.csv"

    def read(self, *lines: str, **wishes: Any) -> Trace:
        self.path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return read.read(self.path, **wishes)

    def refused(self, *lines: str, **wishes: Any) -> str:
        with self.assertRaises(exception.InvalidTrace) as caught:
            self.read(*lines, **wishes)
        return str(caught.exception)


class GoodRowsTest(CsvTest):
    def test_figures_are_put_on_a_grid(self) -> None:
        trace = self.read(
            HEADER,
            "web,1200,1024,100",
            "db,600,2048,7.5",
            "web,600,1024,50.25",
            "web,900,1024,0",
            "db,1500,2048,9",
        )
        self.assertEqual(("web", "db"), trace.names)
        self.assertEqual([1024 * MIB, 2048 * MIB], trace.sizes_kib.tolist())
        self.assertEqual((600.0, 300.0), (trace.begin_s, trace.step_s))
        self.assertEqual(
            [[51456, 0, 100 * MIB, GAP], [7680, GAP, GAP, 9 * MIB]],
            trace.used_kib.tolist(),
        )
        self.assertEqual(0, trace.skipped)

    def test_the_export_of_our_own_history(self) -> None:
        trace = self.read(
            "vm,time,size_mib,used_mib", "a,0,512,100", "a,300,512,101"
        )
        self.assertEqual([[100 * MIB, 101 * MIB]], trace.used_kib.tolist())

    def test_units(self) -> None:
        for unit, size, used in (
            ("bytes", "1073741824", "1048576"),
            ("kib", "1048576", "1024"),
            ("mib", "1024", "1"),
            ("gib", "1", "0.0009765625"),
        ):
            with self.subTest(unit=unit):
                trace = self.read(HEADER, f"a,0,{size},{used}", unit=unit)
                self.assertEqual([1024 * MIB], trace.sizes_kib.tolist())
                self.assertEqual([[MIB]], trace.used_kib.tolist())

    def test_a_columns_own_unit_is_stronger(self) -> None:
        trace = self.read("vm,time,size_gib,used", "a,0,1,2048", unit="kib")
        self.assertEqual([1024 * MIB], trace.sizes_kib.tolist())
        self.assertEqual([[2048]], trace.used_kib.tolist())

    def test_columns_in_any_order_and_other_separators(self) -> None:
        trace = self.read("used;x;time;VM;size", "5;?;0;a;10")
        self.assertEqual([[5 * MIB]], trace.used_kib.tolist())

    def test_times_of_iso_8601(self) -> None:
        trace = self.read(
            HEADER,
            "a,1970-01-01T00:10:00,1024,1",
            "a,1970-01-01T01:15:00+01:00,1024,2",
        )
        self.assertEqual((600.0, 300.0), (trace.begin_s, trace.step_s))
        self.assertEqual([[MIB, 2 * MIB]], trace.used_kib.tolist())

    def test_no_sample_is_a_gap(self) -> None:
        for word in ("", "nan", "NaN", "None"):
            with self.subTest(word=word):
                trace = self.read(
                    HEADER,
                    "a,0,10,1",
                    f"a,300,10,{word}",
                    "a,600,10,",
                    "a,900,10,2",
                )
                self.assertEqual(
                    [[MIB, GAP, GAP, 2 * MIB]], trace.used_kib.tolist()
                )

    def test_a_late_sample_leaves_no_gap(self) -> None:
        # Given one that comes a second after the end of its step
        trace = self.read(
            HEADER, "a,0,10,4", "a,601,10,1", "a,900,10,2", step_s=300.0
        )
        # Then the higher neighbour stands for it
        self.assertEqual(
            [[4 * MIB, 4 * MIB, MIB, 2 * MIB]], trace.used_kib.tolist()
        )

    def test_the_highest_of_a_step_counts(self) -> None:
        trace = self.read(
            HEADER, "a,0,10,1", "a,60,10,9", "a,120,10,3", step_s=300.0
        )
        self.assertEqual([[9 * MIB]], trace.used_kib.tolist())

    def test_who_is_resized_is_another_guest_from_then_on(self) -> None:
        trace = self.read(
            HEADER, "a,0,10,1", "a,300,20,2", "a,600,20,3", "a,900,10,4"
        )
        self.assertEqual(("a", "a#2", "a#3"), trace.names)
        self.assertEqual(
            [10 * MIB, 20 * MIB, 10 * MIB], trace.sizes_kib.tolist()
        )
        self.assertEqual(
            [
                [MIB, GAP, GAP, GAP],
                [GAP, 2 * MIB, 3 * MIB, GAP],
                [GAP, GAP, GAP, 4 * MIB],
            ],
            trace.used_kib.tolist(),
        )

    def test_blank_lines_and_a_byte_order_mark_are_no_rows(self) -> None:
        trace = self.read(f"\ufeff{HEADER}", "", "a,0,10,1", "")
        self.assertEqual((("a",), 0), (trace.names, trace.skipped))


class BadRowsTest(CsvTest):
    KINDS = {
        "a,0,10": "3 columns, the header has 4",
        "a,0,10,1,1": "5 columns, the header has 4",
        " ,0,10,1": "vm is empty",
        "a,noon,10,1": "time is 'noon', neither seconds nor ISO 8601",
        "a,inf,10,1": "time is 'inf', not finite",
        "a,-1,10,1": "time is '-1', negative",
        "a,1969-07-20,10,1": "time is '1969-07-20', negative",
        "a,1700000000000,10,1": (
            "time is '1700000000000', no time in seconds; milliseconds?"
        ),
        "a,0,big,1": "size is 'big', no number",
        "a,0,nan,1": "size is 'nan', not finite",
        "a,0,0,1": "size is '0', not positive",
        "a,0,-5,1": "size is '-5', not positive",
        "a,0,10,some": "used is 'some', no number",
        "a,0,10,inf": "used is 'inf', not finite",
        "a,0,10,-1": "used is '-1', negative",
        "a,0,10,11": "used '11' is more than size '10'",
        "ok,300,10,2": "another row of 'ok' at the same time",
    }

    def test_each_kind_is_told_with_its_line_and_ends_it(self) -> None:
        for row, reason in self.KINDS.items():
            with self.subTest(row=row):
                told = self.refused(HEADER, "ok,300,10,1", "", row)
                self.assertEqual(
                    f"{self.path}:4: {reason}", told.split("\n")[0]
                )
                self.assertIn("1 bad rows; --skip-bad", told)

    def test_each_kind_is_skipped_and_counted_if_wished(self) -> None:
        for row, reason in self.KINDS.items():
            with self.subTest(row=row):
                trace = self.read(HEADER, "ok,300,10,1", row, skip_bad=True)
                self.assertEqual([[MIB]], trace.used_kib.tolist())
                self.assertEqual(1, trace.skipped)
                self.assertEqual(
                    (f"{self.path}:3: {reason}",), trace.complaints
                )

    def test_all_are_counted_and_the_first_told(self) -> None:
        told = self.refused(HEADER, *["a,0,-1,0"] * 25, "a,0,10,1")
        self.assertIn(f"{self.path}:21: size", told)
        self.assertNotIn(f"{self.path}:22:", told)
        self.assertIn("and 5 more\n25 bad rows", told)

    def test_nothing_but_bad_rows(self) -> None:
        self.assertIn(":2: size", self.refused(HEADER, "a,0,-1,0"))
        told = self.refused(HEADER, "a,0,-1,0", skip_bad=True)
        self.assertEqual(f"{self.path}: there is no usable row in it", told)


class BadFilesTest(CsvTest):
    def test_a_missing_one(self) -> None:
        with self.assertRaisesRegex(
            exception.InvalidTrace, "^--trace .*trace.csv: No such file"
        ):
            read.read(self.path)

    def test_an_empty_one(self) -> None:
        self.assertEqual(f"{self.path}: it is empty", self.refused(""))

    def test_one_without_rows(self) -> None:
        self.assertEqual(
            f"{self.path}: there is no usable row in it", self.refused(HEADER)
        )

    def test_one_with_gaps_only(self) -> None:
        self.assertEqual(
            f"{self.path}: there is no sample in it",
            self.refused(HEADER, "a,0,10,"),
        )

    def test_columns_that_lack_or_are_there_twice(self) -> None:
        self.assertIn(
            f"{self.path}:1: no column 'used'",
            self.refused("vm,time,size", "a,0,10"),
        )
        self.assertIn(
            f"{self.path}:1: more than one column 'size'",
            self.refused("vm,time,size,size_kib,used", "a,0,10,10,1"),
        )

    def test_no_text(self) -> None:
        self.path.write_bytes(b"vm,time,size,used\n\xff\xfe,0,10,1\n")
        with self.assertRaisesRegex(exception.InvalidTrace, "not UTF-8"):
            read.read(self.path)

    def test_times_of_another_unit(self) -> None:
        # Given one time of another unit
        told = self.refused(
            HEADER, "a,0,10,1", "a,1,10,1", "a,2,10,1", "b,1e10,10,1"
        )
        # Then it is refused before memory is used up
        self.assertIn("is the time in seconds?", told)

    def test_more_figures_than_memory_holds(self) -> None:
        # Given two guests 30 million steps apart
        rows = "a,0,10,1", "a,1,10,1", "b,{},10,1"
        told = self.refused(HEADER, *rows[:2], rows[2].format(30_000_000))
        self.assertIn(
            "2 VMs in 30000001 steps of 1 s are more than 60,000,000 figures",
            told,
        )
