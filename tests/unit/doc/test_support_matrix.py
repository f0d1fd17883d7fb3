# SPDX-License-Identifier: Apache-2.0
"""The documentation's support matrix says what the lab has recorded."""

import importlib.util
import json
import pathlib
import types
import unittest
from typing import Any

from tests.lab.lifecycle import operations, record, run

SOURCE = pathlib.Path(__file__).parents[3] / "doc/source"


def _support_table() -> types.ModuleType:
    # Sphinx's extensions are no package.
    path = SOURCE / "_ext/support_table.py"
    spec = importlib.util.spec_from_file_location("support_table", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestTable(unittest.TestCase):
    """How results become a table."""

    def render(self, newer: str = "", **results: Any) -> str:
        """Give the text for these results; one kind's may be of newer Xen."""
        recorded = {
            "versions": {
                kind: {
                    "Nova": "34",
                    "Xen": "4.20" if kind == newer else "4.17",
                }
                for kind in results
            },
            "operations": ["create", "pause"],
            "results": results,
        }
        return "\n".join(_support_table().render(recorded))

    def test_rows_and_columns(self) -> None:
        text = self.render(
            pv={"create": "pass", "pause": "fail: it `sank`"},
            hvm={"create": "pass"},
        )
        self.assertIn("Tried with Nova 34, Xen 4.17.", text)
        self.assertIn("   * - Operation\n     - pv\n     - hvm\n", text)
        self.assertIn("   * - create\n     - yes\n     - yes\n", text)
        self.assertIn("   * - pause\n     - **no**\n     - not tried\n", text)
        self.assertIn("* pv, pause: ``it sank``", text)

    def test_kinds_of_different_runs_have_their_own_versions(self) -> None:
        passed = {"create": "pass"}
        text = self.render("hvm", pv=passed, pvh=passed, hvm=passed)
        self.assertIn("* pv, pvh: tried with Nova 34, Xen 4.17.\n", text)
        self.assertIn("* hvm: tried with Nova 34, Xen 4.20.\n", text)

    def test_of_a_kind_that_was_not_tried_no_version_is_told(self) -> None:
        text = self.render("debian", pv={"create": "pass"}, debian={})
        self.assertIn("Tried with Nova 34, Xen 4.17.", text)
        self.assertNotIn("4.20", text)

    def test_without_failures_nothing_is_explained(self) -> None:
        self.assertNotIn("Why", self.render(pv={"create": "pass"}))


class TestMerged(unittest.TestCase):
    """A run of some kinds leaves the others as they were."""

    def test_what_was_not_tried_keeps_its_versions(self) -> None:
        # Given a record of two kinds
        old, new = {"Xen": "4.17"}, {"Xen": "4.20"}
        kinds = ("pv", "hvm", "debian")
        before = record.merged(
            {}, kinds, {"pv": {"create": "pass"}, "hvm": {}}, old
        )

        # When one of them is tried again with another Xen
        after = record.merged(before, kinds, {"hvm": {"create": "pass"}}, new)

        # Then its versions are the new ones, and the other's the old ones
        self.assertEqual({"pv": old, "hvm": new}, after["versions"])
        self.assertEqual(
            {
                "pv": {"create": "pass"},
                "hvm": {"create": "pass"},
                "debian": {},
            },
            after["results"],
        )
        self.assertEqual(["create", *operations.ALL], after["operations"])

    def test_what_a_run_did_not_come_to_is_kept_for_the_same_versions(self):
        # Given a record, and a run of a part
        versions = {"Xen": "4.17"}
        before = record.merged(
            {},
            ("pv", "hvm"),
            {"pv": {"create": "pass", "pause": "fail: x"}, "hvm": {}},
            versions,
        )
        part = {"pv": {"pause": "pass"}, "hvm": {}}

        # Then the rest stays, but not as if it were of newer versions
        after = record.merged(before, ("pv", "hvm"), part, versions)
        self.assertEqual(
            {"create": "pass", "pause": "pass"}, after["results"]["pv"]
        )
        after = record.merged(before, ("pv", "hvm"), part, {"Xen": "4.20"})
        self.assertEqual({"pause": "pass"}, after["results"]["pv"])

    def test_what_is_missing_has_not_passed(self) -> None:
        before = {"results": {"debian": dict.fromkeys(operations.FEW, "pass")}}
        self.assertEqual([], record.missing(before, "debian"))
        self.assertEqual(list(operations.ALL), record.missing(before, "pv"))
        before["results"]["debian"]["balloon"] = "fail: too slow"
        self.assertEqual(["balloon"], record.missing(before, "debian"))


class TestRecorded(unittest.TestCase):
    """The page, the record and the lab agree."""

    def setUp(self) -> None:
        text = (SOURCE / "support-matrix.json").read_text()
        self.recorded = json.loads(text)

    @staticmethod
    def rows_of(kind: str) -> set[str]:
        return {"create", *record.operations_of(kind)}

    def test_the_page_shows_the_record(self) -> None:
        page = (SOURCE / "support-matrix.rst").read_text()
        self.assertIn(".. support-matrix:: support-matrix.json", page)

    def test_every_kind_has_a_column(self) -> None:
        self.assertEqual(list(run.KINDS), list(self.recorded["results"]))

    def test_every_operation_has_a_row(self) -> None:
        self.assertEqual(
            ["create", *operations.ALL], self.recorded["operations"]
        )
        for kind, tried in self.recorded["results"].items():
            self.assertLessEqual(set(tried), self.rows_of(kind))
        self.assertLess(set(operations.FEW), set(operations.ALL))

    def test_kinds_that_were_tried_whole_stay_so(self) -> None:
        for kind in ("pv", "pvh", "hvm", "debian"):
            tried = self.recorded["results"][kind]
            self.assertEqual(self.rows_of(kind), set(tried), kind)

    def test_each_came_to_something_with_a_reason(self) -> None:
        for tried in self.recorded["results"].values():
            for told in tried.values():
                self.assertRegex(told, r"^(pass|fail: .+)$")

    def test_each_that_was_tried_has_its_versions(self) -> None:
        versions = self.recorded["versions"]
        self.assertLessEqual(set(versions), set(run.KINDS))
        for kind, tried in self.recorded["results"].items():
            if tried:
                self.assertTrue(versions[kind], kind)

    def test_the_table_has_them_all(self) -> None:
        lines = _support_table().render(self.recorded)
        text = "\n".join(lines)
        for name in self.recorded["operations"]:
            self.assertIn(f"   * - {name}", lines)
        for kind, tried in self.recorded["results"].items():
            self.assertIn(f"     - {kind}", lines)
            for name, told in tried.items():
                if told.startswith("fail: "):
                    self.assertIn(f"* {kind}, {name}: ``", text)
