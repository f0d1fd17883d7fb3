# SPDX-License-Identifier: Apache-2.0
"""The history as CSV, with and without an agent that writes it."""

import csv
import io

from nova_xen_overcommit.agent.history.records import GuestStep, HostStep
from nova_xen_overcommit.cli.app import Tool
from nova_xen_overcommit.cli.exit_codes import Code
from tests.unit.agent.history.stored import DAY, FILE, StoredTest, step
from tests.unit.cli.tool import ToolMixin


class ExportTest(ToolMixin, StoredTest):
    def run_tool(self, *words: str) -> tuple[int, str, str]:
        """Give exit code, stdout and stderr."""
        return self.run_words("history", "export", *words)

    def exported(self, *words: str) -> list[list[str]]:
        code, out, err = self.run_tool("--history-dir", str(self.path), *words)
        self.assertEqual((0, ""), (code, err))
        header, *rows = csv.reader(io.StringIO(out))
        self.assertEqual(["vm", "time", "size_mib", "used_mib"], header)
        return rows

    def one(self, number: int, used_kib: int, size_kib: int = 2048):
        guest = GuestStep("a", size_kib, 0, used_kib)
        return HostStep(DAY + 300 * number, 300, 0, [guest])

    def test_each_guest_and_step_is_a_row(self) -> None:
        self.write(self.one(0, 1024), self.one(1, 1025), self.one(288, 1))
        self.assertEqual(
            [
                ["a", "2026-11-23T00:00:00Z", "2", "1"],
                ["a", "2026-11-23T00:05:00Z", "2", "1.001"],
                ["a", "2026-11-24T00:00:00Z", "2", "0.001"],
            ],
            self.exported(),
        )

    def test_every_kib_can_be_told(self) -> None:
        sizes = [1024 * 1024 + kib for kib in range(1024)]
        guests = [GuestStep(str(kib), kib, kib, kib) for kib in sizes]
        self.write(HostStep(DAY, 300, 1, guests))
        rows = self.exported()
        for column in (2, 3):
            told = [round(float(row[column]) * 1024) for row in rows]
            self.assertEqual(sizes, told)

    def test_what_was_not_known_is_empty(self) -> None:
        self.write(self.one(0, 0))
        self.assertEqual("", self.exported()[0][3])

    def test_a_step_in_two_parts_is_one_row(self) -> None:
        self.write(self.one(1, 3), self.one(0, 7), self.one(1, 2))
        times = [(row[1][11:16], row[3]) for row in self.exported()]
        self.assertEqual([("00:00", "0.0068"), ("00:05", "0.0029")], times)

    def test_nobody_used_more_than_it_has(self) -> None:
        self.write(self.one(0, 4096, size_kib=1024))
        self.assertEqual(["1", "1"], self.exported()[0][2:])

    def test_a_file_is_written_and_its_rows_counted(self) -> None:
        self.write(step(0), step(1))
        output = self.path / "history.csv"
        code, out, err = self.run_tool(
            "--history-dir", str(self.path), "--output", str(output)
        )
        self.assertEqual((0, f"4 rows in {output}\n", ""), (code, out, err))
        self.assertEqual(5, len(output.read_text().splitlines()))

    def test_it_works_beside_an_agent_that_writes(self) -> None:
        directory = self.directory()
        directory.append(step(0))
        self.assertEqual(2, len(self.exported()))
        directory.append(step(1))
        self.assertEqual(4, len(self.exported()))

    def test_what_is_whole_of_a_damaged_file_is_told(self) -> None:
        self.write(step(0), step(1), step(288))
        file = self.path / FILE
        file.write_bytes(file.read_bytes()[:-1])
        code, out, err = self.run_tool("--history-dir", str(self.path))
        self.assertEqual((0, 1 + 2 + 2), (code, len(out.splitlines())))
        self.assertIn(f"{file} is damaged", err)

    def test_the_configuration_says_where_it_is(self) -> None:
        self.write(step(0))
        conf = self.path.parent / "nova.conf"
        conf.write_text(f"[xen_overcommit]\nhistory_dir = {self.path}\n")
        tool = Tool(stdin=io.StringIO(), stdout=(out := io.StringIO()))
        code = tool.run(["--config-file", str(conf), "history", "export"])
        self.assertEqual((0, 3), (code, len(out.getvalue().splitlines())))

    def refused(self, *words: str, expected: Code = Code.NO_HISTORY) -> str:
        code, out, err = self.run_tool(*words)
        self.assertEqual((expected, ""), (code, out))
        self.assertNotIn("Traceback", err)
        return err

    def test_without_a_history_it_says_so(self) -> None:
        directory = str(self.path)
        self.assertIn(directory, self.refused("--history-dir", directory))
        self.path.mkdir()
        self.assertIn(
            "no history in", self.refused("--history-dir", directory)
        )

    def test_one_that_is_not_kept_is_told_of(self) -> None:
        conf = self.path.parent / "nova.conf"
        conf.write_text("[xen_overcommit]\nhistory_dir =\n")
        err = io.StringIO()
        tool = Tool(stdin=io.StringIO(), stdout=io.StringIO(), stderr=err)
        code = tool.run(["--config-file", str(conf), "history", "export"])
        self.assertEqual(Code.NO_HISTORY, code)
        self.assertIn("history_dir is empty", err.getvalue())

    def test_what_cannot_be_written_is_told(self) -> None:
        self.write(step(0))
        output = str(self.path / "none" / "x.csv")
        told = self.refused(
            "--history-dir",
            str(self.path),
            "--output",
            output,
            expected=Code.ERROR,
        )
        self.assertIn(output, told)
