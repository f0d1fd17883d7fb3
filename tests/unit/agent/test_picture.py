# SPDX-License-Identifier: Apache-2.0
"""Pictures are whole, shared, and never in the way of a pass."""

import threading
import time
import unittest
from typing import Any
from unittest import mock

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import picture, status
from tests.simulator import GIB, MIB
from tests.unit.agent.harness import Harness


class PictureTest(unittest.TestCase):
    def setUp(self) -> None:
        self.harness = Harness()
        self.guest = self.harness.host.start("web", wants_kib=400 * MIB)
        self.harness.run(5)
        self.agent = self.harness.agent

    def one(self) -> status.GuestStatus:
        (one,) = self.agent.pictured().guests
        return one

    def test_it_is_of_the_last_pass(self) -> None:
        # When a guest changes after the last pass
        before_kib = self.guest.actual_kib
        self.guest.actual_kib = before_kib - 100 * MIB
        # Then the picture has it as the pass saw it
        self.assertEqual(before_kib, self.one().actual_kib)
        self.harness.agent.tick()
        self.assertEqual(before_kib - 100 * MIB, self.one().actual_kib)

    def test_it_is_taken_once_between_two_passes(self) -> None:
        first = self.agent.pictured()
        self.assertIs(first.guests, self.agent.pictured().guests)
        self.agent.tick()
        self.assertIsNot(first.guests, self.agent.pictured().guests)

    def test_nothing_is_described_unless_somebody_asks(self) -> None:
        with mock.patch.object(status.GuestStatus, "of") as described:
            self.harness.run(5)
        described.assert_not_called()

    def test_ages_are_of_the_answer_not_of_the_picture(self) -> None:
        before_s = self.agent.pictured().passes.heartbeat_age_s
        self.harness.host.run(7)
        after_s = self.agent.pictured().passes.heartbeat_age_s
        assert before_s is not None
        self.assertEqual(before_s + 7, after_s)

    def test_a_failed_pass_ends_too(self) -> None:
        self.harness.host.unreachable = True
        self.harness.run(2)
        told = self.agent.pictured()
        self.assertTrue(told.whole)
        self.assertEqual(1, len(told.guests))
        self.assertIn("libvirtd is gone", told.passes.complaint)
        self.assertEqual(0.5, told.passes.heartbeat_age_s)
        self.assertEqual(2.5, told.passes.pass_ago_s)

    def test_before_any_pass_there_is_nothing_to_see(self) -> None:
        self.harness.restart()
        told = self.harness.agent.pictured()
        self.assertEqual((None, ()), (told.host, told.guests))
        self.assertIsNone(told.passes.heartbeat_age_s)
        self.assertIsNone(told.passes.pass_ago_s)
        self.assertNotIn("report", told.to_dict())

    def test_refused_starts_are_counted(self) -> None:
        self.assertEqual(0, self.agent.passes().refused_starts)
        request = self.harness.ask(flavor_kib=64 * GIB, wait_s=1).request
        with self.assertRaises(exception.NoRoom):  # noqa: SIM117
            with self.agent.reserve(request, 1, lambda: self.passes()):
                self.fail("it must not start")
        self.assertEqual(1, self.agent.passes().refused_starts)

    def passes(self) -> bool:
        """Let a pass go by; the client doesn't leave."""
        self.harness.run(0.5)
        return False


class UnderWayTest(unittest.TestCase):
    """What is told while a pass is under way, or hangs."""

    def setUp(self) -> None:
        self.harness = Harness()
        self.guest = self.harness.host.start("web")
        self.harness.run(5)
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.hang()

    def hang(self) -> None:
        stock = self.harness.host.domains

        def domains() -> Any:
            self.entered.set()
            self.go_on.wait(30)
            return stock()

        patched = mock.patch.object(self.harness.host, "domains", domains)
        patched.start()
        self.addCleanup(patched.stop)

    def begin(self) -> threading.Thread:
        thread = threading.Thread(target=self.harness.agent.tick)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.go_on.set)
        self.entered.wait(10)
        return thread

    def test_who_asks_waits_for_its_end(self) -> None:
        self.guest.actual_kib -= 100 * MIB
        now_kib = self.guest.actual_kib
        self.begin()
        later = threading.Timer(0.2, self.go_on.set)
        later.start()
        self.addCleanup(later.join)
        told = self.harness.agent.pictured()
        self.assertTrue(told.whole)
        self.assertEqual(now_kib, told.guests[0].actual_kib)

    def test_not_for_long_when_it_hangs(self) -> None:
        # Given somebody asked before, then a pass hangs
        before = self.harness.agent.pictured()
        self.begin()
        self.harness.host.clock.now_s += 12
        began_s = time.monotonic()
        told = self.harness.agent.pictured()
        self.assertLess(time.monotonic() - began_s, 3)
        self.assertIs(before.guests, told.guests)
        self.assertTrue(told.whole)
        self.assertEqual(12, told.passes.under_way_s)

    def test_a_picture_taken_late_is_said_not_to_be_whole(self) -> None:
        self.begin()
        told = self.harness.agent.pictured()
        self.assertFalse(told.whole)
        self.assertEqual(1, len(told.guests))

    def test_a_pass_waits_for_nobody(self) -> None:
        # Given somebody who takes a picture and never gets done
        taking, done = threading.Event(), threading.Event()

        def endless(*_args: Any) -> Any:
            taking.set()
            done.wait(30)

        self.go_on.set()
        with mock.patch.object(status.GuestStatus, "of", endless):
            asking = threading.Thread(target=self.harness.agent.pictured)
            asking.start()
            self.addCleanup(asking.join)
            self.addCleanup(done.set)
            self.assertTrue(taking.wait(10))
            # Then passes go on
            before = self.harness.agent.passes().passes
            self.harness.run(5)
            after = self.harness.agent.passes().passes
        self.assertEqual(10, after - before)


class CameraTest(unittest.TestCase):
    def test_a_pass_that_began_meanwhile_spoils_no_picture(self) -> None:
        harness = Harness()
        harness.host.start("web")
        harness.run(3)
        camera = picture.Camera(patience_s=0.1)
        host = harness.agent.pictured().host
        assert host is not None
        guests = list(harness.balancer.guests.values())
        camera.ended(picture.Scene(host, guests, 0))
        camera._turn = 0
        stock, calls = status.GuestStatus.of, []

        def interrupted(*args: Any) -> Any:
            calls.append(args)
            if len(calls) == 1:
                camera.began()
                camera.ended(picture.Scene(host, guests, 0))
            return stock(*args)

        with mock.patch.object(status.GuestStatus, "of", interrupted):
            taken = camera.picture()
        self.assertTrue(taken.whole)
        self.assertEqual(2, len(calls))
