# SPDX-License-Identifier: Apache-2.0
"""A published need starts a pass at once, and nobody can abuse that."""

import dataclasses
import threading
import time
import unittest

from oslo_config import cfg

from nova_xen_overcommit import conf as options
from nova_xen_overcommit.agent import core, news, xenstore
from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.agent.hypervisor.base import Domain
from nova_xen_overcommit.agent.sensors.written import WhoWrote
from nova_xen_overcommit.agent.sensors.xenstore_watch import XenstoreWatch
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy.floor import FloorRule
from nova_xen_overcommit.policy.sample import MemorySample
from tests import xenstore_double
from tests.simulator import GIB, MIB
from tests.unit.agent.harness import Harness

ACTUAL_KIB = 400 * MIB
IDLE_KIB, NEEDY_KIB = 150 * MIB, 370 * MIB
# Far below a tick, far above what a busy machine takes.
SOON_S = 0.5


def make_settings(mode: str = "balance") -> Settings:
    conf = cfg.ConfigOpts()
    options.register_opts(conf)
    conf([])
    conf.set_override("mode", mode, "xen_overcommit")
    return Settings.of(conf)


def make_guest(domain_id: int = 1, **changes) -> TrackedGuest:
    domain = Domain(
        uuid=f"uuid-{domain_id}",
        name=f"guest-{domain_id}",
        domain_id=domain_id,
        flavor_kib=GIB,
        actual_kib=ACTUAL_KIB,
        asked_kib=ACTUAL_KIB,
        overhead_kib=0,
        **changes,
    )
    return TrackedGuest.found(domain, 1.0, FloorRule(0.1, False))


def make_sample(used_kib: int) -> MemorySample:
    return MemorySample(2.0, 15.0, ACTUAL_KIB, ACTUAL_KIB - used_kib)


class WouldLackTest(unittest.TestCase):
    def lacks(self, guest: TrackedGuest, used_kib: int = NEEDY_KIB) -> bool:
        return guest.would_lack(make_sample(used_kib), make_settings())

    def test_a_guest_that_uses_nearly_all_it_has(self) -> None:
        self.assertTrue(self.lacks(make_guest()))

    def test_an_idle_guest(self) -> None:
        self.assertFalse(self.lacks(make_guest(), IDLE_KIB))

    def test_a_need_within_the_dead_band(self) -> None:
        # Demand is use, a tenth and 32 MiB: just above what it has
        self.assertFalse(self.lacks(make_guest(), 337 * MIB))
        self.assertTrue(self.lacks(make_guest(), 350 * MIB))

    def test_guests_that_are_not_to_be_touched(self) -> None:
        self.assertFalse(self.lacks(make_guest(busy="paused")))
        self.assertFalse(self.lacks(make_guest(exempt="huge pages")))
        held = make_guest()
        held.held = "migrates"
        self.assertFalse(self.lacks(held))

    def test_a_guest_that_has_its_flavor(self) -> None:
        guest = make_guest()
        guest.target_kib = GIB
        self.assertFalse(self.lacks(guest))

    def test_a_guest_that_moves_its_own_balloon(self) -> None:
        # Given one that uses nearly all it has, as it wants
        for more_mib, lacks in ((0, False), (-50, False), (50, True)):
            with self.subTest(more_mib=more_mib):
                said = dataclasses.replace(
                    make_sample(300 * MIB), self_more_kib=more_mib * MIB
                )
                # Then only its own word brings a pass
                self.assertEqual(
                    lacks, make_guest().would_lack(said, make_settings())
                )

    def test_asking_changes_nothing(self) -> None:
        guest = make_guest()
        self.lacks(guest)
        self.assertIsNone(guest.demand)
        self.assertIsNone(guest.sample)


class PaceTest(unittest.TestCase):
    def test_the_first_event_is_served_at_once(self) -> None:
        pace = news.Pace(0.2)
        pace.add([1])
        self.assertEqual([1], pace.due(10.0))
        self.assertIsNone(pace.next_s())

    def test_those_that_follow_are_served_together_and_not_lost(self) -> None:
        pace = news.Pace(0.2)
        pace.add([1])
        pace.due(10.0)
        for _ in range(1000):
            pace.add([1])
            self.assertEqual([], pace.due(10.1))
        self.assertAlmostEqual(10.2, pace.next_s() or 0)
        self.assertEqual([1], pace.due(10.21))
        self.assertEqual([], pace.due(11.0))

    def test_others_do_not_wait_for_a_chatty_one(self) -> None:
        pace = news.Pace(0.2)
        pace.add([1])
        pace.due(10.0)
        pace.add([1, 2])
        self.assertEqual([2], pace.due(10.01))


class WatchTest(unittest.TestCase):
    def setUp(self) -> None:
        self.daemon = xenstore_double.XenstoreDouble()
        self.addCleanup(self.daemon.__exit__)
        self.wakes: list[float] = []
        self.woken = threading.Event()
        self.settings = make_settings()
        self.wrote = WhoWrote()
        self.watch = XenstoreWatch(
            lambda: xenstore.Xenstore(self.daemon.path, timeout_s=1.0),
            lambda: self.settings,
            self.wake,
            self.wrote,
        )
        self.seq = 0

    def wake(self) -> None:
        self.wakes.append(time.monotonic())
        self.woken.set()

    def listen(self, *guests: TrackedGuest) -> None:
        self.watch.follow(guests)
        context = news.listening([self.watch])
        context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.await_watches(len(guests))

    def await_watches(self, count: int) -> None:
        deadline_s = time.monotonic() + 10
        while sum(map(len, self.daemon.store.watches.values())) != count:
            self.assertLess(time.monotonic(), deadline_s, "no watches")
            time.sleep(0.01)
        time.sleep(news.LOOK_EVERY_S)

    def publish(self, domain_id: int, used_kib: int) -> None:
        self.seq += 1
        self.daemon.guest_writes(
            domain_id,
            nova_xen_overcommit=(
                f"v=1 seq={self.seq} mem_total_kib={ACTUAL_KIB} "
                f"mem_available_kib={ACTUAL_KIB - used_kib} "
                "swap_total_kib=0 swap_free_kib=0"
            ),
        )

    def assert_wakes(self, domain_id: int) -> None:
        self.woken.clear()
        self.publish(domain_id, NEEDY_KIB)
        self.assertTrue(self.woken.wait(SOON_S), "not woken")

    def test_a_need_wakes_and_idleness_does_not(self) -> None:
        self.listen(make_guest(1), make_guest(2))
        self.publish(1, IDLE_KIB)
        self.assertFalse(self.woken.wait(0.3))
        self.assert_wakes(2)

    def test_a_need_that_was_there_before_wakes(self) -> None:
        self.publish(1, NEEDY_KIB)
        self.listen(make_guest(1))
        self.assertTrue(self.woken.wait(SOON_S))

    def test_where_nothing_is_moved_nothing_wakes(self) -> None:
        self.settings = make_settings("observe")
        self.listen(make_guest(1))
        self.publish(1, NEEDY_KIB)
        self.assertFalse(self.woken.wait(0.3))

    def test_guests_that_come_and_go(self) -> None:
        self.listen(make_guest(1))
        self.watch.follow([make_guest(2), make_guest(3)])
        self.await_watches(2)
        self.assert_wakes(2)

    def test_a_guest_that_writes_without_end(self) -> None:
        # Given a guest that publishes its need as fast as it can
        self.listen(make_guest(1), make_guest(2))
        before = self.daemon.server.requests
        began_s = time.monotonic()
        while time.monotonic() - began_s < 1.0:
            self.publish(1, NEEDY_KIB)
        # Then it is looked at five times a second, and wakes no more often
        self.assertLessEqual(len(self.wakes), 7)
        self.assertLessEqual(self.daemon.server.requests - before, 7)
        # And another one is served as ever
        self.settings = make_settings()
        self.assert_wakes(2)

    def test_garbage_ends_nothing(self) -> None:
        self.listen(make_guest(1), make_guest(2))
        for raw in (b"", b"\xff" * 4000, b"v=1 seq=" + b"9" * 3000):
            self.daemon.guest_writes(1, nova_xen_overcommit=raw)
        self.assert_wakes(2)

    def test_it_watches_again_after_the_daemon_was_away(self) -> None:
        self.listen(make_guest(1))
        self.daemon.stop()
        time.sleep(0.1)
        self.daemon.start()
        self.await_watches(1)
        self.assert_wakes(1)

    def test_who_wrote_is_told(self) -> None:
        # Given two guests that are watched
        self.assertIsNone(self.wrote.take())
        self.listen(make_guest(1), make_guest(2))
        # Then both may have written before that
        self.assertEqual({1, 2}, set(self.wrote.take()))
        # When one writes, be it in need or not, then it is named, once
        self.publish(2, IDLE_KIB)
        time.sleep(0.3)
        self.assertEqual({2}, set(self.wrote.take()))
        self.assertEqual({}, self.wrote.take())

    def test_while_nobody_watches_anyone_may_have_written(self) -> None:
        self.listen(make_guest(1), make_guest(2))
        self.wrote.take()
        # When the daemon goes, then nobody knows
        self.daemon.stop()
        time.sleep(0.3)
        self.assertIsNone(self.wrote.take())
        # When it is back and watched again, then all may have written
        self.daemon.start()
        self.await_watches(2)
        self.assertEqual({1, 2}, set(self.wrote.take()))

    def test_no_failure_ends_it(self) -> None:
        # Given something that nobody thought of goes wrong once
        self.listen(make_guest(1))
        good = self.settings
        self.settings = None
        with self.assertLogs("nova_xen_overcommit.agent.news"):
            self.publish(1, NEEDY_KIB)
            time.sleep(0.3)
        self.settings = good
        # Then it listens again soon
        time.sleep(news.RETRY_S)
        self.assert_wakes(1)


class Knock:
    """A source that wakes without end."""

    def __init__(self, wake) -> None:
        self._wake = wake
        self._leaving = threading.Event()
        self.followed = 0

    def follow(self, guests) -> None:
        self.followed = len(guests)

    def run(self) -> None:
        while not self._leaving.wait(0.001):
            self._wake()

    def close(self) -> None:
        self._leaving.set()


class BalanceTest(unittest.TestCase):
    def test_half_of_the_time_at_most_goes_into_passes(self) -> None:
        # Given passes that take 20 ms, and a source that wakes all the time
        harness = Harness(tick_interval_s=60)
        harness.host.start()
        source = Knock(harness.leases.changed.set)
        harness.host.domains = self.slow(harness.host.domains)
        agent = core.Agent(
            harness.conf,
            harness.balancer,
            harness.agent._reporter,
            harness.leases,
            core.Clock(),
            [source],
        )
        leaving = threading.Event()
        threading.Timer(1.0, leaving.set).start()
        core.balance(agent, leaving)
        # Then many passes come, but not back to back
        passes = agent.status()["passes"]
        self.assertGreater(passes, 5)
        self.assertLess(passes, 30)
        self.assertEqual(1, source.followed)

    @staticmethod
    def slow(method):
        def wrapper():
            time.sleep(0.02)
            return method()

        return wrapper
