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

from nova_xen_overcommit import exception, report
from nova_xen_overcommit.agent import client
from nova_xen_overcommit.agent.history import files
from nova_xen_overcommit.agent.history.records import GuestStep, HostStep
from tests.unit.agent import idle_guest

PATIENCE_S = 30
# The one of test:///default.
GUEST = "6695eb01-f6a4-8304-79aa-97f2502e193f"
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


class ProcessTest(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        (self.directory / "scenario.toml").write_text(idle_guest.SCENARIO)
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

    def test_it_ends_in_order_however_long_it_rests(self) -> None:
        # Given an agent that rests for a minute
        process = self.start(extra="tick_interval_s = 60\nwarm_up_s = 0")
        self.report_when(lambda made: made.foreign_mib > 0)
        time.sleep(2)
        began_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
        # Then it doesn't take that long, and what it saw is kept
        self.assertLess(time.monotonic() - began_s, 9)
        self.assertTrue(list(files.read(self.directory / "history")))

    def test_after_sigkill_a_new_one_takes_over(self) -> None:
        process = self.start()
        before = self.report_when()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_S)
        with self.assertRaises(exception.AgentUnavailable):
            self.client.report()
        self.start()
        self.report_when(lambda made: made.time_s > before.time_s)

    def test_a_new_one_knows_what_the_last_one_saw(self) -> None:
        # Given a history of 45 seconds, which no agent here has watched
        begin_s = int(time.time()) // 5 * 5 - 45
        guests = [GuestStep(GUEST, 2**20, 2**17, 2**16)]
        directory = files.Directory(self.directory / "history")
        for time_s in range(begin_s, begin_s + 45, 5):
            directory.append(HostStep(time_s, 5, 2**17, guests))
        directory.close()
        # When agents begin, one that is asked to end and one by a SIGHUP
        quick = {"extra": "history_s = 60\nwarm_up_s = 0"}
        process = self.start(**quick)
        # Then each knows of it, sooner than it could see as much
        self.until_known(45)
        time.sleep(3)
        passes = self.client.status()["passes"]
        process.send_signal(signal.SIGHUP)
        self.until_known(45, most_passes=passes)
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
        # And the step under way was written, too
        *_, last = files.read(self.directory / "history")
        self.assertGreater(last.time_s + 2 * 5, time.time() - 10)
        self.assertEqual([GUEST], [guest.vm for guest in last.guests])

    def until_known(self, least_s: float, most_passes: float = 1e9) -> None:
        """Wait until so much of the past is known after few passes."""

        def known(_made: report.HostReport) -> bool:
            host = self.client.explain("")["host"]
            young = host["passes"] < most_passes
            return bool(young and host["past_s"] >= least_s)

        self.report_when(known)

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
