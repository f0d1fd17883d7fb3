# SPDX-License-Identifier: Apache-2.0
"""What guests cost beside their memory is nobody's to have."""

import unittest

from nova_xen_overcommit import report
from tests.simulator import GIB, MIB, SimulatedHost
from tests.unit.agent.harness import Harness


def harness_of(usable_mib: int, overhead_mib: int, **options) -> Harness:
    host = SimulatedHost(
        usable_mib * MIB, 0, guest_overhead_kib=overhead_mib * MIB
    )
    return Harness(host, **options)


class OverheadTest(unittest.TestCase):
    def test_starts_of_one_pass_count_each_others(self) -> None:
        # Given room for six guests of 256 MiB that cost 40 more, and for the
        # reserve
        harness = harness_of(2560, 40, reserve_mib=600)
        # When eight ask at once
        starts = [
            harness.ask(flavor_kib=256 * MIB, floor_kib=256 * MIB)
            for _ in range(8)
        ]
        harness.run(1)
        # Then six may start, though the reserve would hold a seventh
        granted = [start for start in starts if start.granted_kib is not None]
        self.assertEqual(starts[:6], granted)
        failure = starts[-1].failure
        self.assertIn("the floors of all guests", str(failure))

    def test_the_scheduler_is_told_of_guests_and_starts(self) -> None:
        harness = harness_of(4096, 40)
        harness.boot(flavor_kib=GIB)
        harness.ask(flavor_kib=GIB)
        harness.run(2)
        told = report.HostReport.from_dict(harness.agent.report())
        self.assertEqual(80, told.overhead_mib)
        self.assertEqual(170 + 170 + 80, told.floors_mib)
