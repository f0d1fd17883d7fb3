# SPDX-License-Identifier: Apache-2.0
"""How each command fails: one line, and a code of its own."""

import json
import os
import socket
import tempfile
import threading
import unittest
from collections.abc import Callable
from pathlib import Path

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import client, protocol
from nova_xen_overcommit.cli import exit_codes
from nova_xen_overcommit.cli.exit_codes import Code
from nova_xen_overcommit.cmd import tool as tool_command
from tests.unit.cli.tool import ToolMixin

PAGE = Path(__file__).parents[3] / "doc/source/cli/index.rst"
ASKING = ("status", "explain")
# An answer of the release before this one.
OLD_STATUS = {"passes": 1, "guests": [], "report": {}}


class ImpostorTest(ToolMixin):
    """Asks something at the socket that is no agent of this release."""

    def setUp(self) -> None:
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.path = self.directory / "agent.sock"

    def answer(self, how: Callable[[socket.socket], None]) -> None:
        """Listen, read a request of each client and do ``how``."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen()
        self.addCleanup(listener.close)

        def serve() -> None:
            while True:
                try:
                    peer, _address = listener.accept()
                except OSError:
                    return
                with peer:
                    peer.recv(65536)
                    how(peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 5)
        self.addCleanup(lambda: listener.shutdown(socket.SHUT_RDWR))

    def say(self, text: bytes) -> None:
        self.answer(lambda peer: peer.sendall(text))

    def refused(self, expected: Code, *words: str) -> str:
        code, out, err = self.run_words(
            "--agent-socket",
            str(self.path),
            "--agent-timeout-s",
            "0.3",
            *words,
        )
        self.assertEqual((expected, ""), (code, out), err)
        self.assertEqual(1, len(err.splitlines()), err)
        self.assertIn(str(self.path), err)
        self.assertIn("--agent-socket", err)
        self.assertNotIn("Traceback", err)
        return err

    def all_refused(self, expected: Code) -> None:
        for command in ASKING:
            with self.subTest(command=command):
                self.refused(expected, command)

    def test_nobody_is_there(self) -> None:
        self.all_refused(Code.NO_AGENT)

    def test_an_agent_that_died(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.close()
        told = self.refused(Code.NO_AGENT, "status")
        self.assertIn("nova-xen-overcommit-agent.service", told)

    def test_no_answer(self) -> None:
        self.answer(lambda peer: threading.Event().wait(0.6))
        self.all_refused(Code.NO_ANSWER)

    def test_half_an_answer(self) -> None:
        self.say(b'{"result": {"ver')
        self.all_refused(Code.NO_ANSWER)

    def test_half_an_answer_that_never_goes_on(self) -> None:
        def stall(peer: socket.socket) -> None:
            peer.sendall(b'{"result": {"ver')
            threading.Event().wait(0.6)

        self.answer(stall)
        self.all_refused(Code.NO_ANSWER)

    def test_garbage(self) -> None:
        self.say(b"\xff\xfe\x1b[2J\n")
        self.all_refused(Code.NO_ANSWER)

    def test_an_answer_that_is_none(self) -> None:
        answer = {"result": {"version": 1, "guests": "none"}}
        self.say(protocol.encode(answer))
        self.refused(Code.NO_ANSWER, "status")

    def test_an_agent_that_does_not_know_the_request(self) -> None:
        failure = exception.ProtocolError("unknown method 'status'")
        self.say(protocol.encode(protocol.error_of(failure)))
        self.all_refused(Code.OTHER_RELEASE)

    def test_an_agent_of_the_release_before(self) -> None:
        self.say(protocol.encode({"result": OLD_STATUS}))
        told = self.refused(Code.OTHER_RELEASE, "status")
        self.assertIn("different releases", told)

    def test_an_agent_of_a_later_release(self) -> None:
        self.say(protocol.encode({"result": {"version": 2}}))
        self.refused(Code.OTHER_RELEASE, "status")

    @unittest.skipIf(os.getuid(), "only root can be another user")
    def test_a_socket_that_we_may_not_open(self) -> None:
        self.say(b"{}\n")
        self.path.chmod(0o600)
        self.directory.chmod(0o755)

        agent = client.AgentClient(str(self.path), 1)
        os.seteuid(65534)
        self.addCleanup(os.seteuid, 0)
        with self.assertRaises(exception.AgentForbidden):
            agent.status()

    def test_the_configured_socket_is_named_with_its_option(self) -> None:
        conf = self.directory / "nova.conf"
        conf.write_text(f"[xen_overcommit]\nagent_socket = {self.path}\n")
        code, _out, err = self.run_words("--config-file", str(conf), "status")
        self.assertEqual(Code.NO_AGENT, code)
        self.assertIn(f"{self.path}", err)
        self.assertIn("[xen_overcommit] agent_socket", err)

    def test_a_configuration_that_is_none(self) -> None:
        conf = self.directory / "nova.conf"
        conf.write_text("garbage")
        for command in (*ASKING, "history"):
            with self.subTest(command=command):
                code, _out, err = self.run_words(
                    "--config-file", str(conf), command
                )
                self.assertEqual(Code.ERROR, code)
                self.assertIn(str(conf), err)


class CodesTest(unittest.TestCase):
    def test_every_error_has_its_code(self) -> None:
        for error, code in (
            (exception.AgentUnavailable(), Code.NO_AGENT),
            (exception.AgentForbidden(), Code.NOT_PERMITTED),
            (exception.NotAdmitted(), Code.NOT_PERMITTED),
            (exception.AgentSilent(), Code.NO_ANSWER),
            (exception.AgentRefused(), Code.NO_ANSWER),
            (exception.ProtocolError(), Code.NO_ANSWER),
            (exception.UnknownMethod(), Code.OTHER_RELEASE),
            (exception.UnknownGuest(), Code.UNKNOWN_GUEST),
            (exception.HistoryUnavailable(), Code.NO_HISTORY),
            (exception.InvalidTrace(), Code.ERROR),
            (RuntimeError(), Code.ERROR),
        ):
            with self.subTest(error=error):
                self.assertEqual(code, exit_codes.of(error))

    def test_the_script_knows_the_code_that_it_needs_early(self) -> None:
        self.assertEqual(Code.MISSING_LIBRARY, tool_command._MISSING_LIBRARY)

    def test_the_page_lists_every_code(self) -> None:
        page = PAGE.read_text()
        for code in Code:
            self.assertRegex(page, rf"(?m)^   \* - {int(code)}$")

    def test_errors_travel(self) -> None:
        for failure in (
            exception.NotAdmitted("user id 7 is not admitted"),
            protocol.unknown_method("dance"),
        ):
            line = protocol.encode(protocol.error_of(failure))
            back = protocol.failure_of(json.loads(line)["error"])
            self.assertEqual(
                (type(failure), str(failure)), (type(back), str(back))
            )
