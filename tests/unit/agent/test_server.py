# SPDX-License-Identifier: Apache-2.0
"""The agent's socket: real sockets, real agent, simulated host."""

import json
import os
import socket
import tempfile
import threading
import time
import unittest
from pathlib import Path

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import client, core, protocol, server
from tests.simulator import GIB
from tests.unit.agent.harness import Harness


def start_request(uuid: str = "a-start", **more) -> protocol.StartRequest:
    return protocol.StartRequest(
        uuid=uuid, name=uuid, flavor_kib=GIB, swap_kib=GIB, **more
    )


class ServedTest(unittest.TestCase):
    """A server for the tests; ``uids`` are let in."""

    uids = frozenset({os.getuid()})

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = f"{directory.name}/run/agent.sock"
        self.harness = Harness()
        self.serve()
        self.client = client.AgentClient(self.path, timeout_s=5)

    def serve(self) -> None:
        self.server = server.AgentServer(
            self.path, self.harness.agent, self.uids
        )
        self.addCleanup(self.server.server_close)
        thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}
        )
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.shutdown)

    def balance(self) -> None:
        leaving = threading.Event()
        thread = threading.Thread(
            target=core.balance, args=(self.harness.agent, leaving)
        )
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.harness.agent.wake.set)
        self.addCleanup(leaving.set)

    def wait_until(self, condition) -> None:
        deadline_s = time.monotonic() + 10
        while not condition():
            self.assertLess(time.monotonic(), deadline_s, "too late")
            time.sleep(0.02)


class ServerTest(ServedTest):
    def test_the_report_travels(self) -> None:
        self.harness.agent.tick()
        self.assertEqual(4096, self.client.report().physical_mib)

    def test_an_explanation_travels(self) -> None:
        guest = self.harness.host.start()
        self.harness.agent.tick()
        told = self.client.explain()
        self.assertEqual("overcommit", told["host"]["report"]["mode"])
        self.assertEqual(guest.uuid, told["guests"][0]["uuid"])
        self.assertEqual(guest.uuid, self.client.explain(guest.name)["uuid"])

    def test_an_unknown_guest_travels_as_such(self) -> None:
        self.harness.agent.tick()
        with self.assertRaisesRegex(exception.UnknownGuest, "'nobody'"):
            self.client.explain("nobody")

    def test_before_the_first_pass_there_is_no_report(self) -> None:
        with self.assertRaisesRegex(exception.AgentRefused, "no report yet"):
            self.client.report()

    def test_a_start_is_granted_and_ends_with_its_block(self) -> None:
        self.balance()
        with self.client.reserve(start_request(), wait_s=5) as grant:
            self.assertEqual(GIB, grant.start_kib)
            self.assertEqual(1, len(self.harness.leases.reservations()))
        self.wait_until(lambda: not self.harness.leases.reservations())

    def test_no_room_arrives_with_its_numbers(self) -> None:
        self.balance()
        greedy = protocol.StartRequest(
            uuid="g", name="g", flavor_kib=64 * GIB, overcommit=False
        )
        with (
            self.assertRaises(exception.NoRoom) as caught,
            self.client.reserve(greedy, wait_s=5),
        ):
            self.fail("it must not start")
        self.assertEqual(64 * GIB, caught.exception.asked_kib)

    def test_nothing_leaks_when_the_client_dies_while_it_waits(self) -> None:
        connection = client.Connection.open(self.path, 5)
        connection._sock.sendall(
            protocol.encode(
                {
                    "method": protocol.RESERVE,
                    "request": start_request().to_dict(),
                    "wait_s": 60,
                }
            )
        )
        self.wait_until(self.harness.leases.reservations)
        connection.close()
        self.wait_until(lambda: not self.harness.leases.reservations())

    def test_nothing_leaks_when_the_client_dies_while_it_holds(self) -> None:
        pid = os.fork()
        if pid == 0:
            with self.client.hold("a-guest", "snapshot"):
                time.sleep(60)
        self.wait_until(self.harness.leases.held)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        self.wait_until(lambda: not self.harness.leases.held())

    def test_long_answers_are_made_one_at_a_time(self) -> None:
        # However many ask, passes have half of the interpreter.
        busy, most, lock = [0], [0], threading.Lock()

        class Desk:
            def status(self) -> dict:
                with lock:
                    busy[0] += 1
                    most[0] = max(most[0], busy[0])
                time.sleep(0.02)
                with lock:
                    busy[0] -= 1
                return {}

            def report(self) -> dict:
                return {"asked": "meanwhile"}

        self.server.desk = Desk()
        asking = [threading.Thread(target=self.client.status) for _ in "12345"]
        for thread in asking:
            thread.start()
        # What nova-compute asks for waits for none of them.
        with client.Connection.open(self.path, 5) as connection:
            self.assertEqual(
                {"asked": "meanwhile"}, connection.call(protocol.REPORT)
            )
        for thread in asking:
            thread.join()
        self.assertEqual(1, most[0])

    def raw(self, line: bytes) -> dict:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(self.path)
            sock.sendall(line)
            with sock.makefile("rb") as answers:
                return json.loads(answers.readline())

    def test_garbage_is_answered_and_harms_nobody(self) -> None:
        self.harness.agent.tick()
        for line in (
            b"\xff\xfe\n",
            b"[]\n",
            b"{}\n",
            b'{"method": "dance"}\n',
            b'{"method": "reserve"}\n',
            b'{"method": "reserve", "request": {}, "wait_s": 1}\n',
            b'{"method": "reserve", "request": {"uuid": 1}, "wait_s": 1}\n',
            b'{"method": "reserve", "request": {}, "wait_s": 1e99}\n',
            b'{"method": "hold", "uuid": ""}\n',
            b'{"method": "explain", "guest": ""}\n',
            b'{"method": "explain", "guest": ["a"]}\n',
        ):
            with self.subTest(line=line):
                answer = self.raw(line)
                self.assertEqual("invalid", answer["error"]["code"])
        self.assertEqual(4096, self.client.report().physical_mib)

    def test_a_second_agent_does_not_take_the_socket(self) -> None:
        with self.assertRaisesRegex(exception.AgentRefused, "another agent"):
            server.AgentServer(self.path, self.harness.agent, frozenset())

    def test_the_socket_of_a_dead_agent_is_taken_over(self) -> None:
        path = Path(self.path).with_name("dead.sock")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        taken = server.AgentServer(str(path), self.harness.agent, frozenset())
        taken.server_close()
        self.assertFalse(path.exists())

    def test_nobody_at_the_socket_is_an_unavailable_agent(self) -> None:
        absent = client.AgentClient("/nonexistent/agent.sock")
        with self.assertRaisesRegex(exception.AgentUnavailable, "nonexist"):
            absent.report()


class StrangerTest(ServedTest):
    def setUp(self) -> None:
        self.uids = frozenset({os.getuid() + 1})
        super().setUp()

    def test_a_stranger_is_refused(self) -> None:
        self.harness.agent.tick()
        with self.assertRaisesRegex(exception.AgentRefused, "not admitted"):
            self.client.report()

    def test_who_is_cut_off_before_asking_reads_why(self) -> None:
        # Given a server that refuses and hangs up at once
        ours, theirs = socket.socketpair()
        refusal = protocol.error_of(exception.AgentRefused("not admitted"))
        theirs.sendall(protocol.encode(refusal))
        theirs.close()
        # When the client asks only then
        connection = client.Connection(ours)
        self.addCleanup(connection.close)
        with self.assertRaisesRegex(exception.AgentRefused, "not admitted"):
            connection.call(protocol.REPORT)


class AllowedTest(unittest.TestCase):
    def test_root_and_the_named_users_are_let_in(self) -> None:
        allowed = server.allowed_uids(["root", "no-such-user-here"])
        self.assertIn(0, allowed)
        self.assertLessEqual(allowed, {0, os.geteuid()})
