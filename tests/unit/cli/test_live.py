# SPDX-License-Identifier: Apache-2.0
"""The live table on a real pseudo-terminal, asking a real agent."""

import os
import signal
import time

from tests.simulator import MIB
from tests.unit.agent.test_server import ServedTest
from tests.unit.cli.terminal import Terminal

ENTERED, LEFT, CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


class LiveTest(ServedTest):
    def setUp(self) -> None:
        super().setUp()
        self.guest = self.harness.host.start("web", wants_kib=400 * MIB)
        self.harness.run(10)

    def open(self, *words: str, **more) -> Terminal:
        terminal = Terminal(
            "--agent-socket",
            self.path,
            "status",
            "--interval",
            "0.2",
            *words,
            **more,
        )
        self.addCleanup(terminal.close)
        return terminal

    def await_page(self, terminal: Terminal, wanted: str, since: int) -> str:
        """Give the first whole page with ``wanted``.

        What is drawn before a key is heeded is still the page before.
        """
        terminal.await_text(wanted, since)
        whole = terminal.text(since).index(wanted)
        while "q quit" not in terminal.text(since)[whole:]:
            self.assertIsNone(terminal.process.poll())
        pages = terminal.text(since).split("q quit")
        return next(page for page in pages if wanted in page)

    def assert_left_clean(self, terminal: Terminal) -> None:
        self.assertEqual(terminal.before, terminal.modes())
        self.assertEqual(1, terminal.raw.count(ENTERED))
        self.assertEqual(1, terminal.raw.count(LEFT))
        self.assertGreater(
            terminal.raw.rfind(CURSOR), terminal.raw.rfind("\x1b[?25l")
        )
        self.assertNotIn("Traceback", terminal.raw)

    def test_it_shows_refreshes_and_leaves_with_q(self) -> None:
        terminal = self.open()
        terminal.await_text("Host normal, mode overcommit on test")
        terminal.await_text("web-1")
        self.assertIn("q quit", terminal.text())
        # When the host changes
        before = len(terminal.raw)
        self.harness.host.start("second")
        self.harness.run(2)
        # Then it is shown without a key
        terminal.await_text("second-2", since=before)
        terminal.press("q")
        self.assertEqual(0, terminal.ended())
        self.assert_left_clean(terminal)

    def test_ctrl_c_leaves_it_too(self) -> None:
        terminal = self.open()
        terminal.await_text("web-1")
        terminal.press("\x03")
        self.assertEqual(0, terminal.ended())
        self.assert_left_clean(terminal)

    def test_so_does_a_signal(self) -> None:
        terminal = self.open()
        terminal.await_text("web-1")
        os.kill(terminal.process.pid, signal.SIGTERM)
        self.assertEqual(143, terminal.ended())
        self.assert_left_clean(terminal)

    def test_suspended_it_gives_the_terminal_back_meanwhile(self) -> None:
        terminal = self.open()
        terminal.await_text("by name ")
        terminal.press("s")
        terminal.await_text("by state ")
        terminal.press("\x1a")
        deadline_s = time.monotonic() + 30
        stopped = 0
        while not stopped and time.monotonic() < deadline_s:
            terminal.read()
            stopped, _status = os.waitpid(
                terminal.process.pid, os.WUNTRACED | os.WNOHANG
            )
        self.assertEqual(terminal.before, terminal.modes())
        self.assertIn(LEFT, terminal.read())
        # When it goes on, it shows itself again, as it was
        before = len(terminal.raw)
        os.kill(terminal.process.pid, signal.SIGCONT)
        terminal.await_text("by state ", since=before)
        terminal.press("q")
        self.assertEqual(0, terminal.ended())
        self.assertEqual(terminal.before, terminal.modes())

    def test_keys_sort(self) -> None:
        self.harness.host.start("app")
        self.harness.run(2)
        terminal = self.open("--sort", "demand")
        terminal.await_text("by demand")
        text = terminal.text()
        self.assertLess(text.index("web-1"), text.index("app-2"))
        before = len(terminal.raw)
        terminal.press("r")
        text = self.await_page(terminal, "by demand, reversed", before)
        self.assertLess(text.index("app-2"), text.index("web-1"))
        terminal.press("rs")
        terminal.await_text("by idle ", since=before)
        terminal.press("q")
        self.assertEqual(0, terminal.ended())

    def test_no_more_guests_are_drawn_than_fit(self) -> None:
        for number in range(30):
            self.harness.host.start(f"crowd{number}", flavor_kib=64 * MIB)
        self.harness.run(2)
        terminal = self.open(lines=20, columns=80)
        terminal.await_text("more guests")
        shown = terminal.text()[: terminal.text().index("q quit")]
        self.assertLess(len(shown.splitlines()), 20)
        # When the terminal grows it shows more, without a key
        before = len(terminal.raw)
        terminal.resize(120, 60)
        text = self.await_page(terminal, "web-1", before)
        terminal.press("q")
        self.assertEqual(0, terminal.ended())
        self.assertNotIn("more guests", text)

    def test_an_agent_that_goes_is_told_and_waited_for(self) -> None:
        terminal = self.open()
        terminal.await_text("web-1")
        self.server.shutdown()
        self.server.server_close()
        terminal.await_text("does not answer")
        before = len(terminal.raw)
        self.serve()
        self.harness.host.start("back")
        self.harness.run(1)
        terminal.await_text("back-2", since=before)
        terminal.press("q")
        self.assertEqual(0, terminal.ended())
        self.assert_left_clean(terminal)

    def test_without_an_agent_it_never_takes_the_screen(self) -> None:
        self.path = "/nonexistent/agent.sock"
        terminal = self.open()
        self.assertEqual(3, terminal.ended())
        self.assertIn("/nonexistent/agent.sock", terminal.raw)
        self.assertNotIn(ENTERED, terminal.raw)

    def test_what_a_guest_is_called_is_not_obeyed(self) -> None:
        self.guest.name = "\x1b]0;owned\x07[bold]evil\x9b2J"
        self.harness.run(1)
        terminal = self.open()
        terminal.await_text("[bold]evil")
        terminal.press("q")
        self.assertEqual(0, terminal.ended())
        self.assertNotIn("\x1b]0", terminal.raw)
        self.assertNotIn("\x9b", terminal.raw)
        self.assertNotIn("\x07", terminal.raw)

    def test_once_and_dumb_terminals_get_a_plain_table(self) -> None:
        for words, env in ((["--once"], {}), ([], {"TERM": "dumb"})):
            with self.subTest(words=words):
                terminal = self.open(*words, **env)
                self.assertEqual(0, terminal.ended())
                self.assertIn("| web-1 |", terminal.raw)
                self.assertNotIn("\x1b", terminal.raw)
