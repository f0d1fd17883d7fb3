# SPDX-License-Identifier: Apache-2.0
"""The status as a table, as JSON, and in cliff's formats."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from nova_xen_overcommit.cli import picture, rows
from nova_xen_overcommit.cli.exit_codes import Code
from tests.simulator import MIB
from tests.unit.cli.test_explain import ToolTest

TEXT, NUMBER, FLAG = (str,), (int, float), (bool,)
MAYBE = (*NUMBER, type(None))
# What is promised to programs: a field that is dropped, or of another type,
# needs another version.
AGENT = {
    "versions": (dict,),
    "passes": NUMBER,
    "failures": NUMBER,
    "complaint": TEXT,
    "pass_s": NUMBER,
    "heartbeat_age_s": MAYBE,
    "pass_ago_s": MAYBE,
    "under_way_s": NUMBER,
    "whole": FLAG,
    "refused_starts": NUMBER,
}
HOST = {
    "report_time_s": NUMBER,
    "mode": TEXT,
    "state": TEXT,
    "hypervisor": TEXT,
    "physical_mib": NUMBER,
    "usable_mib": NUMBER,
    "free_mib": NUMBER,
    "reserve_mib": NUMBER,
    "committed_mib": NUMBER,
    "promise_mib": NUMBER,
    "foreign_mib": NUMBER,
    "ratio": NUMBER,
    "promise_bound": TEXT,
    "floors_mib": NUMBER,
    "demand_mib": NUMBER,
    "peak_mib": NUMBER,
    "idle_mib": NUMBER,
    "reclaimable_mib": NUMBER,
    "swap_mib": NUMBER,
    "short_mib": NUMBER,
    "wanted_mib": NUMBER,
    "max_ratio": NUMBER,
    "guests": NUMBER,
    "uncooperative": NUMBER,
    "predictor": TEXT,
    "past_s": NUMBER,
    "moves": NUMBER,
    "errors": NUMBER,
    "failing_sensors": (list,),
    "psi_some_avg10_percent": MAYBE,
    "psi_full_avg10_percent": MAYBE,
}
START = {
    "name": TEXT,
    "uuid": TEXT,
    "flavor_mib": NUMBER,
    "granted_mib": MAYBE,
    "for_s": NUMBER,
    "restart": FLAG,
}
GUEST = {
    "name": TEXT,
    "uuid": TEXT,
    "state": TEXT,
    "flavor_mib": NUMBER,
    "floor_mib": NUMBER,
    "actual_mib": NUMBER,
    "target_mib": NUMBER,
    "demand_mib": NUMBER,
    "idle_mib": NUMBER,
    "used_mib": MAYBE,
    "left_mib": NUMBER,
    "swap_used_mib": MAYBE,
    "swap_total_mib": MAYBE,
    "swap_disk_mib": NUMBER,
    "starved": FLAG,
    "starved_s": NUMBER,
    "weight": NUMBER,
    "status": TEXT,
    "silent": FLAG,
    "sample_age_s": MAYBE,
    "sensor": TEXT,
    "known_s": NUMBER,
    "balloons_itself": FLAG,
    "probed": FLAG,
    "exempt": TEXT,
    "foreign": FLAG,
    "hands_off": TEXT,
    "in_full": TEXT,
    "reason": TEXT,
}
PAGE = Path(__file__).parents[3] / "doc/source/cli/status.rst"


class StatusTest(ToolTest):
    def setUp(self) -> None:
        super().setUp()
        self.web = self.harness.host.start("web", wants_kib=400 * MIB)
        self.silent = self.harness.host.start("mute")
        self.silent.silent = True
        self.harness.run(20)

    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.shown("status", "--json"))
        return told

    def assert_form(self, form: Any, one: Any) -> None:
        self.assertEqual(set(form), set(one))
        for name, kinds in form.items():
            self.assertIn(type(one[name]), kinds, name)

    def test_json_has_the_form_that_is_promised(self) -> None:
        self.harness.ask(wait_s=600, flavor_kib=64 * MIB)
        self.harness.ask(wait_s=600, flavor_kib=8192 * MIB, swap_kib=0)
        self.harness.agent.tick()
        told = self.told()
        self.assertEqual(
            ["version", "agent", "host", "starts", "guests"], list(told)
        )
        self.assertEqual(1, told["version"])
        self.assert_form(AGENT, told["agent"])
        self.assert_form(HOST, told["host"])
        self.assertEqual(2, len(told["guests"]))
        for guest in told["guests"]:
            self.assert_form(GUEST, guest)
        self.assertTrue(told["starts"])
        for start in told["starts"]:
            self.assert_form(START, start)

    def test_its_page_describes_every_field(self) -> None:
        page = PAGE.read_text()
        for form in (AGENT, HOST, START, GUEST):
            for name in form:
                self.assertIn(f"``{name}``", page)

    def test_figures_are_the_hosts(self) -> None:
        told = self.told()
        host, (mute, web) = (
            told["host"],
            sorted(told["guests"], key=lambda guest: guest["name"]),
        )
        self.assertEqual(
            ("overcommit", "normal", 4096, 3584, 2048, 2),
            tuple(
                host[name]
                for name in (
                    "mode",
                    "state",
                    "physical_mib",
                    "usable_mib",
                    "committed_mib",
                    "guests",
                )
            ),
        )
        self.assertEqual(round(host["promise_mib"] / 3584, 2), host["ratio"])
        self.assertEqual(
            ("settled", 542, 482, 0),
            (
                web["state"],
                web["demand_mib"],
                web["idle_mib"],
                web["swap_used_mib"],
            ),
        )
        self.assertEqual(("silent", None), (mute["state"], mute["used_mib"]))

    def test_a_table_for_what_is_no_terminal(self) -> None:
        for words in (["status"], ["status", "--once"]):
            with self.subTest(words=words):
                table = self.shown(*words)
                self.assertIn("Host normal, mode overcommit on test", table)
                self.assertRegex(table, r"\| web-1 +\| settled \| +1024 \|")
                self.assertRegex(table, r"\| mute-2 +\| silent +\|")
                self.assertNotIn("\x1b", table)

    def test_guests_stand_as_asked(self) -> None:
        def names(*words: str) -> list[str]:
            chosen = ("-f", "value", "-c", "name")
            return self.shown("status", *chosen, *words).split()

        self.assertEqual(["mute-2", "web-1"], names())
        self.assertEqual(["web-1", "mute-2"], names("--reverse"))
        self.assertEqual(["web-1", "mute-2"], names("--sort", "idle"))
        # What isn't known comes last, either way.
        for words in ([], ["--reverse"]):
            self.assertEqual(
                ["web-1", "mute-2"], names("--sort", "swap-used", *words)
            )

    def test_every_format_works(self) -> None:
        for name in ("csv", "json", "table", "value", "yaml"):
            with self.subTest(format=name):
                told = self.shown("status", "-f", name)
                self.assertIn(self.web.uuid, told)
        told = self.shown("status", "-f", "csv")
        header, *lines = csv.reader(io.StringIO(told))
        self.assertEqual(set(GUEST), set(header))
        self.assertEqual(2, len(lines))

    def test_guests_that_are_not_novas_are_told(self) -> None:
        # Given four of them
        self.assertNotIn("Nova's", self.shown("status"))
        for _ in range(4):
            stranger = self.harness.host.start("x", flavor_kib=64 * MIB)
            stranger.foreign = True
        self.harness.run(1)
        # Then their part of the sum and some of their names are told
        table = self.shown("status")
        self.assertIn("6 guests of 2304 MiB in all", table)
        self.assertIn(
            "256 MiB in all are of guests that aren't Nova's "
            "(x-3, x-4, x-5, ...): nothing is promised for them",
            table,
        )
        told = self.told()
        self.assertEqual(
            (2048, 256, 6),
            tuple(
                told["host"][name]
                for name in ("committed_mib", "foreign_mib", "guests")
            ),
        )
        foreign = [one["name"] for one in told["guests"] if one["foreign"]]
        self.assertEqual(["x-3", "x-4", "x-5", "x-6"], foreign)

    def test_an_agent_of_before_knows_of_none(self) -> None:
        # Given the answer of a release that doesn't tell guests apart
        answer = self.harness.agent.status()
        for guest in answer["guests"]:
            del guest["foreign"]
        self.assertNotIn("foreign_mib", answer["report"])
        # Then all are taken for Nova's
        told = picture.document(answer)
        self.assertEqual(0, told["host"]["foreign_mib"])
        self.assertFalse(any(one["foreign"] for one in told["guests"]))

    def test_troubles_are_told(self) -> None:
        self.harness.host.unreachable = True
        self.harness.run(1)
        table = self.shown("status")
        self.assertIn("The last pass failed: HypervisorError", table)
        self.assertIn("the last good one", table)

    def test_an_agent_without_a_pass_is_told_of(self) -> None:
        self.harness.restart()
        self.server.desk = self.harness.agent
        self.assertIn("Heartbeat: none yet", self.shown("status"))
        told = self.told()
        self.assertEqual((None, []), (told["host"], told["guests"]))
        self.assertIsNone(told["agent"]["heartbeat_age_s"])


class OrderTest(ToolTest):
    def test_each_column_can_be_sorted_by(self) -> None:
        for name in ("a", "b"):
            self.harness.host.start(name)
        self.harness.run(3)
        for sort in rows.SORTS:
            with self.subTest(sort=sort):
                told = self.shown("status", "--once", "--sort", sort)
                self.assertIn("a-1", told)

    def test_an_unknown_one_is_a_wrong_use(self) -> None:
        with self.assertRaises(SystemExit) as left:
            self.run_tool("status", "--sort", "beauty")
        self.assertEqual(Code.USAGE, left.exception.code)
