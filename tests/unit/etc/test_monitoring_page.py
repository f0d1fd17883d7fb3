# SPDX-License-Identifier: Apache-2.0
"""The page on monitoring tells of the metrics and alerts that there are."""

import textwrap
import unittest

import yaml

from nova_xen_overcommit.agent.metrics import catalogue
from nova_xen_overcommit.virt import notices
from tests.unit.etc import monitored
from tests.unit.etc.test_alerts import RULES

PAGE = monitored.ROOT / "doc/source/admin/monitoring.rst"
_BEGIN = ".. the metrics begin\n"
_END = ".. the metrics end\n"


def rendered() -> str:
    """Give the list of metrics as the page has it."""
    blocks = []
    for line in catalogue.lines():
        labels = f", by {', '.join(line.labels)}" if line.labels else ""
        text = textwrap.fill(
            line.help,
            width=79,
            initial_indent="    ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )
        blocks.append(f"``{line.name}`` ({line.kind}{labels})\n{text}\n")
    return "\n" + "\n".join(blocks) + "\n"


class MonitoringPageTest(unittest.TestCase):
    maxDiff = None

    def setUp(self) -> None:
        self.page = PAGE.read_text()

    def test_it_has_every_metric_with_its_labels_and_meaning(self) -> None:
        _before, _begin, rest = self.page.partition(_BEGIN)
        told, _end, _after = rest.partition(_END)
        self.assertMultiLineEqual(rendered(), told)

    def test_it_has_every_alert(self) -> None:
        for group in yaml.safe_load(RULES.read_text())["groups"]:
            for rule in group["rules"]:
                self.assertIn(f"``{rule['alert']}``", self.page)

    def test_it_has_every_notification(self) -> None:
        for event in (notices.HOST_PRESSURE, notices.GUEST_UNCOOPERATIVE):
            self.assertIn(f"``{event}.start``", self.page)


if __name__ == "__main__":
    head, _, rest = PAGE.read_text().partition(_BEGIN)
    tail = rest.partition(_END)[2]
    PAGE.write_text(head + _BEGIN + rendered() + _END + tail)
