# SPDX-License-Identifier: Apache-2.0
"""The alert rules, by Prometheus' own tool and by what agents show."""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import yaml

from tests.unit.etc import monitored

RULES = monitored.ROOT / "etc/prometheus/nova-xen-overcommit.rules.yml"
CASES = Path(__file__).with_name("alerts.test.yml")
GET = monitored.ROOT / "tools" / "get-promtool.sh"
_NO_DEBIAN = 3


def promtool() -> str:
    """Give where it is, unpacking it first where that must be.

    :raises SkipTest: there is neither promtool nor Debian's dpkg.
    """
    done = subprocess.run([GET], capture_output=True, text=True)
    if done.returncode == _NO_DEBIAN:
        raise unittest.SkipTest(done.stderr.strip())
    if done.returncode:
        raise RuntimeError(f"{GET.name}: {done.stderr}")
    return done.stdout.strip()


class AlertsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.rules = [
            rule
            for group in yaml.safe_load(RULES.read_text())["groups"]
            for rule in group["rules"]
        ]

    def test_every_alert_asks_for_what_agents_show(self) -> None:
        known = monitored.shown()
        for rule in self.rules:
            told = " ".join(rule["annotations"].values())
            with self.subTest(rule["alert"]):
                self.assertEqual(
                    [], monitored.complaints(rule["expr"], known, told)
                )

    def test_that_would_find_what_nobody_shows(self) -> None:
        known = monitored.shown()
        name = "nova_xen_overcommit_guest_uncooperative"
        for query, text in (
            (f"{name}s == 1", ""),
            (f'{name}{{guest="x"}} == 1', ""),
            (f"sum by (flavor) ({name})", ""),
            (f"{name} == 1", "{{ $labels.project }}"),
        ):
            found = monitored.complaints(query, known, text)
            self.assertEqual(1, len(found), found)

    def test_every_alert_is_raised_in_a_case(self) -> None:
        cases = CASES.read_text()
        for rule in self.rules:
            # Once where it must not be, once where it must.
            self.assertGreaterEqual(cases.count(rule["alert"]), 2)


class PromtoolTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.promtool = promtool()

    def run_tool(
        self, *arguments: str, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.promtool, *arguments],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def test_the_rules_are_rules(self) -> None:
        done = self.run_tool("check", "rules", str(RULES))
        self.assertEqual(0, done.returncode, done.stdout)
        self.assertIn("10 rules found", done.stdout)

    def cases(self, before: str = "", after: str = "") -> str:
        """Run the cases, on rules that may be changed; "": all are good."""
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            rules = RULES.read_text()
            self.assertIn(before, rules)
            changed = rules.replace(before, after) if before else rules
            (directory / RULES.name).write_text(changed)
            shutil.copy(CASES, directory)
            done = self.run_tool("test", "rules", CASES.name, cwd=directory)
        return done.stdout if done.returncode else ""

    def test_alerts_are_raised_when_they_should_and_else_not(self) -> None:
        self.assertEqual("", self.cases())

    def test_the_cases_hold_each_bound(self) -> None:
        for before, after in (
            ("heartbeat_age_seconds > 90", "heartbeat_age_seconds > 9000"),
            ("heartbeat_age_seconds > 90", "heartbeat_age_seconds > 50"),
            ("report_sent_age_seconds > 300", "report_sent_age_seconds > 99"),
            ("total[10m]) > 0.2", "total[10m]) > 0.02"),
            ("guest_uncooperative == 1", "guest_uncooperative == 0"),
            ("max without (state) (", "("),
        ):
            with self.subTest(after):
                self.assertIn("FAILED", self.cases(before, after))
