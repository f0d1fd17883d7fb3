# SPDX-License-Identifier: Apache-2.0
"""A host that leaves nothing for guests is told of, once."""

import unittest

from tests.simulator import MIB
from tests.unit.agent.harness import Harness

LOGGER = "nova_xen_overcommit.agent.room"


class NothingLeftTest(unittest.TestCase):
    def setUp(self) -> None:
        self.world = Harness()
        self.reserve_kib = self.world.settings.reserve_kib

    def leave(self, usable_kib: int) -> None:
        """Let the host keep all but this, and the agent see it."""
        host = self.world.host
        host.kept_kib = host.physical_kib - usable_kib
        self.world.run(10)

    def test_it_is_said_once_not_in_each_pass(self) -> None:
        for usable_kib in (0, self.reserve_kib):
            with self.subTest(usable_kib=usable_kib):
                self.world.restart()
                # When many passes find no room
                with self.assertLogs(LOGGER, "WARNING") as logs:
                    self.leave(usable_kib)

                # Then one line tells how much there is, and what to do
                (line,) = logs.output
                self.assertIn(f"may have {usable_kib // MIB} MiB", line)
                self.assertIn("Lower host_reserved_mib", line)

    def test_when_it_comes_again_it_is_said_again(self) -> None:
        with self.assertLogs(LOGGER, "WARNING") as logs:
            for usable_kib in (0, 2 * self.reserve_kib, 0):
                self.leave(usable_kib)
        self.assertEqual(2, len(logs.output))

    def test_a_host_with_more_than_the_reserve_is_not_warned_of(self) -> None:
        with self.assertNoLogs(LOGGER):
            self.leave(self.reserve_kib + MIB)
