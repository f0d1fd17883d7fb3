# SPDX-License-Identifier: Apache-2.0
"""Domains in build, and whose they are."""

import unittest

from nova_xen_overcommit.agent.hypervisor.base import HostMemory
from nova_xen_overcommit.agent.protocol import StartRequest
from nova_xen_overcommit.agent.reservations import Reservation
from nova_xen_overcommit.agent.unlisted import Unlisted
from tests.simulator import GIB, MIB

_KEPT_KIB = 512 * MIB


def granted(uuid: str, kib: int) -> Reservation:
    reservation = Reservation(StartRequest(uuid, uuid, GIB), 0.0, 60.0)
    reservation.grant(kib)
    return reservation


class UnlistedTest(unittest.TestCase):
    def setUp(self) -> None:
        # Given two granted starts, measured before either is in build
        self.dead = granted("dead", 300 * MIB)
        self.alive = granted("alive", 200 * MIB)
        self.unlisted = Unlisted()
        self.see(0, self.dead, self.alive)

    def see(
        self, building_kib: int, *left: Reservation, listed: str = ""
    ) -> int:
        """Measure the host, serve the starts; give the host's own share."""
        memory = HostMemory(8 * GIB, GIB, _KEPT_KIB + building_kib)
        seen = self.unlisted.steady(memory, left, {listed})
        self.unlisted.served(left)
        return seen.kept_kib

    def claims_kib(self, *left: Reservation) -> int:
        return self.unlisted.claims_kib(left, {})

    def test_what_is_in_build_is_not_the_hosts(self) -> None:
        both = self.dead, self.alive
        self.assertEqual(_KEPT_KIB, self.see(300 * MIB, *both))

    def test_what_a_start_has_taken_need_not_be_free_again(self) -> None:
        both = self.dead, self.alive
        self.see(300 * MIB, *both)
        self.assertEqual(200 * MIB, self.claims_kib(*both))

    def test_the_build_of_one_whose_client_died_is_nobody_elses(self) -> None:
        self.see(300 * MIB, self.alive)
        self.assertEqual(200 * MIB, self.claims_kib(self.alive))

    def test_what_is_more_is_anothers(self) -> None:
        self.see(450 * MIB, self.alive)
        self.assertEqual(50 * MIB, self.claims_kib(self.alive))

    def test_it_is_remembered_until_it_is_listed(self) -> None:
        for _ in range(3):
            self.see(300 * MIB, self.alive)
        self.assertEqual(200 * MIB, self.claims_kib(self.alive))
        self.see(150 * MIB, self.alive, listed="dead")
        self.assertEqual(50 * MIB, self.claims_kib(self.alive))

    def test_a_client_that_asks_again_has_its_build(self) -> None:
        self.see(300 * MIB, self.alive)
        again = granted("dead", 300 * MIB)
        self.see(300 * MIB, self.alive, again)
        self.assertEqual(200 * MIB, self.claims_kib(self.alive, again))

    def test_without_starts_it_is_the_hosts_own(self) -> None:
        self.assertEqual(_KEPT_KIB + 300 * MIB, self.see(300 * MIB))
        # And what comes on top is the next start's
        later = granted("later", 200 * MIB)
        self.see(300 * MIB, later)
        self.assertEqual(200 * MIB, self.claims_kib(later))
        self.see(500 * MIB, later)
        self.assertEqual(0, self.claims_kib(later))

    def test_one_granted_since_it_was_served_is_remembered(self) -> None:
        late = Reservation(StartRequest("late", "late", GIB), 0.0, 60.0)
        self.see(0, self.alive, late, listed="dead")
        late.grant(300 * MIB)
        self.see(300 * MIB, self.alive)
        self.assertEqual(200 * MIB, self.claims_kib(self.alive))
