# SPDX-License-Identifier: Apache-2.0
"""Formats that other releases read or wrote, as they were in version 1.

The files here were written once and are not written anew: a change that
fails one of these tests takes a new version of that format, and a reader that
knows both. Which side of an upgrade goes first is in
``doc/source/install/versions.rst``.
"""

import contextlib
import json
import shutil
import socket
import socketserver
import tempfile
import threading
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nova_xen_overcommit import exception, report
from nova_xen_overcommit.agent import client, protocol, server
from nova_xen_overcommit.agent.history import files, records
from nova_xen_overcommit.agent.history.records import GuestStep, HostStep
from tests.simulator import MIB
from tests.unit.agent.harness import Harness

HERE = Path(__file__).parent
HISTORY = HERE / "2026-11-23.history"
REPORT = json.loads((HERE / "report-1.json").read_text())
TALK = json.loads((HERE / "socket-1.json").read_text())

DAY = 1_795_392_000
ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"
STEPS = [
    HostStep(
        DAY, 300, 1_500_000, [GuestStep(ONE, 1_048_576, 700_000, 600_000)]
    ),
    HostStep(
        DAY + 300,
        300,
        2_600_000,
        [
            GuestStep(ONE, 1_048_576, 1_048_576, 900_000),
            GuestStep(TWO, 4_194_304, 1_600_000, 0),
        ],
    ),
]


class HistoryTest(unittest.TestCase):
    def test_a_store_of_version_1_is_read(self) -> None:
        self.assertEqual(STEPS, list(files.read_file(HISTORY)))

    def test_version_1_is_what_is_written(self) -> None:
        encoder = records.Encoder()
        written = b"".join(encoder.encode(step) for step in STEPS)
        self.assertEqual(HISTORY.read_bytes(), records.MAGIC + written)

    def test_a_store_of_version_1_is_gone_on_with(self) -> None:
        more = HostStep(DAY + 600, 300, 7, [GuestStep(TWO, 4, 3, 2)])
        with tempfile.TemporaryDirectory() as name:
            shutil.copy(HISTORY, name)
            directory = files.Directory(Path(name))
            directory.append(more)
            directory.close()
            self.assertEqual([*STEPS, more], list(files.read(Path(name))))


class ReportTest(unittest.TestCase):
    def test_a_report_of_version_1_is_believed(self) -> None:
        made = report.HostReport.from_dict(REPORT)
        self.assertEqual(12288, made.promise_mib)

    def test_what_is_sent_is_version_1(self) -> None:
        # A reader of version 1 wants exactly these, and ignores others.
        made = report.HostReport.from_dict(REPORT)
        self.assertEqual(REPORT, made.to_dict())

    def test_a_later_field_is_ignored_a_later_version_is_not(self) -> None:
        report.HostReport.from_dict({**REPORT, "colour": "blue"})
        with self.assertRaises(exception.NewerReport):
            report.HostReport.from_dict({**REPORT, "version": 2})


class _OldAgent(socketserver.ThreadingUnixStreamServer):
    """Says what an agent of the first protocol said, whoever asks."""

    daemon_threads = True


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            asked = json.loads(line)
            for turn in TALK:
                if self.like(turn["request"], asked):
                    self.wfile.write(protocol.encode(turn["answer"]))
                    break
            else:
                answer = {"error": {"code": "invalid", "message": str(asked)}}
                self.wfile.write(protocol.encode(answer))

    @staticmethod
    def like(frozen: dict[str, Any], asked: dict[str, Any]) -> bool:
        """Tell whether an old agent would take it for this request."""
        same = frozen["method"] == asked["method"]
        if not same or frozen.keys() != asked.keys():
            return False
        if same and frozen["method"] == protocol.RESERVE:
            # It refuses fields that it doesn't know.
            return bool(frozen["request"] == asked["request"])
        return True


class OldAgentTest(unittest.TestCase):
    """A new driver and new tools, an agent of before."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = f"{directory.name}/agent.sock"
        old = _OldAgent(path, _Handler)
        threading.Thread(target=old.serve_forever, daemon=True).start()
        self.addCleanup(old.server_close)
        self.addCleanup(old.shutdown)
        self.client = client.AgentClient(path, 5)

    def start(self, turn: int) -> protocol.StartRequest:
        return protocol.StartRequest.from_dict(
            TALK[turn]["request"]["request"]
        )

    def test_its_report_is_taken(self) -> None:
        self.assertEqual(REPORT, self.client.report().to_dict())

    def test_it_names_no_guests(self) -> None:
        told = self.client.tidings()
        self.assertIsNone(told.uncooperative)
        self.assertEqual(REPORT, told.report.to_dict())

    def test_it_grants_starts_and_holds(self) -> None:
        start = self.start(1)
        with self.client.reserve(start, 5) as grant:
            self.assertEqual(262144, grant.start_kib)
        with self.client.hold(start.uuid, "snapshot"):
            pass

    def test_its_refusals_are_understood(self) -> None:
        with (
            self.assertRaises(exception.NoRoom) as refused,
            self.client.reserve(self.start(4), 0),
        ):
            pass
        self.assertEqual(1024, refused.exception.free_kib)
        with self.assertRaises(exception.UnknownGuest):
            self.client.explain("nobody")


class NewAgentTest(unittest.TestCase):
    """The agent of today, and a driver that asks as those before did."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = f"{directory.name}/agent.sock"
        self.harness = Harness()
        self.harness.host.start("web", wants_kib=60 * MIB)
        self.harness.run(5)
        desk = server.AgentServer(
            self.path, self.harness.agent, server.allowed_uids(())
        )
        self.leaving = threading.Event()
        for target in (desk.serve_forever, self.balance):
            threading.Thread(target=target, daemon=True).start()
        self.addCleanup(desk.server_close)
        self.addCleanup(desk.shutdown)
        self.addCleanup(self.leaving.set)

    def balance(self) -> None:
        while not self.leaving.is_set():
            self.harness.run(0.5)
            time.sleep(0.02)

    @contextlib.contextmanager
    def connected(self) -> Iterator[Any]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(20)
            sock.connect(self.path)
            with sock.makefile("rwb") as file:
                yield file

    def test_every_answer_has_what_was_in_it_before(self) -> None:
        for turn in TALK:
            with self.subTest(turn["request"]), self.connected() as file:
                file.write(json.dumps(turn["request"]).encode() + b"\n")
                file.flush()
                answer = json.loads(file.readline())
                self.assertLessEqual(
                    shape(turn["answer"]).items(), shape(answer).items()
                )
                if "error" in answer:
                    self.assertEqual(
                        turn["answer"]["error"]["code"],
                        answer["error"]["code"],
                    )


def shape(value: dict[str, Any], path: str = "") -> dict[str, str]:
    """Give the type of all that is in an answer."""
    found = {}
    for key, inner in value.items():
        here = f"{path}.{key}"
        if isinstance(inner, dict):
            found |= shape(inner, here)
        number = type(inner) in (int, float)
        found[here] = "number" if number else type(inner).__name__
    return found
