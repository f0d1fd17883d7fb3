# SPDX-License-Identifier: Apache-2.0
"""What a time was like: points, plots, pictures and rows."""

import importlib.util
import json
import subprocess
import sys
import unittest
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.agent.history import files
from nova_xen_overcommit.agent.history.records import GuestStep, HostStep
from nova_xen_overcommit.cli import graph, past
from nova_xen_overcommit.cli.exit_codes import Code
from tests.simulator import MIB
from tests.unit.agent.history.stored import DAY, FILE, StoredTest, step
from tests.unit.agent.test_server import ServedTest
from tests.unit.cli.terminal import Terminal
from tests.unit.cli.tool import ToolMixin

GIB = 1024 * MIB
WEB = "aaaa0001-0000-4000-8000-000000000000"
DB = "bbbb0002-0000-4000-8000-000000000000"
WITHOUT = """
import sys
for name in {missing!r}:
    sys.modules[name] = None
from nova_xen_overcommit.cmd import tool
sys.exit(tool.main({words!r}))
"""


def day(number: int, used_mib: int, db_mib: int = 512) -> HostStep:
    """Give a step in which one guest's use is as said."""
    used_kib = used_mib * MIB
    guests = [
        GuestStep(WEB, GIB, used_kib + 100 * MIB, used_kib),
        GuestStep(DB, 2 * GIB, db_mib * MIB, db_mib * MIB),
    ]
    most_kib = used_kib + (100 + db_mib) * MIB
    return HostStep(DAY + 300 * number, 300, most_kib, guests)


class MomentTest(unittest.TestCase):
    def test_so_long_ago(self) -> None:
        for text, ago_s in (
            ("90m", 5400),
            ("2h", 7200),
            ("1.5d", 129600),
            ("1w", 604800),
            ("30s", 30),
        ):
            with self.subTest(text=text):
                self.assertEqual(1e6 - ago_s, past.moment_s(text, 1e6))

    def test_days_and_times(self) -> None:
        for text, time_s in (
            ("2026-11-23", DAY),
            ("2026-11-23T01:00", DAY + 3600),
            ("2026-11-23T01:00:00Z", DAY + 3600),
            ("2026-11-23T01:00:00+01:00", DAY),
        ):
            with self.subTest(text=text):
                self.assertEqual(time_s, past.moment_s(text, 0))

    def test_what_is_none(self) -> None:
        for text in ("", "yesterday", "5", "-3h", "2h30m", "2026-13-01"):
            with self.subTest(text=text), self.assertRaises(ValueError):
                past.moment_s(text, 0)


class GraphTest(unittest.TestCase):
    def text(self, *values: float | None, dots: bool = True) -> list[str]:
        line = graph.Line("used", "*", values)
        rows = graph.drawn([line], 4, 2, 8, dots)
        return ["".join(cell.character for cell in row) for row in rows]

    def test_a_rising_line(self) -> None:
        self.assertEqual([" ⢀⣠⠞", "⠴⠋  "], self.text(*range(1, 9)))

    def test_what_is_unknown_is_a_gap(self) -> None:
        self.assertEqual(["⠉  ⠉", "    "], self.text(8, None, None, 8))
        self.assertEqual(["    "] * 2, self.text())
        self.assertEqual(["    "] * 2, self.text(None, None))

    def test_plain_signs(self) -> None:
        self.assertEqual(["  **", "*** "], self.text(0, 0, 8, 8, dots=False))

    def test_sparklines(self) -> None:
        self.assertEqual("▁▅█", graph.sparkline([0, 4, 8], 3, 8))
        self.assertEqual(". #", graph.sparkline([0, None, 8], 3, 8, False))
        self.assertEqual("   ", graph.sparkline([1, 1, 1], 3, 0))
        # What is beyond the scale by whatever factor is its highest
        self.assertEqual("███", graph.sparkline([1, 1, 1], 3, 1e-309))

    @given(
        st.lists(st.one_of(st.none(), st.floats(0, 1e12)), max_size=300),
        st.integers(1, 80),
        st.integers(2, 20),
        st.floats(0, 1e12),
        st.booleans(),
    )
    def test_it_is_as_wide_and_high_as_asked(
        self, values, width, height, highest, dots
    ) -> None:
        lines = [graph.Line("a", "*", values), graph.Line("b", "#", values)]
        rows = graph.drawn(lines, width, height, highest, dots)
        self.assertEqual([width] * height, [len(row) for row in rows])
        self.assertEqual(
            width, len(graph.sparkline(values, width, highest, dots))
        )


class PastTest(ToolMixin, StoredTest):
    def run_tool(self, *words: str) -> tuple[int, str, str]:
        return self.run_words(
            "history", "--history-dir", str(self.path), *words
        )

    def told(self, *words: str) -> dict:
        code, out, err = self.run_tool("--json", *words)
        self.assertEqual((0, ""), (code, err))
        return json.loads(out)

    def refused(self, expected: Code, *words: str) -> str:
        code, out, err = self.run_tool(*words)
        self.assertEqual((expected, ""), (code, out))
        self.assertEqual(1, len(err.splitlines()), err)
        return err


class RowsTest(PastTest):
    def setUp(self) -> None:
        super().setUp()
        self.write(*(day(number, 100 + number) for number in range(300)))

    def test_alone_it_shows_the_last_day(self) -> None:
        code, out, err = self.run_tool("-f", "csv")
        self.assertEqual((0, ""), (code, err))
        header, *rows = out.splitlines()
        self.assertEqual(
            '"time","guests","size_mib","demand_mib","used_mib"', header
        )
        self.assertEqual(288, len(rows))
        self.assertEqual('"2026-11-23T01:00:00Z",2,3072,724,624', rows[0])
        self.assertEqual('"2026-11-24T00:55:00Z",2,3072,1011,911', rows[-1])

    def test_a_table_where_there_is_no_terminal(self) -> None:
        code, out, _err = self.run_tool()
        self.assertEqual(0, code)
        self.assertIn("| 2026-11-24T00:55:00Z |      2 |", out)

    def test_a_time_can_be_chosen(self) -> None:
        told = self.told(
            "--since", "2026-11-23T10:00", "--until", "2026-11-23T10:10"
        )
        self.assertEqual(
            [
                {
                    "time": "2026-11-23T10:00:00Z",
                    "guests": 2,
                    "size_mib": 3072,
                    "demand_mib": 832,
                    "used_mib": 732,
                },
                {
                    "time": "2026-11-23T10:05:00Z",
                    "guests": 2,
                    "size_mib": 3072,
                    "demand_mib": 833,
                    "used_mib": 733,
                },
            ],
            told["points"],
        )

    def test_json_has_the_form_that_is_promised(self) -> None:
        told = self.told()
        points = told.pop("points")
        self.assertEqual(288, len(points))
        self.assertEqual(
            {
                "version": 1,
                "guest": None,
                "since": "2026-11-23T01:00:00Z",
                "until": "2026-11-24T01:00:00Z",
                "step_s": 300,
                "guests": [
                    {
                        "uuid": DB,
                        "name": "",
                        "size_mib": 2048,
                        "demand_max_mib": 512,
                        "used_max_mib": 512,
                        "used_mean_mib": 512,
                    },
                    {
                        "uuid": WEB,
                        "name": "",
                        "size_mib": 1024,
                        "demand_max_mib": 499,
                        "used_max_mib": 399,
                        "used_mean_mib": 256,
                    },
                ],
            },
            told,
        )

    def test_one_guest_by_how_its_uuid_begins(self) -> None:
        told = self.told("--guest", "AAAA", "--since", "2026-11-24")
        self.assertEqual(WEB, told["guest"])
        self.assertEqual(
            [(1, 1024, 488, 388), (1, 1024, 489, 389)],
            [tuple(one.values())[1:] for one in told["points"][:2]],
        )
        self.assertEqual([WEB], [one["uuid"] for one in told["guests"]])

    def test_a_guest_that_is_none(self) -> None:
        told = self.refused(Code.UNKNOWN_GUEST, "--guest", "web")
        self.assertIn("names are known only while the agent answers", told)

    def test_a_beginning_that_many_have(self) -> None:
        self.write(step(400, guests=3))
        told = self.refused(Code.UNKNOWN_GUEST, "--guest", "guest-")
        self.assertIn("3 guests begin so", told)

    def test_a_time_of_which_nothing_is_known(self) -> None:
        told = self.refused(
            Code.NO_HISTORY, "--since", "2025-01-01", "--until", "2025-01-02"
        )
        self.assertIn("from 2025-01-01T00:00:00Z to 2025-01-02", told)

    def test_times_in_the_wrong_order(self) -> None:
        self.refused(
            Code.USAGE, "--since", "2026-11-24", "--until", "2025-01-01"
        )
        with self.assertRaises(SystemExit) as left:
            self.run_tool("--since", "yesterday")
        self.assertEqual(Code.USAGE, left.exception.code)

    def test_many_steps_are_put_together(self) -> None:
        self.write(*(day(288 * n, 700 + n) for n in range(10, 60)))
        told = self.told("--since", "2026-11-23")
        self.assertEqual(9 * 300, told["step_s"])
        self.assertLessEqual(len(told["points"]), 2016)
        # What was highest is kept
        self.assertEqual(759 + 512, told["points"][-1]["used_mib"])

    def test_a_damaged_file_is_named_and_the_rest_shown(self) -> None:
        file = self.path / FILE
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        code, out, err = self.run_tool("--json", "--since", "2026-11-23")
        self.assertEqual(0, code)
        self.assertEqual(1, len(err.splitlines()), err)
        self.assertIn(f"{file} is damaged", err)
        points = json.loads(out)["points"]
        self.assertEqual("2026-11-23T00:00:00Z", points[0]["time"])
        self.assertEqual("2026-11-24T00:55:00Z", points[-1]["time"])
        self.assertLess(len(points), 300)

    def test_a_step_in_two_parts_is_one_point(self) -> None:
        self.write(day(299, 900), day(299, 50))
        self.assertEqual(900 + 512, self.told()["points"][-1]["used_mib"])


class DrawnTest(PastTest):
    def setUp(self) -> None:
        super().setUp()
        self.write(*(day(number, 100 + 3 * number) for number in range(250)))

    def drawn(self, *words: str, **more) -> str:
        terminal = Terminal(
            "history", "--history-dir", str(self.path), *words, **more
        )
        self.addCleanup(terminal.close)
        self.assertEqual(0, terminal.ended(), terminal.raw)
        return terminal.text().replace("\r\n", "\n")

    def test_a_terminal_gets_a_plot_as_wide_as_it_is(self) -> None:
        for columns in (80, 132):
            with self.subTest(columns=columns):
                told = self.drawn(columns=columns)
                self.assertIn("Host, 2026-11-22T20:50:00Z to", told)
                self.assertRegex(told, "[\u2801-\u28ff]")
                for word in ("flavors", "demand", "used", WEB, DB):
                    self.assertIn(word, told)
                widest = max(map(len, told.splitlines()))
                self.assertLessEqual(widest, columns)
                self.assertGreater(widest, columns - 20)

    def test_a_guest_alone(self) -> None:
        told = self.drawn("--guest", WEB)
        self.assertIn(f"Guest  {WEB}", told)
        self.assertNotIn(DB, told)

    def test_a_terminal_without_unicode(self) -> None:
        told = self.drawn(LC_ALL="C", PYTHONIOENCODING="ascii")
        self.assertTrue(told.isascii())
        self.assertIn("*", told)


class PictureTest(PastTest):
    def setUp(self) -> None:
        super().setUp()
        self.write(*(day(number, 100 + number) for number in range(20)))
        self.output = self.path.parent / "past.png"

    def plot(self, *words: str) -> tuple[int, str, str]:
        return self.run_words(
            "history",
            "plot",
            "--history-dir",
            str(self.path),
            "--output",
            str(self.output),
            *words,
        )

    @unittest.skipUnless(
        importlib.util.find_spec("matplotlib"), "needs the extra simulate"
    )
    def test_it_is_a_png(self) -> None:
        for words in ([], ["--guest", WEB]):
            with self.subTest(words=words):
                code, out, err = self.plot(*words)
                self.assertEqual((0, ""), (code, err))
                self.assertIn(str(self.output), out)
                self.assertEqual(
                    b"\x89PNG\r\n\x1a\n", self.output.read_bytes()[:8]
                )

    @unittest.skipUnless(
        importlib.util.find_spec("matplotlib"), "needs the extra simulate"
    )
    def test_one_that_cannot_be_written(self) -> None:
        self.output = self.path / "none" / "x.png"
        code, _out, err = self.plot()
        self.assertEqual(Code.ERROR, code)
        self.assertIn(str(self.output), err)

    def without(self, missing: list[str], words: list[str]) -> str:
        code = WITHOUT.format(missing=missing, words=words)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True
        )
        self.assertEqual(Code.MISSING_LIBRARY, done.returncode, done.stderr)
        self.assertEqual(1, len(done.stderr.splitlines()), done.stderr)
        return done.stderr

    def test_without_matplotlib_it_names_the_extra(self) -> None:
        words = ["history", "plot", "--history-dir", str(self.path)]
        told = self.without(["matplotlib"], [*words, "--output", "x.png"])
        self.assertIn("matplotlib is missing", told)
        self.assertIn("extra 'simulate'", told)


class NamesTest(ToolMixin, ServedTest):
    """With an agent that runs, guests have names."""

    def setUp(self) -> None:
        super().setUp()
        self.guest = self.harness.host.start("web")
        self.harness.run(3)
        one = GuestStep(self.guest.uuid, GIB, GIB // 4, GIB // 8)
        self.history = Path(self.path).with_name("history")
        directory = files.Directory(self.history)
        directory.append(HostStep(DAY, 300, GIB // 4, [one]))
        directory.close()

    def told(self, *words: str) -> dict:
        code, out, err = self.run_words(
            "--agent-socket",
            self.path,
            "history",
            "--history-dir",
            str(self.history),
            "--json",
            *words,
        )
        self.assertEqual((0, ""), (code, err))
        return json.loads(out)

    def test_they_are_told_and_can_be_asked_for(self) -> None:
        told = self.told("--guest", "web-1")
        self.assertEqual(self.guest.uuid, told["guest"])
        self.assertEqual("web-1", told["guests"][0]["name"])

    def test_without_an_answer_it_works_all_the_same(self) -> None:
        self.path = "/nonexistent"
        self.assertEqual("", self.told()["guests"][0]["name"])
