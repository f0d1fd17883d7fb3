# SPDX-License-Identifier: Apache-2.0
"""The whole command, as a process of its own."""

import csv
import html.parser
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import numpy as np

from nova_xen_overcommit.cli import simulate
from nova_xen_overcommit.whatif import csv_trace, npz_trace

STEP_S = 300
STEPS = 288
SIZES_MIB = [1024, 2048, 4096] * 8
PICTURES = ("guests", "hosts", "memory", "promise", "shortage")
WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None
from nova_xen_overcommit.cmd import tool
sys.exit(tool.main(["simulate", "--trace", "x"]))
"""
WHAT_THE_AGENT_LOADS = """
import sys
import nova_xen_overcommit.cmd.agent
import nova_xen_overcommit.agent.build
from nova_xen_overcommit.cli import app
app.Tool()
print({'numpy', 'matplotlib', 'rich.progress'} & set(sys.modules))
"""


def used_mib() -> Any:
    """Give guests that use a tenth, and all of it at noon for an hour."""
    used = np.outer(SIZES_MIB, np.full(STEPS, 0.1))
    used[::2, 144:156] *= 9.5
    used[3, 100:110] = np.nan
    used[20, :72] = np.nan
    return used


class Sources(html.parser.HTMLParser):
    """Collects what a page would load, and whether it has scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        self.tags.add(tag)
        self.sources += [
            value or "" for name, value in attrs if name in ("src", "href")
        ]


class SimulateCase(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def csv(self) -> Path:
        path = self.directory / "trace.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["vm", "time", "size_mib", "used_mib"])
            for guest, row in enumerate(used_mib()):
                for step, mib in enumerate(row):
                    if not np.isnan(mib):
                        writer.writerow(
                            [
                                f"vm-{guest}",
                                step * STEP_S,
                                SIZES_MIB[guest],
                                mib,
                            ]
                        )
        return path

    def npz(self) -> Path:
        path = self.directory / "trace.npz"
        np.savez(
            path,
            vm_ids=np.array([f"vm-{n}" for n in range(len(SIZES_MIB))]),
            t_seconds=np.arange(STEPS) * STEP_S,
            configured_mib=np.array(SIZES_MIB, dtype=float),
            active_mib=used_mib(),
        )
        return path

    def run_tool(self, *words: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nova_xen_overcommit.cmd.tool"]
        return subprocess.run(
            [*command, "simulate", *map(str, words)],
            capture_output=True,
            text=True,
            env={**os.environ, "MPLCONFIGDIR": str(self.directory)},
        )

    def told(self, *words: Any) -> str:
        done = self.run_tool("--host-gib", 16, "--predictor", "max", *words)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def refused(self, *words: Any) -> str:
        done = self.run_tool(*words)
        self.assertEqual((1, ""), (done.returncode, done.stdout), done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        return done.stderr.strip()


class AnswerTest(SimulateCase):
    def test_csv_and_npz_have_the_same_answer(self) -> None:
        of_csv, of_npz = (
            json.loads(self.told("--trace", path, "--format", "json"))
            for path in (self.csv(), self.npz())
        )
        self.assertEqual(of_csv, of_npz)
        # 56 GiB of flavors on hosts of 15.5
        self.assertEqual(4, of_csv["hosts"]["stock"])
        self.assertLess(of_csv["hosts"]["overcommit"], 4)
        self.assertEqual(24, of_csv["trace"]["vms"])

    def test_a_table_is_for_people(self) -> None:
        told = self.told("--trace", self.npz())
        self.assertIn("\nHosts needed:    4 without overcommit, ", told)
        self.assertIn("24 VMs over 1 days from day 1, 0:00:00", told)

    def test_options_come_from_defaults_file_and_command(self) -> None:
        trace = ("--trace", self.npz(), "--format", "json")
        config = self.directory / "nova.conf"
        config.write_text(
            "[DEFAULT]\ncompute_driver = xen_overcommit.XenOvercommitDriver\n"
            "[xen_overcommit]\nreserve_mib = 512\nrisk = 0.01\n"
        )
        asked = json.loads(self.told(*trace))["asked"]
        self.assertEqual((128, 0.001), (asked["reserve_mib"], asked["risk"]))
        with_file = (*trace, "--config-file", config)
        asked = json.loads(self.told(*with_file))["asked"]
        self.assertEqual((512, 0.01), (asked["reserve_mib"], asked["risk"]))
        asked = json.loads(self.told(*with_file, "--risk", 0.02))["asked"]
        self.assertEqual((512, 0.02), (asked["reserve_mib"], asked["risk"]))

    @unittest.skipUnless(
        importlib.util.find_spec("matplotlib"), "needs the extra simulate"
    )
    def test_files(self) -> None:
        output = self.directory / "new" / "out"
        self.told("--trace", self.npz(), "--output", output)
        self.assertEqual(
            {
                "report.html",
                "result.json",
                *(f"{name}.png" for name in PICTURES),
            },
            {path.name for path in output.iterdir()},
        )
        for name in PICTURES:
            png = (output / f"{name}.png").read_bytes()
            self.assertEqual(b"\x89PNG\r\n\x1a\n", png[:8])
        result = json.loads((output / "result.json").read_text())
        self.assertEqual(4, result["hosts"]["stock"])
        page = Sources()
        page.feed((output / "report.html").read_text())
        self.assertEqual(len(PICTURES), len(page.sources))
        for source in page.sources:
            self.assertEqual("data:image/png;base64,", source[:22])
        self.assertFalse({"script", "link", "iframe"} & page.tags)


class RefusalTest(SimulateCase):
    def test_a_missing_file(self) -> None:
        self.assertRegex(
            self.refused("--trace", "/nonexistent.csv"),
            "^--trace /nonexistent.csv: No such file",
        )

    def test_an_unknown_predictor(self) -> None:
        told = self.refused("--trace", self.npz(), "--predictor", "oracle")
        self.assertIn("there is no 'oracle', only ", told)
        for known in ("max", "n_sigma", "surge"):
            self.assertRegex(told, rf"\b{known}\b")

    def test_a_risk_that_is_none(self) -> None:
        told = self.refused("--trace", self.npz(), "--risk", 2)
        self.assertRegex(told, "^--risk 2.0: ")

    def test_hosts_that_are_too_small(self) -> None:
        trace = ("--trace", self.npz())
        self.assertRegex(
            self.refused(*trace, "--host-gib", 0.5),
            "^--host-gib 0.5: no more than what the host keeps",
        )
        self.assertRegex(
            self.refused(*trace, "--host-gib", 4),
            r"^--host-gib 4: VM vm-\d+ of 4096 MiB fits on no such host",
        )

    def test_bad_rows_end_it_unless_they_are_skipped(self) -> None:
        path = self.csv()
        with path.open("a") as file:
            file.write("vm-0,0,1024\n")
        line = len(path.read_text().splitlines())
        self.assertIn(
            f"{path}:{line}: 3 columns, the header has 4\n1 bad rows",
            self.refused("--trace", path),
        )
        told = self.told("--trace", path, "--skip-bad")
        self.assertIn(f"Bad rows left out: 1\n  {path}:{line}: 3 col", told)

    def test_a_missing_configuration(self) -> None:
        told = self.refused(
            "--trace", self.npz(), "--config-file", "/nonexistent.conf"
        )
        self.assertIn("/nonexistent.conf", told)

    def test_a_name_can_not_harm_the_terminal(self) -> None:
        path = self.directory / "evil.csv"
        path.write_text("vm,time,size,used\nev\x1b[2Jil,0,999999,1\n")
        told = self.refused("--trace", path, "--host-gib", 16)
        self.assertNotIn("\x1b", told)
        self.assertIn("ev\\x1b[2Jil", told)

    def test_used_wrongly(self) -> None:
        for words in ((), ("--trace", "x", "--host-gib", "-1")):
            with self.subTest(words=words):
                self.assertEqual(2, self.run_tool(*words).returncode)


class ImportTest(unittest.TestCase):
    def run_python(self, code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True
        )

    def test_without_its_libraries_it_names_the_extra(self) -> None:
        done = self.run_python(WITHOUT_NUMPY)
        self.assertEqual(9, done.returncode)
        self.assertIn("numpy is missing", done.stderr)
        self.assertIn("extra 'simulate'", done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_neither_agent_nor_tool_load_them(self) -> None:
        done = self.run_python(WHAT_THE_AGENT_LOADS)
        self.assertEqual("set()\n", done.stdout, done.stderr)

    def test_choices_are_what_readers_know(self) -> None:
        self.assertEqual(set(csv_trace.KIB_PER_UNIT), set(simulate._UNITS))
        self.assertEqual(npz_trace.USED, simulate._USED)
