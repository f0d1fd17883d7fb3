# SPDX-License-Identifier: Apache-2.0
"""The documentation's support matrix says what the lab has recorded."""

import importlib.util
import json
import pathlib
import types
import unittest
from typing import Any

from tests.lab.lifecycle import operations, run

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

    def render(self, **results: Any) -> str:
        """Give the text for these results."""
        recorded = {
            "versions": {"Xen": "4.17"},
            "operations": ["create", "pause"],
            "results": results,
        }
        return "\n".join(_support_table().render(recorded))

    def test_rows_and_columns(self) -> None:
        text = self.render(
            pv={"create": "pass", "pause": "fail: it `sank`"},
            hvm={"create": "pass"},
        )
        self.assertIn("Tried with Xen 4.17.", text)
        self.assertIn("   * - Operation\n     - pv\n     - hvm\n", text)
        self.assertIn("   * - create\n     - yes\n     - yes\n", text)
        self.assertIn("   * - pause\n     - **no**\n     - not tried\n", text)
        self.assertIn("* pv, pause: ``it sank``", text)

    def test_without_failures_nothing_is_explained(self) -> None:
        self.assertNotIn("Why", self.render(pv={"create": "pass"}))


class TestRecorded(unittest.TestCase):
    """The page, the record and the lab agree."""

    def setUp(self) -> None:
        text = (SOURCE / "support-matrix.json").read_text()
        self.recorded = json.loads(text)

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
            known = {"create", *run.operations_of(kind)}
            self.assertLessEqual(set(tried), known)
        self.assertLess(set(operations.FEW), set(operations.ALL))

    def test_each_came_to_something_with_a_reason(self) -> None:
        for tried in self.recorded["results"].values():
            for told in tried.values():
                self.assertRegex(told, r"^(pass|fail: .+)$")

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
