# SPDX-License-Identifier: Apache-2.0
"""From a question to hosts and options."""

import unittest

from nova_xen_overcommit import exception
from nova_xen_overcommit.whatif import simulation
from nova_xen_overcommit.whatif.simulation import Question
from tests.unit.whatif import worlds
from tests.unit.whatif.worlds import row


class HostsTest(unittest.TestCase):
    def asked(self, size_gib: float, **question: float) -> dict[str, float]:
        trace = worlds.trace([int(size_gib * 1024)], [row(0, 3, 1)])
        result = simulation.simulate(trace, Question(**question))
        asked: dict[str, float] = result["asked"]
        return asked

    def test_by_default_the_largest_guest_fits(self) -> None:
        for size_gib, host_gib in ((1, 256), (253, 256), (255, 512)):
            with self.subTest(size_gib=size_gib):
                self.assertEqual(host_gib, self.asked(size_gib)["host_gib"])

    def test_what_the_host_keeps(self) -> None:
        self.assertEqual(512, self.asked(1)["kept_mib"])
        self.assertEqual(4096, self.asked(1, kept_mib=4096)["kept_mib"])
        with self.assertRaisesRegex(
            exception.InvalidConfiguration, "^--kept-mib -1: "
        ):
            self.asked(1, kept_mib=-1)

    def test_a_size_that_is_asked_for_is_taken(self) -> None:
        self.assertEqual(3.5, self.asked(1, host_gib=3.5)["host_gib"])

    def test_time_to_fill(self) -> None:
        # A third of three steps
        self.assertEqual(0.003, self.asked(1)["fill_days"])
        self.assertEqual(2.0, self.asked(1, fill_days=2.0)["fill_days"])
