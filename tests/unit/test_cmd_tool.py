# SPDX-License-Identifier: Apache-2.0
"""The console script of the tool, as a process of its own."""

import subprocess
import sys
import unittest

from nova_xen_overcommit.cli import exit_codes

WITHOUT_CLIFF = """
import sys
sys.modules["cliff"] = None
from nova_xen_overcommit.cmd import tool
sys.exit(tool.main(["explain"]))
"""


class ToolProcessTest(unittest.TestCase):
    def run_python(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words], capture_output=True, text=True
        )

    def test_an_absent_agent_ends_it_with_3(self) -> None:
        done = self.run_python(
            "-m",
            "nova_xen_overcommit.cmd.tool",
            "--agent-socket",
            "/nonexistent/agent.sock",
            "explain",
        )
        self.assertEqual((3, ""), (done.returncode, done.stdout))
        self.assertEqual(1, len(done.stderr.splitlines()), done.stderr)
        self.assertIn("/nonexistent/agent.sock", done.stderr)

    def test_without_cliff_it_names_the_extra(self) -> None:
        done = self.run_python("-c", WITHOUT_CLIFF)
        self.assertEqual(exit_codes.Code.MISSING_LIBRARY, done.returncode)
        self.assertIn("extra 'tool'", done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_it_loads_neither_nova_nor_libvirt_nor_oslo_service(self) -> None:
        done = self.run_python(
            "-c",
            "import sys\n"
            "from nova_xen_overcommit.cli import app\n"
            "app.Tool()\n"
            "print({'nova', 'libvirt', 'oslo_service'} & set(sys.modules))",
        )
        self.assertEqual("set()\n", done.stdout)

    def test_help_and_completion_know_every_command(self) -> None:
        for word in ("--help", "complete"):
            done = self.run_python("-m", "nova_xen_overcommit.cmd.tool", word)
            self.assertEqual(0, done.returncode, done.stderr)
            for command in ("check", "explain", "history", "plot", "status"):
                self.assertIn(command, done.stdout)
