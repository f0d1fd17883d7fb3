# SPDX-License-Identifier: Apache-2.0
"""The dashboards, by Grafana's own schema and by what agents show.

A Grafana to load them can't be had from the registries the tests use; its
developers' own typed model of a dashboard can. What that doesn't know, it
drops.
"""

import json
import re
import unittest
from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.cog import encoder, plugins
from grafana_foundation_sdk.models import dashboard

from tests.unit.etc import monitored

FILES = sorted((monitored.ROOT / "etc" / "grafana").glob("*.json"))
_LABEL_VALUES = re.compile(r"^label_values\((.*), (\w+)\)$")


def lost(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Name what isn't in ``after``, or not as it was."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            here = f"{path}/{key}"
            if key in after:
                yield from lost(value, after[key], here)
            else:
                yield here
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield path
        for index, pair in enumerate(zip(before, after, strict=False)):
            yield from lost(*pair, f"{path}/{index}")
    elif before != after:
        yield path


def through_the_model(told: dict[str, Any]) -> dict[str, Any]:
    plugins.register_default_plugins()
    model = dashboard.Dashboard.from_json(told)
    return json.loads(encoder.JSONEncoder(sort_keys=True).encode(model))


class DashboardsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.dashboards = {
            path.stem: json.loads(path.read_text()) for path in FILES
        }
        cls.known = monitored.shown()

    def panels(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, told in self.dashboards.items():
            for panel in told["panels"]:
                yield f"{name}: {panel['title']}", panel

    def test_there_is_one_for_a_host_and_one_for_all(self) -> None:
        self.assertEqual(
            {"nova-xen-overcommit-host", "nova-xen-overcommit-fleet"},
            {told["uid"] for told in self.dashboards.values()},
        )

    def test_grafanas_model_knows_all_that_is_in_them(self) -> None:
        for name, told in self.dashboards.items():
            with self.subTest(name):
                self.assertEqual([], list(lost(told, through_the_model(told))))

    def test_that_would_find_a_misspelt_field(self) -> None:
        told = json.loads(json.dumps(next(iter(self.dashboards.values()))))
        panel = next(p for p in told["panels"] if p["type"] == "timeseries")
        panel["gridPoss"] = panel["gridPos"]
        panel["options"]["legend"]["displayMod"] = "table"
        found = " ".join(lost(told, through_the_model(told)))
        self.assertIn("gridPoss", found)
        self.assertIn("displayMod", found)

    def test_every_query_asks_for_what_agents_show(self) -> None:
        asked = 0
        for title, panel in self.panels():
            for target in panel.get("targets", ()):
                asked += 1
                with self.subTest(title):
                    found = monitored.complaints(
                        target["expr"], self.known, target["legendFormat"]
                    )
                    self.assertEqual([], found)
        self.assertGreater(asked, 50)

    def test_variables_ask_for_what_agents_show(self) -> None:
        for name, told in self.dashboards.items():
            for variable in told["templating"]["list"]:
                if variable["type"] != "query":
                    continue
                found = _LABEL_VALUES.match(variable["query"]["query"])
                assert found, variable
                query, label = found.groups()
                with self.subTest(f"{name}: {variable['name']}"):
                    self.assertEqual(
                        [],
                        monitored.complaints(
                            query, self.known, f"{{{{{label}}}}}"
                        ),
                    )

    def test_variables_that_are_used_are_there(self) -> None:
        for name, told in self.dashboards.items():
            there = {one["name"] for one in told["templating"]["list"]}
            used = set(re.findall(r"\$\{?([a-z]+)\b", json.dumps(told)))
            with self.subTest(name):
                self.assertEqual(there, used)

    def test_no_two_panels_lie_on_each_other(self) -> None:
        for name, told in self.dashboards.items():
            taken: set[tuple[int, int]] = set()
            ids = [panel["id"] for panel in told["panels"]]
            self.assertEqual(len(ids), len(set(ids)))
            for panel in told["panels"]:
                at = panel["gridPos"]
                cells = {
                    (x, y)
                    for x in range(at["x"], at["x"] + at["w"])
                    for y in range(at["y"], at["y"] + at["h"])
                }
                with self.subTest(f"{name}: {panel['title']}"):
                    self.assertFalse(cells & taken)
                    self.assertLessEqual(at["x"] + at["w"], 24)
                taken |= cells
