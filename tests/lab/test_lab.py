# SPDX-License-Identifier: Apache-2.0
"""The short lab run as a test."""

import os
import unittest

from tests.lab import check, lab


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
        """Given three fit, when overcommit is on, then five live.

        They live on, and each gets what it needs, without Nova, with the
        agent killed, and among guests that lie; without the agent Nova
        places nothing beyond physical memory.
        """
        self.assertEqual([], check.run(self.lab))
