# SPDX-License-Identifier: Apache-2.0
"""Guests are read in few calls, and none that hangs stops the others."""

import tempfile
import threading
import time
import unittest
from typing import Any
from unittest import mock

import libvirt

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.hypervisor import (
    base,
    kinds,
    libvirt_host,
    patience,
)
from tests.unit.agent.test_hypervisor import MIB, NODE, domain_xml

PATIENCE_S = 0.2


def _asks(name: str) -> bool:
    """Tell whether the call asks libvirt, not only its own handle."""
    return name not in ("ID", "name", "UUIDString", "isAlive")


class Handle:
    """A domain whose calls may hang."""

    def __init__(self, handle: Any, world: "Connection") -> None:
        self._handle = handle
        self._world = world

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._handle, name)
        return self._world.watched(method, self._handle.name(), name)


class Connection:
    """A real connection with calls that hang, counted."""

    def __init__(self, connection: Any, kind: str = "Test") -> None:
        self._connection = connection
        self._kind = kind
        self.hanging: set[str] = set()
        self.go_on = threading.Event()
        self.calls: list[str] = []
        self.more_statistics: dict[str, int] = {}

    def watched(self, method: Any, *names: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.calls.append(names[-1])
            if self.hanging.intersection(names) and _asks(names[-1]):
                self.go_on.wait(10)
                raise libvirt.libvirtError("much later")
            return method(*arguments)

        return call

    def getType(self) -> str:  # noqa: N802
        return self._kind

    def lookupByID(self, number: int) -> Handle:  # noqa: N802
        return Handle(self._connection.lookupByID(number), self)

    def lookupByUUIDString(self, uuid: str) -> Handle:  # noqa: N802
        return Handle(self._connection.lookupByUUIDString(uuid), self)

    def getAllDomainStats(self, _stats: int, flags: int) -> list:  # noqa: N802
        assert flags & libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        return [
            (
                h,
                {
                    "state.state": h.info()[0],
                    "balloon.current": h.info()[2],
                    **self.more_statistics,
                },
            )
            for h in self._connection.listAllDomains()
        ]

    def __getattr__(self, name: str) -> Any:
        return self.watched(getattr(self._connection, name), name)


class CensusTest(unittest.TestCase):
    def setUp(self) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as node:
            node.write(NODE)
            node.flush()
            self.real = libvirt_host.connect(f"test://{node.name}")
        self.addCleanup(self.real.close)

    def connect(self, kind: str = "Test") -> None:
        self.connection = Connection(self.real, kind)
        self.addCleanup(self.connection.go_on.set)
        self.hypervisor = libvirt_host.LibvirtHypervisor(
            lambda: self.connection, patience_s=PATIENCE_S
        )

    def start(self, *names: str) -> None:
        for name in names:
            self.real.createXML(domain_xml(name=name), 0)

    def names(self) -> list[str]:
        return sorted(domain.name for domain in self.hypervisor.domains())

    def domain(self, name: str) -> base.Domain:
        return next(
            domain
            for domain in self.hypervisor.domains()
            if domain.name == name
        )


class CallsTest(CensusTest):
    def test_what_is_constant_is_read_once(self) -> None:
        self.connect()
        self.start(*(f"guest{n}" for n in range(20)))
        self.hypervisor.domains()
        # When nothing changes
        self.connection.calls.clear()
        before = self.hypervisor.domains()
        # Then a guest costs one call, and one has its definition read again
        calls = self.connection.calls
        self.assertEqual(20, calls.count("info"))
        self.assertEqual(1, calls.count("XMLDesc"))
        self.assertNotIn("lookupByID", calls)
        self.assertEqual(before, self.hypervisor.domains())

    def test_statistics_are_one_call_for_all(self) -> None:
        self.connect("QEMU")
        self.start("one", "two")
        self.real.lookupByName("two").suspend()
        self.assertEqual(512 * MIB, self.domain("one").actual_kib)
        self.assertEqual("paused", self.domain("two").busy)
        self.assertNotIn("info", self.connection.calls)

    def test_what_a_process_holds_beyond_its_balloon_counts(self) -> None:
        # Given a guest of 512 MiB of which little is touched
        self.connect("QEMU")
        self.start("one")
        statistics = self.connection.more_statistics
        statistics["balloon.rss"] = 100 * MIB
        estimate_kib = self.domain("one").overhead_kib
        self.assertGreater(estimate_kib, 0)
        # When it has more than its balloon leaves it
        statistics["balloon.rss"] = (512 + 200) * MIB + kinds.SHARED_KIB
        self.assertEqual(200 * MIB, self.domain("one").overhead_kib)
        # And QEMU is busy, or only its definition is read again
        del statistics["balloon.rss"]
        self.assertEqual(200 * MIB, self.domain("one").overhead_kib)
        # And it has given that back
        statistics["balloon.rss"] = 100 * MIB
        self.assertEqual(estimate_kib, self.domain("one").overhead_kib)

    def test_a_guest_that_was_started_anew_is_read_anew(self) -> None:
        self.connect()
        self.start("one")
        before = self.domain("one")
        self.real.lookupByName("one").destroy()
        self.assertEqual([], self.names())
        self.start("one")
        self.assertNotEqual(before.domain_id, self.domain("one").domain_id)

    def test_a_changed_definition_is_seen(self) -> None:
        # Given a guest that may be ballooned
        self.connect()
        self.start("one")
        self.assertEqual("", self.domain("one").exempt)
        # When its metadata forbids it from now on
        self.real.lookupByName("one").setMetadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT,
            "<guest overcommit='no'/>",
            "x",
            "https://opendev.org/x/nova-xen-overcommit/xmlns/guest/1.0",
            libvirt.VIR_DOMAIN_AFFECT_LIVE,
        )
        # Then the next pass knows
        self.assertIn("forbids", self.domain("one").exempt)

    def test_a_lost_connection_is_not_taken_for_lost_guests(self) -> None:
        self.connect()
        self.start("one")
        self.hypervisor.domains()
        self.connection.isAlive = lambda: len(self.connection.calls) < 1
        self.real.lookupByName("one").destroy()
        self.connection.listDomainsID = lambda: [1]
        self.connection.calls.clear()
        with self.assertRaisesRegex(exception.HypervisorError, "lost"):
            self.hypervisor.domains()


class TargetsTest(CensusTest):
    """What a guest was asked for last, whoever asked."""

    def connect(self, kind: str = "Test") -> None:
        super().connect(kind)
        self.start("one")

    def asked_kib(self) -> int:
        return self.domain("one").asked_kib

    def test_what_somebody_else_asks_is_told(self) -> None:
        self.connect()
        self.assertEqual(512 * MIB, self.asked_kib())
        # When an operator asks for less
        self.real.lookupByName("one").setMemory(300 * MIB)
        self.assertEqual(300 * MIB, self.asked_kib())

    def test_what_is_told_is_never_of_the_pass_before(self) -> None:
        self.connect()
        self.names()
        # When a guest is asked for something in each pass
        for mib in (400, 300, 350, 200):
            self.hypervisor.set_target(self.domain("one"), mib * MIB)
            # Then the next pass is told of that, not of an earlier one
            self.assertEqual(mib * MIB, self.asked_kib())

    def test_a_libvirtd_started_anew_asks_for_nothing(self) -> None:
        # Given a guest that was asked for 300 MiB
        self.connect()
        self.hypervisor.set_target(self.domain("one"), 300 * MIB)
        self.assertEqual(300 * MIB, self.asked_kib())
        # When libvirtd is restarted, and tells of what the guest began with
        self.connection.isAlive = lambda: False
        self.connection = Connection(self.real)
        self.addCleanup(self.connection.go_on.set)
        self.real.lookupByName("one").setMemory(512 * MIB)
        # Then that is no new target, now and later
        self.assertEqual(300 * MIB, self.asked_kib())
        # But what is asked then is
        self.real.lookupByName("one").setMemory(400 * MIB)
        self.assertEqual(400 * MIB, self.asked_kib())

    def test_what_a_guest_has_is_not_what_it_was_asked_for(self) -> None:
        # Given QEMU, whose definitions tell what guests have
        self.connect("QEMU")
        self.assertEqual(512 * MIB, self.asked_kib())
        # When its balloon has come half of its way
        self.real.lookupByName("one").setMemory(400 * MIB)
        self.assertEqual(512 * MIB, self.asked_kib())


class HangTest(CensusTest):
    def hang(self, *names: str) -> None:
        self.connection.hanging = set(names)

    def timed_names(self) -> list[str]:
        began_s = time.monotonic()
        names = self.names()
        self.assertLess(time.monotonic() - began_s, 10 * PATIENCE_S)
        return names

    def test_others_are_read_while_a_guest_starts(self) -> None:
        # Given a Xen host on which one of three guests is locked
        self.connect("Xen")
        self.start("dom0", "one", "two", "three")
        self.names()
        self.hang("two")
        # Then the others are read, and no pass waits twice
        self.assertIn("three", self.timed_names())
        began_s = time.monotonic()
        self.assertNotIn("two", self.names())
        self.assertLess(time.monotonic() - began_s, PATIENCE_S)
        # When it is free again, then it is read again
        self.hang()
        self.connection.go_on.set()
        time.sleep(PATIENCE_S)
        self.assertIn("two", self.names())

    def test_a_locked_guest_is_left_alone_where_it_keeps_its_memory(self):
        self.connect()
        self.start("one", "two")
        self.names()
        self.hang("two")
        self.assertEqual(["one", "two"], self.timed_names())
        locked = self.domain("two")
        self.assertEqual("not answering", locked.busy)
        self.assertEqual(512 * MIB, locked.actual_kib)

    def test_known_guests_are_read_while_listing_hangs(self) -> None:
        self.connect()
        self.start("one")
        self.names()
        self.start("two")
        self.hang("listDomainsID")
        self.real.lookupByName("one").setMemory(300 * MIB)
        self.assertEqual(["one"], self.timed_names())
        self.assertEqual(300 * MIB, self.domain("one").actual_kib)

    def test_guests_in_need_do_not_wait_for_a_list_that_hangs(self) -> None:
        # Given much patience with what guests are asked
        self.connect()
        self.hypervisor._patience._patience_s = 60.0
        self.start("one")
        self.names()
        self.hang("listDomainsID")
        # Then the list is given up soon: the domain that starts can wait
        began_s = time.monotonic()
        self.assertEqual(["one"], self.names())
        self.assertLess(time.monotonic() - began_s, 5.0)

    def test_without_known_guests_it_is_an_error(self) -> None:
        self.connect()
        self.hang("listDomainsID")
        with self.assertRaisesRegex(exception.HypervisorError, "no answer"):
            self.hypervisor.domains()

    def test_a_hanging_change_of_memory_ends_in_time(self) -> None:
        # Given a guest whose memory libvirt can't change now
        self.connect()
        self.start("one", "two")
        one, two = self.domain("one"), self.domain("two")
        self.hang("one")
        # Then asking fails soon, and says whom
        began_s = time.monotonic()
        with self.assertRaisesRegex(base.Unanswered, "guest one"):
            self.hypervisor.set_target(one, 300 * MIB)
        self.assertLess(time.monotonic() - began_s, 10 * PATIENCE_S)
        # And others are not concerned
        self.hypervisor.set_target(two, 300 * MIB)
        self.assertEqual(300 * MIB, self.domain("two").actual_kib)

    def test_a_change_of_memory_may_be_done_when_libvirtd_goes(self) -> None:
        # Given a libvirtd that does what it is asked for, and is gone
        self.connect()
        self.start("one")
        one = self.domain("one")
        lookup = self.connection.lookupByUUIDString

        def lookup_and_lose(uuid: str) -> Any:
            handle = lookup(uuid)
            handle.setMemoryFlags = self.lose
            return handle

        self.connection.lookupByUUIDString = lookup_and_lose
        # Then nobody knows whether it is done
        with self.assertRaisesRegex(base.Unanswered, "guest one"):
            self.hypervisor.set_target(one, 300 * MIB)

    def lose(self, *_arguments: int) -> None:
        self.connection.isAlive = lambda: False
        raise libvirt.libvirtError("end of file while reading")


class PatienceTest(unittest.TestCase):
    def setUp(self) -> None:
        self.patience = patience.Patience(PATIENCE_S)
        self.addCleanup(self.patience.close)
        self.go_on = threading.Event()
        self.addCleanup(self.go_on.set)

    def test_what_a_call_raises_is_raised(self) -> None:
        with self.assertRaises(ZeroDivisionError):
            self.patience.call("x", lambda: 1 // 0)

    def test_a_slow_reading_is_no_hanging_one(self) -> None:
        def read(number: int) -> int:
            time.sleep(PATIENCE_S / 2)
            return number

        numbers = list(range(10))
        self.assertEqual(numbers, self.patience.each(numbers, str, read))

    def test_the_first_answer_is_waited_for_no_longer(self) -> None:
        # Given a sweep of which nothing comes
        sweep = patience._Sweep([1, 2], str)
        waits: list[float] = []
        sweep.ended.wait = lambda wait_s: bool(waits.append(wait_s))
        # Then it is given up when its time is over, once
        self.assertFalse(sweep.ends(PATIENCE_S))
        self.assertEqual([PATIENCE_S], waits)

    def test_what_ends_while_it_is_given_up_is_no_fault(self) -> None:
        # Given answers that come just after the last look
        def ends(sweep: patience._Sweep, _patience_s: float) -> bool:
            sweep.ended.wait(10)
            return False

        with mock.patch.object(patience._Sweep, "ends", ends):
            found = self.patience.each([1, 2], str, str)
        self.assertEqual(["1", "2"], found)
        self.assertFalse(self.patience.hangs("2"))

    def test_threads_that_hang_are_bounded(self) -> None:
        before = threading.active_count()
        for number in range(20):
            with self.assertRaises(base.Unanswered):
                self.patience.call(number, self.go_on.wait)
        self.assertLess(threading.active_count() - before, 10)
