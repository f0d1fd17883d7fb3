# SPDX-License-Identifier: Apache-2.0
"""A host with guests that say nothing, and one that wants memory.

The host is short by what the one wants, so all that the silent ones may give
is asked of them.
"""

import unittest

from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.policy import probe
from tests.simulator import GIB, MIB, SimulatedGuest
from tests.unit.agent.harness import Harness

GRACE_S = 180
STEP_KIB = 16 * MIB


class SilentTest(unittest.TestCase):
    """Three guests of 1 GiB that never spoke, and one that lacks memory."""

    count = 3

    def setUp(self) -> None:
        self.make()

    def make(self, **options) -> None:
        self.harness = Harness(**{"probe_silent_guests": True, **options})
        self.host = self.harness.host
        self.silent = [
            self.host.start(wants_kib=100 * MIB, file_kib=200 * MIB)
            for _ in range(self.count)
        ]
        for guest in self.silent:
            guest.silent = True
        self.needy = self.host.start(actual_kib=400 * MIB, wants_kib=200 * MIB)

    def need(self) -> None:
        """Let memory be wanted that only the silent ones have."""
        self.needy.wants_kib = GIB

    def tracked(self, guest: SimulatedGuest) -> TrackedGuest:
        return self.harness.balancer.guests[guest.uuid]

    def probe(self, guest: SimulatedGuest) -> probe.Probe:
        seen = self.tracked(guest).probe
        assert seen is not None
        return seen

    def taken_kib(self) -> int:
        return sum(GIB - guest.target_kib for guest in self.silent)
