# SPDX-License-Identifier: Apache-2.0
"""Tests of what the collector of cycles is asked to do, and why."""

import gc
import pathlib
import subprocess
import sys
import unittest

from nova_xen_overcommit.agent import collector

_ROOT = pathlib.Path(__file__).parents[3]


class CollectorTest(unittest.TestCase):
    def tearDown(self):
        gc.unfreeze()
        gc.set_threshold(*self.before)
        gc.enable()

    def setUp(self):
        self.before = gc.get_threshold()

    def test_passes_leave_nothing_to_collect(self):
        # Given a process of its own, as other tests leave cycles behind
        # When passes go by without the collector
        command = [sys.executable, "-m", "tests.unit.agent.uncollected"]
        told = subprocess.run(
            command, cwd=_ROOT, capture_output=True, text=True, check=False
        )
        # Then it finds nothing that they left
        self.assertEqual("0\n", told.stdout, told.stderr)

    def test_what_is_there_is_walked_through_no_more(self):
        # Given a process that is ready
        there = len(gc.get_objects())
        # When the collector is calmed
        collector.calm()
        # Then only new objects are its business, and not each few of them
        self.assertLess(len(gc.get_objects()), there // 10)
        self.assertGreater(gc.get_threshold()[0], self.before[0])

    def test_cycles_are_still_found(self):
        # Given the collector as the agent has it
        collector.calm()
        collected = sum(s["collected"] for s in gc.get_stats())
        # When something makes one cycle after another
        for _ in range(3 * gc.get_threshold()[0]):
            cycle = []
            cycle.append(cycle)
        # Then most of them are gone
        found = sum(s["collected"] for s in gc.get_stats()) - collected
        self.assertGreater(found, gc.get_threshold()[0])
