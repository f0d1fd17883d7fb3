# SPDX-License-Identifier: Apache-2.0
"""The agent as a process of its own, on libvirt's embedded hypervisor."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import client

PATIENCE_S = 30
CONF = """
[DEFAULT]
[xen_overcommit]
mode = {mode}
connection_uri = test:///default
agent_socket = {directory}/agent.sock
sensors = simulated
simulated_scenario = {directory}/scenario.toml
heartbeat_file = {directory}/heartbeat
history_dir = {directory}/history
{extra}
"""
SCENARIO = """
kernel_mib = 24
least_free_mib = 8
swap_mib_s = 150

[[use]]
name = "idle"
boot_mib = 100
boot_s = 1
idle_mib = 60
"""


class ProcessTest(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        (self.directory / "scenario.toml").write_text(SCENARIO)
        self.client = client.AgentClient(f"{directory.name}/agent.sock", 5)

    def configure(self, mode: str = "balance", extra: str = "") -> Path:
        path = self.directory / "nova.conf"
        path.write_text(
            CONF.format(directory=self.directory, mode=mode, extra=extra)
        )
        return path

    def start(self, **options: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "nova_xen_overcommit.cmd.agent",
                "--config-file",
                str(self.configure(**options)),
            ],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def report_when(self, condition=lambda made: True):
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            try:
                made = self.client.report()
                if condition(made):
                    return made
            except exception.OvercommitError:
                pass
            time.sleep(0.1)
        raise self.failureException("no such report in time")

    def test_it_reports_and_leaves_no_socket_behind(self) -> None:
        process = self.start()
        self.assertEqual("balance", self.report_when().mode)
        self.assertTrue((self.directory / "heartbeat").exists())
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
        self.assertFalse((self.directory / "agent.sock").exists())

    def test_after_sigkill_a_new_one_takes_over(self) -> None:
        process = self.start()
        before = self.report_when()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_S)
        with self.assertRaises(exception.AgentUnavailable):
            self.client.report()
        self.start()
        self.report_when(lambda made: made.time_s > before.time_s)

    def test_sighup_takes_a_changed_mode(self) -> None:
        process = self.start(mode="observe")
        self.assertEqual("observe", self.report_when().mode)
        self.configure(mode="balance")
        process.send_signal(signal.SIGHUP)
        self.report_when(lambda made: made.mode == "balance")

    def refused(self, **options: str) -> str:
        process = self.start(**options)
        _out, complaint = process.communicate(timeout=PATIENCE_S)
        self.assertEqual(2, process.returncode)
        return complaint

    def test_a_wrong_value_is_refused_with_the_options_name(self) -> None:
        self.assertIn("mode", self.refused(mode="fast"))

    def test_contradicting_options_are_refused_with_both_names(self) -> None:
        complaint = self.refused(
            extra="host_slack_mib = 200\nreserve_mib = 100"
        )
        self.assertIn("host_slack_mib", complaint)
        self.assertIn("reserve_mib", complaint)
