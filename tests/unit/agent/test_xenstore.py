# SPDX-License-Identifier: Apache-2.0
"""The xenstore client against a daemon that keeps to the protocol."""

import os
import select
import shutil
import struct
import subprocess
import time
import tracemalloc
import unittest
from pathlib import Path
from unittest import mock

from nova_xen_overcommit.agent import xenstore
from tests import xenstore_double


class XenstoreTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.daemon = xenstore_double.XenstoreDouble()
        self.addCleanup(self.daemon.__exit__)
        self.now_s = 0.0
        self.client = xenstore.Xenstore(
            self.daemon.path, timeout_s=0.2, monotonic_s=self._clock
        )
        self.addCleanup(self.client.close)

    def _clock(self) -> float:
        # Real time, plus what a test skips.
        return time.monotonic() + self.now_s

    def put(self, path: str, value: bytes) -> None:
        self.daemon.store.write(path, value)


class ReadTest(XenstoreTestCase):
    def test_values_and_what_is_not_there(self) -> None:
        self.put("/a", b"one")
        self.put("/b", b"")
        self.assertEqual(
            {"/a": b"one", "/b": b"", "/c": None},
            self.client.read_many(["/a", "/b", "/c"]),
        )

    def test_any_bytes_come_through(self) -> None:
        value = bytes(range(256)) * 8
        self.put("/a", value)
        self.assertEqual({"/a": value}, self.client.read_many(["/a"]))

    def test_many_large_values_in_one_call(self) -> None:
        # Given 300 values of the largest size there is
        paths = [f"/local/domain/{i}/data/x" for i in range(300)]
        for path in paths:
            self.put(path, path.encode().ljust(4096, b"."))
        # When all are read at once
        client = xenstore.Xenstore(self.daemon.path, timeout_s=5)
        self.addCleanup(client.close)
        values = client.read_many(paths)
        # Then each path has its own
        for path in paths:
            self.assertEqual(path.encode(), values[path].rstrip(b"."))

    def test_nothing_to_read(self) -> None:
        self.assertEqual({}, self.client.read_many([]))

    def test_children(self) -> None:
        self.put("/local/domain/1/name", b"x")
        self.put("/local/domain/2/name", b"y")
        self.assertEqual(
            ["1", "2"], self.client.list_children("/local/domain")
        )
        self.assertEqual([], self.client.list_children("/nowhere"))

    def test_requests_leave_nothing_behind(self) -> None:
        # Given a client that has read some guests for a while
        paths = [f"/local/domain/{i}/data/x" for i in range(64)]

        def read(times: int) -> None:
            for _ in range(times):
                self.client.read_many(paths)

        read(10)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        read(1)
        before_bytes = self._held_bytes()
        # When it goes on for thousands of requests
        read(60)
        # Then it holds no more than before: not one byte for a request
        grown_bytes = self._held_bytes() - before_bytes
        self.assertLess(grown_bytes, 60 * len(paths))

    @staticmethod
    def _held_bytes() -> int:
        ours = tracemalloc.Filter(True, xenstore.__file__)
        held = tracemalloc.take_snapshot().filter_traces([ours])
        return sum(trace.size for trace in held.traces)

    def test_numbers_of_requests_begin_anew(self) -> None:
        # Given a client that has numbers for a hundred requests
        self.put("/a", b"one")
        with mock.patch.object(xenstore, "_MAX_NUMBER", 100):
            # When it makes more of them, then each has its answer
            for _ in range(5):
                read = self.client.read_many(["/a"] + ["/b"] * 60)
                self.assertEqual({"/a": b"one", "/b": None}, read)


class FailureTest(XenstoreTestCase):
    def test_no_daemon(self) -> None:
        self.daemon.stop()
        self.addCleanup(self.daemon.start)
        with self.assertRaisesRegex(xenstore.XenstoreError, "no xenstore"):
            self.client.read_many(["/a"])

    def test_a_daemon_that_comes_back(self) -> None:
        # Given the daemon is started again between two reads
        self.put("/a", b"one")
        self.client.read_many(["/a"])
        self.daemon.stop()
        self.daemon.start()
        # When reading fails once
        with self.assertRaises(xenstore.XenstoreError):
            self.client.read_many(["/a"])
        # Then the next read is answered
        self.assertEqual({"/a": b"one"}, self.client.read_many(["/a"]))

    def test_a_daemon_that_hangs_costs_one_timeout_at_most(self) -> None:
        # Given a daemon that says nothing
        self.daemon.server.mute = True
        began_s = time.monotonic()
        # When it is asked ten times
        for _ in range(10):
            with self.assertRaises(xenstore.XenstoreError):
                self.client.read_many(["/a", "/b"])
        # Then only the first has waited
        self.assertLess(time.monotonic() - began_s, 0.4)
        # When it is well again after a while, then it is asked again
        self.daemon.server.mute = False
        self.put("/a", b"one")
        self.now_s = 5.1
        self.assertEqual({"/a": b"one"}, self.client.read_many(["/a"]))

    def test_a_daemon_that_dribbles_is_cut_off_too(self) -> None:
        # Given a daemon that sends a header, and never what it announces
        self.daemon.server.raw_answer = struct.pack("<IIII", 2, 1, 0, 4000)
        with self.assertRaisesRegex(xenstore.XenstoreError, "time"):
            self.client.read_many(["/a"])

    def test_messages_beyond_the_protocols_size(self) -> None:
        # Given an answer that announces a megabyte
        self.daemon.server.raw_answer = struct.pack("<IIII", 2, 1, 0, 1 << 20)
        # Then it isn't waited for
        with self.assertRaisesRegex(xenstore.XenstoreError, "1048576 bytes"):
            self.client.read_many(["/a"])

    def test_an_answer_to_another_question(self) -> None:
        self.daemon.server.raw_answer = struct.pack("<IIII", 2, 77, 0, 0)
        with self.assertRaisesRegex(xenstore.XenstoreError, "nobody asked"):
            self.client.read_many(["/a"])


class WatchTest(XenstoreTestCase):
    def events(self) -> set[str]:
        """Wait for the next events, as the agent would."""
        while not (events := self.client.take_events()):
            ready, _w, _x = select.select([self.client.fileno()], [], [], 2)
            self.assertTrue(ready, "no event came")
        return events

    def test_changes_wake_and_say_whose(self) -> None:
        # Given two watches, whose first events come at once
        self.client.watch("/local/domain/3/data", "guest")
        self.assertEqual({"guest"}, self.events())
        self.client.watch("/local/domain/4/data", "other")
        self.assertEqual({"other"}, self.events())
        # When a guest writes
        self.daemon.guest_writes(3, x="1")
        # Then it is told
        self.assertEqual({"guest"}, self.events())
        self.assertEqual(set(), self.client.take_events())

    def test_a_flood_pushes_nobody_out(self) -> None:
        # Given a guest that wrote once, and one that then wrote very often
        self.client.watch("/a", "quiet")
        self.client.watch("/b", "noisy")
        self.events()
        self.put("/a", b"1")
        for number in range(5000):
            self.put(f"/b/{number}", b"1")
        # When all of it has come in along with an answer
        self.assertEqual({"/a": b"1"}, self.client.read_many(["/a"]))
        # Then both are named
        self.assertEqual({"quiet", "noisy"}, self.client.take_events())

    def test_events_between_answers_are_kept(self) -> None:
        # Given events that come while answers are waited for
        self.client.watch("/a", "t")
        self.put("/a", b"1")
        self.assertEqual({"/a": b"1"}, self.client.read_many(["/a"]))
        # Then they are there afterwards
        self.assertEqual({"t"}, self.client.take_events())

    def test_a_lost_connection_is_told(self) -> None:
        self.client.watch("/a", "t")
        self.daemon.stop()
        self.addCleanup(self.daemon.start)
        with self.assertRaises(xenstore.XenstoreError):
            self.client.take_events()
            self.client.take_events()


class DaemonTest(XenstoreTestCase):
    """The daemon of these tests is one to Xen's own tools."""

    def tool(self, name: str, *arguments: str) -> str:
        # Debian's wrapper hides the tools in Xen's own directory too.
        program = shutil.which(name)
        self.assertIsNotNone(program, "install xenstore-utils")
        directory = Path(self.daemon.path).parent
        return subprocess.run(
            [str(program), "-s", *arguments],
            env={**os.environ, "XENSTORED_RUNDIR": str(directory)},
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout

    def test_what_the_tools_write_is_read(self) -> None:
        self.tool("xenstore-write", "/local/domain/5/data/x", "hello")
        path = "/local/domain/5/data/x"
        self.assertEqual({path: b"hello"}, self.client.read_many([path]))

    def test_the_tools_see_the_same_tree(self) -> None:
        self.put("/local/domain/5/data/x", b"hello")
        shown = self.tool("xenstore-ls", "-f", "/local/domain/5")
        self.assertIn('/local/domain/5/data/x = "hello"', shown)
        self.assertEqual(
            "data\n", self.tool("xenstore-list", "/local/domain/5")
        )
