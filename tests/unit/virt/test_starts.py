# SPDX-License-Identifier: Apache-2.0
import contextlib
import unittest
from collections.abc import Iterator
from typing import Any

from oslo_config import cfg

from nova_xen_overcommit import conf, exception
from nova_xen_overcommit.agent import protocol
from nova_xen_overcommit.virt import errors, starts

GIB_KIB = 1024 * 1024
REQUEST = protocol.StartRequest(uuid="u", name="n", flavor_kib=GIB_KIB)


class Agent:
    """Grants a quarter, or fails with ``failure``."""

    def __init__(self) -> None:
        self.failure: exception.OvercommitError | None = None
        self.held: list[str] = []
        self.asked = 0

    @contextlib.contextmanager
    def reserve(self, request: Any, wait_s: float) -> Iterator[Any]:
        self.asked += 1
        with self._lease("start"):
            yield protocol.Grant(request.uuid, request.flavor_kib // 4)

    @contextlib.contextmanager
    def hold(self, uuid: str, reason: str) -> Iterator[None]:
        with self._lease(reason):
            yield

    @contextlib.contextmanager
    def _lease(self, what: str) -> Iterator[None]:
        if self.failure is not None:
            raise self.failure
        self.held.append(what)
        try:
            yield
        finally:
            self.held.remove(what)


class StartsTestCase(unittest.TestCase):
    """Reservations and holds."""

    def setUp(self) -> None:
        self.conf = cfg.ConfigOpts()
        conf.register_opts(self.conf)
        self.conf([])
        self.agent = Agent()
        self.mode = "overcommit"
        self.free_kib = 0
        self.starts = starts.Starts(
            self.conf, self.agent, lambda: self.mode, lambda: self.free_kib
        )

    def test_the_grant_lasts_as_long_as_the_start(self) -> None:
        with self.starts.reserve(REQUEST) as start_kib:
            self.assertEqual(GIB_KIB // 4, start_kib)
            self.assertEqual(["start"], self.agent.held)
        self.assertEqual([], self.agent.held)

    def test_a_failed_start_lets_go(self) -> None:
        failing = self.assertRaises(ZeroDivisionError)
        with failing, self.starts.reserve(REQUEST):
            raise ZeroDivisionError
        self.assertEqual([], self.agent.held)

    def test_observe_asks_nobody(self) -> None:
        self.mode = "observe"
        with self.starts.reserve(REQUEST) as start_kib:
            self.assertEqual(GIB_KIB, start_kib)
        self.assertEqual(0, self.agent.asked)

    def test_no_room_reschedules_without_naming_others(self) -> None:
        self.agent.failure = exception.NoRoom(
            asked_kib=262144,
            free_kib=1024,
            reclaimable_kib=2048,
            unyielding=["instance-stubborn"],
        )
        with (
            self.assertLogs(level="WARNING") as logs,
            self.assertRaises(errors.NoRoomOnHost) as caught,
            self.starts.reserve(REQUEST),
        ):
            pass
        text = caught.exception.format_message()
        self.assertIn("256 MiB needed to start, 1 MiB free, 2 MiB", text)
        self.assertNotIn("stubborn", text)
        self.assertIn("instance-stubborn", logs.output[0])

    def test_without_the_agent_all_must_be_free(self) -> None:
        self.agent.failure = exception.AgentUnavailable("gone")
        overhead_kib = 1024 + GIB_KIB // 128
        needed_kib = GIB_KIB + overhead_kib + 16 * 1024
        self.free_kib = needed_kib
        with self.starts.reserve(REQUEST) as start_kib:
            self.assertEqual(GIB_KIB, start_kib)
        self.free_kib = needed_kib - 1
        refused = self.assertRaises(errors.NoRoomOnHost)
        with refused, self.starts.reserve(REQUEST):
            pass

    def test_incoming_lasts_until_it_is_released(self) -> None:
        self.starts.reserve_incoming(REQUEST)
        self.assertEqual(["start"], self.agent.held)
        # A second try replaces the first
        self.starts.reserve_incoming(REQUEST)
        self.assertEqual(["start"], self.agent.held)
        self.starts.release_incoming("u")
        self.assertEqual([], self.agent.held)
        self.starts.release_incoming("u")

    def test_refused_incoming_leaves_nothing(self) -> None:
        self.agent.failure = exception.AgentUnavailable("gone")
        with self.assertRaises(errors.NoRoomOnHost):
            self.starts.reserve_incoming(REQUEST)
        self.starts.release_incoming("u")

    def test_a_hold_lasts_as_long_as_the_operation(self) -> None:
        with self.starts.hold("u", "snapshot"):
            self.assertEqual(["snapshot"], self.agent.held)
        self.assertEqual([], self.agent.held)

    def test_without_the_agent_the_operation_goes_on(self) -> None:
        self.agent.failure = exception.AgentUnavailable("gone")
        done = []
        with self.starts.hold("u", "snapshot"):
            done.append(True)
        self.assertEqual([True], done)

    def test_an_operation_s_own_failure_is_not_swallowed(self) -> None:
        failing = self.assertRaises(exception.AgentRefused)
        with failing, self.starts.hold("u", "snapshot"):
            raise exception.AgentRefused("the operation's own")
