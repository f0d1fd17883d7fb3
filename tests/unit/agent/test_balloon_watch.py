# SPDX-License-Identifier: Apache-2.0
"""A need that a KVM guest's statistics show starts a pass at once."""

import threading
import unittest

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import news
from nova_xen_overcommit.agent.sensors.balloon_watch import BalloonWatch
from tests.unit.agent.test_news import (
    IDLE_KIB,
    NEEDY_KIB,
    make_guest,
    make_sample,
    make_settings,
)


class Told:
    """A sensor that gives what the test says, and what it is asked."""

    def __init__(self) -> None:
        self.samples = {}
        self.asked = 0
        self.fails: Exception | None = None
        self.closed = threading.Event()

    def read(self, guests):
        self.asked += 1
        if self.fails:
            raise self.fails
        present = {guest.uuid for guest in guests}
        return {u: s for u, s in self.samples.items() if u in present}

    def close(self) -> None:
        self.closed.set()


class BalloonWatchTest(unittest.TestCase):
    def setUp(self) -> None:
        self.sensor = Told()
        self.woken = threading.Event()
        self.mode = "balance"
        self.watch = BalloonWatch(
            self.sensor, lambda: make_settings(self.mode), self.woken.set
        )
        self.watch.follow([make_guest(1), make_guest(2)])

    def says(self, domain_id: int, used_kib: int) -> bool:
        """Let a guest's statistics be new; tell whether that woke."""
        self.sensor.samples[f"uuid-{domain_id}"] = make_sample(used_kib)
        return self.wakes()

    def wakes(self) -> bool:
        self.woken.clear()
        self.watch.look()
        return self.woken.is_set()

    def test_a_need_wakes_and_idleness_does_not(self) -> None:
        self.assertFalse(self.says(1, IDLE_KIB))
        self.assertTrue(self.says(2, NEEDY_KIB))

    def test_what_was_told_before_does_not_wake_again(self) -> None:
        self.says(1, NEEDY_KIB)
        self.assertFalse(self.wakes())
        self.assertTrue(self.says(1, NEEDY_KIB))

    def test_where_nothing_is_moved_nobody_is_looked_at(self) -> None:
        self.mode = "observe"
        self.assertFalse(self.says(1, NEEDY_KIB))
        self.assertEqual(0, self.sensor.asked)

    def test_guests_that_are_gone_are_not_looked_at(self) -> None:
        self.watch.follow([make_guest(2)])
        self.assertFalse(self.says(1, NEEDY_KIB))

    def test_it_looks_by_itself_and_no_failure_ends_it(self) -> None:
        # Given a libvirtd that is away
        self.sensor.fails = exception.HypervisorError("libvirt is away")
        self.sensor.samples["uuid-1"] = make_sample(NEEDY_KIB)
        with (
            self.assertLogs("nova_xen_overcommit.agent.news") as logs,
            news.listening([self.watch]),
        ):
            while not self.sensor.asked:
                self.assertFalse(self.woken.wait(0.01))
            # When it is back, then the need is seen
            self.sensor.fails = None
            self.assertTrue(self.woken.wait(10))
        self.assertEqual(1, len(logs.output))
        self.assertTrue(self.sensor.closed.is_set())

    def test_looking_takes_a_tenth_of_the_time(self) -> None:
        # Given that looking takes two seconds, by the watch's clock
        times_s = iter(range(0, 100, 2))
        self.watch._monotonic_s = lambda: float(next(times_s))
        rests_s = []

        def wait(rest_s: float) -> bool:
            rests_s.append(rest_s)
            return len(rests_s) > 2

        self.watch._leaving.wait = wait
        self.watch.run()
        self.assertEqual([news.LOOK_EVERY_S, 18.0, 18.0], rests_s)
