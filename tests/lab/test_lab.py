# SPDX-License-Identifier: Apache-2.0
"""The short lab run as a test."""

import os
import unittest

from tests.lab import demo, lab


@unittest.skipIf(os.getuid(), "the lab needs root")
class TestOvercommit(unittest.TestCase):
    """On the real hypervisor, through the real API."""

    lab: lab.Lab

    @classmethod
    def setUpClass(cls) -> None:
        """Bring the lab up."""
        cls.lab = lab.Lab.up()
        cls.addClassCleanup(cls.lab.down)

    def test_more_instances_run_than_fit_and_none_is_lost(self) -> None:
        """Given three fit, when overcommit is on, then five live."""
        result = demo.play(self.lab, 5)
        self.assertEqual(3, result["placed_without"])
        self.assertEqual(5, result["placed_with"])
        self.assertEqual(0, result["violations"])
        self.assertEqual(0, result["lost"])
