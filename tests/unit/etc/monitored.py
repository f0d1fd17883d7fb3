# SPDX-License-Identifier: Apache-2.0
"""What a real agent shows, and what queries ask for, to hold together."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from nova_xen_overcommit.agent.metrics.exporter import Exporter
from tests.unit.agent.harness import Harness

ROOT = Path(__file__).resolve().parents[3]
# Prometheus adds these to whatever it scrapes.
TARGET = {"instance", "job"}
# What Prometheus itself knows.
ITS_OWN = {"up": TARGET}
_VARIABLE_SPANS = {"$__rate_interval": "5m"}
_LEGEND = re.compile(r"{{\s*(?:\$labels\.)?(\w+)\s*}}")


class _Failing:
    name = "failing"

    def read(self, _domains: object) -> dict[str, Any]:
        raise OSError("no")


def shown() -> dict[str, set[str]]:
    """Give every sample's name, and its labels, that a real agent shows."""
    harness = Harness()
    # Some metrics are there only while something is wrong.
    harness.balancer._sensors = [harness.host, _Failing()]
    exporter = Exporter(harness.agent)
    harness.agent.followers.append(exporter.passed)
    harness.host.start("web")
    harness.run(5)
    text = generate_latest(exporter.registry).decode()
    labels: dict[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels[sample.name] |= {*sample.labels, *TARGET}
    return {**labels, **ITS_OWN}


def _selectors(node: Any) -> Iterator[Any]:
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for part in ("expr", "lhs", "rhs", "vector_selector"):
        inner = getattr(node, part, None)
        if inner is not None:
            yield from _selectors(inner)
    for argument in getattr(node, "args", None) or ():
        yield from _selectors(argument)


def grouped(node: Any) -> set[str]:
    """Give the labels that an aggregation anywhere in it names."""
    modifier = getattr(node, "modifier", None)
    named = set(getattr(modifier, "labels", None) or ())
    for part in ("expr", "lhs", "rhs"):
        inner = getattr(node, part, None)
        if inner is not None:
            named |= grouped(inner)
    for argument in getattr(node, "args", None) or ():
        named |= grouped(argument)
    return named


def complaints(
    query: str, known: dict[str, set[str]], texts: str = ""
) -> list[str]:
    """Say what a query, or a text about its result, asks for in vain.

    :raises ValueError: it is no PromQL.
    """
    for variable, span in _VARIABLE_SPANS.items():
        query = query.replace(variable, span)
    parsed = promql_parser.parse(query)
    found, there = [], set(TARGET)
    for selector in _selectors(parsed):
        labels = known.get(selector.name)
        if labels is None:
            found.append(f"no metric {selector.name}")
            continue
        there |= labels
        asked = {matcher.name for matcher in selector.matchers.matchers}
        found += [f"{selector.name} has no {x}" for x in asked - labels]
    wanted = grouped(parsed) | set(_LEGEND.findall(texts))
    return found + [f"{query}: no label {x}" for x in wanted - there]
