# SPDX-License-Identifier: Apache-2.0
"""What systemd hears at a real socket, as sd_notify(3) has it."""

import contextlib
import faulthandler
import socket
import tempfile
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

from nova_xen_overcommit.agent import core, supervisor
from tests.unit.agent.harness import Harness

PATIENCE_S = 10


class ListenTest(unittest.TestCase):
    """Listens as systemd does."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.address = str(Path(directory.name) / "notify")
        self.listener = self.listen(self.address)

    def listen(self, address: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.bind(address)
        listener.settimeout(PATIENCE_S)
        return listener

    def heard(self) -> list[str]:
        return self.listener.recv(4096).decode().split("\n")

    def silent(self, seconds: float) -> bool:
        """Tell whether nothing comes for so long."""
        self.listener.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            self.listener.recv(4096)
            return False
        return True


class MessagesTest(ListenTest):
    def supervisor(self, **more: str) -> supervisor.Supervisor:
        environment = {"NOTIFY_SOCKET": self.address, **more}
        return supervisor.Supervisor.taken_from(environment)

    def test_ready_is_said_with_the_first_pass_and_once(self) -> None:
        told = self.supervisor()
        told.passed(0.1, "")
        self.assertEqual(
            ["WATCHDOG=1", "READY=1", "STATUS=balancing"], self.heard()
        )
        told.passed(0.1, "")
        self.assertEqual(["WATCHDOG=1"], self.heard())

    def test_a_failed_pass_is_alive_and_says_what_it_lacks(self) -> None:
        told = self.supervisor()
        told.passed(0.1, "")
        self.heard()
        told.passed(0.1, "HypervisorError: libvirt\nREADY=0 is gone")
        self.assertEqual(
            ["WATCHDOG=1", "STATUS=HypervisorError: libvirt READY=0 is gone"],
            self.heard(),
        )
        told.passed(0.1, "")
        self.assertEqual(["WATCHDOG=1", "STATUS=balancing"], self.heard())

    def test_an_abstract_socket_is_found(self) -> None:
        name = f"nova-xen-overcommit-{time.monotonic_ns()}"
        self.listener = self.listen("\0" + name)
        environment = {"NOTIFY_SOCKET": "@" + name}
        supervisor.Supervisor.taken_from(environment).passed(0.1, "")
        self.assertIn("READY=1", self.heard())

    def test_the_environment_is_left_without_it(self) -> None:
        environment = {
            "NOTIFY_SOCKET": self.address,
            "WATCHDOG_USEC": "1000000",
            "WATCHDOG_PID": "1",
            "HOME": "/",
        }
        supervisor.Supervisor.taken_from(environment)
        self.assertEqual({"HOME": "/"}, environment)

    def test_without_a_supervisor_nothing_is_sent(self) -> None:
        supervisor.Supervisor.taken_from({}).passed(0.1, "")
        self.assertTrue(self.silent(0.2))

    def test_one_that_does_not_listen_is_not_waited_for(self) -> None:
        told = self.supervisor()
        began_s = time.monotonic()
        # Far more than a socket takes unread.
        for _ in range(2000):
            told.passed(0.1, "")
        self.assertLess(time.monotonic() - began_s, PATIENCE_S)
        self.listener.close()
        told.passed(0.1, "")

    def test_ready_is_said_again_until_it_was_heard(self) -> None:
        self.listener.close()
        Path(self.address).unlink()
        told = self.supervisor()
        told.passed(0.1, "")
        self.listener = self.listen(self.address)
        told.passed(0.1, "")
        self.assertIn("READY=1", self.heard())

    def test_where_it_hangs_is_told_before_the_watchdog_barks(self) -> None:
        told = self.supervisor(WATCHDOG_USEC="20000000")
        with (
            mock.patch.object(faulthandler, "dump_traceback_later") as armed,
            mock.patch.object(
                faulthandler, "cancel_dump_traceback_later"
            ) as disarmed,
        ):
            told.passed(0.1, "")
            armed.assert_called_once_with(18)
            disarmed.assert_not_called()
            told.left()
            disarmed.assert_called_once_with()


class StalledPassTest(ListenTest):
    def setUp(self) -> None:
        super().setUp()
        self.harness = Harness(tick_interval_s=0.1)
        environment = {"NOTIFY_SOCKET": self.address}
        told = supervisor.Supervisor.taken_from(environment)
        self.harness.agent.followers.append(told.passed)
        self.leaving = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.real = self.harness.balancer.run_pass

    def run_pass(self, settings):
        self.go_on.wait()
        return self.real(settings)

    def begin(self) -> None:
        patched = mock.patch.object(
            self.harness.balancer, "run_pass", self.run_pass
        )
        patched.start()
        self.addCleanup(patched.stop)
        thread = threading.Thread(
            target=core.balance, args=(self.harness.agent, self.leaving)
        )
        thread.start()
        self.addCleanup(thread.join, PATIENCE_S)
        self.addCleanup(self.go_on.set)
        self.addCleanup(self.leaving.set)

    def test_passes_feed_the_watchdog_and_a_stalled_one_stops(self) -> None:
        self.begin()
        for _ in range(5):
            self.assertIn("WATCHDOG=1", self.heard())
        # When a pass hangs, with one or two said before that
        self.go_on.clear()
        time.sleep(0.5)
        self.listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.listener.recv(4096)
        # Then nothing is said for many ticks
        self.assertTrue(self.silent(2))
        # And again once it ends
        self.go_on.set()
        self.listener.settimeout(PATIENCE_S)
        self.assertIn("WATCHDOG=1", self.heard())

    def test_the_first_pass_hangs_and_ready_is_not_said(self) -> None:
        self.go_on.clear()
        self.begin()
        self.assertTrue(self.silent(1))
        self.go_on.set()
        self.listener.settimeout(PATIENCE_S)
        self.assertIn("READY=1", self.heard())

    def test_a_follower_that_fails_ends_no_loop(self) -> None:
        def fails(_pass_s: float, _complaint: str) -> None:
            raise RuntimeError("no")

        self.harness.agent.followers.insert(0, fails)
        with self.assertLogs(core.LOG, "ERROR"):
            self.harness.agent.tick()
        self.assertIn("READY=1", self.heard())
