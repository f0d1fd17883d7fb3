# SPDX-License-Identifier: Apache-2.0
"""Counting refusals, in a request and in a process."""

import threading
import unittest

from oslo_reports import guru_meditation_report

from nova_xen_overcommit.scheduler import tally
from nova_xen_overcommit.scheduler.admission import Reason


class TallyTest(unittest.TestCase):
    def test_reasons_come_most_frequent_first(self) -> None:
        # Given a host refused for its promise, and five under pressure
        one = tally.Tally()
        one.refuse("a", Reason.PROMISE)
        for name in "bcdef":
            one.refuse(name, Reason.PRESSURE)
        # Then the text has all counts, and names three hosts of each
        self.assertEqual("pressure 5 (b, c, d, ...), promise 1 (a)", str(one))
        self.assertEqual({"promise": 1, "pressure": 5}, one.counts)

    def test_nothing_refused(self) -> None:
        self.assertEqual("", str(tally.Tally()))


class TotalsTest(unittest.TestCase):
    def test_tallies_add_up(self) -> None:
        # Given two requests, each refused by a host for its floors
        totals = tally.Totals()
        for hosts in (3, 4):
            one = tally.Tally()
            one.hosts = hosts
            one.refuse("a", Reason.FLOORS)
            totals.add(one)
        # Then both are in the totals
        self.assertEqual((2, 7, {"floors": 2}), totals.figures())

    def test_threads_lose_no_count(self) -> None:
        # Given four threads that count a thousand requests each
        totals = tally.Totals()
        one = tally.Tally()
        one.hosts = 1
        one.refuse("a", Reason.START)

        def count() -> None:
            for _ in range(1000):
                totals.add(one)

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # Then none is lost
        self.assertEqual((4000, 4000, {"start": 4000}), totals.figures())


class Version:
    """What the report's head asks a service for."""

    def vendor_string(self) -> str:
        return "OpenStack Foundation"

    def product_string(self) -> str:
        return "OpenStack Nova"

    def version_string_with_package(self) -> str:
        return "34.0.0"


class GuruMeditationTest(unittest.TestCase):
    """The report that nova-scheduler writes when it gets SIGUSR2."""

    def test_the_totals_are_in_it_once(self) -> None:
        # Given a process in which filters were made twice
        tally.register()
        tally.register()
        one = tally.Tally()
        one.hosts = 1
        one.refuse("a", Reason.GUEST_SWAP)
        tally.TOTALS.add(one)
        # When its report is written
        report = guru_meditation_report.TextGuruMeditation(Version())
        text = str(report.run())
        # Then each reason is there with its count, in one section
        self.assertEqual(1, text.count(tally.TITLE))
        count = tally.TOTALS.figures().refused[Reason.GUEST_SWAP]
        self.assertRegex(text, rf"guest_swap += {count}\n")
        for reason in Reason:
            self.assertIn(f"  {reason} = ", text)
