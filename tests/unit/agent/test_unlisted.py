# SPDX-License-Identifier: Apache-2.0
"""Domains in build, and whose they are."""

import unittest
from collections.abc import Sequence

from nova_xen_overcommit.agent.hypervisor.base import Domain, HostMemory
from nova_xen_overcommit.agent.protocol import StartRequest
from nova_xen_overcommit.agent.reservations import Reservation
from nova_xen_overcommit.agent.unlisted import Unlisted
from tests.simulator import GIB, MIB
from tests.unit.agent.harness import Harness

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
        self,
        building_kib: int,
        *left: Reservation,
        listed: str = "",
        freed_kib: int = 0,
    ) -> int:
        """Measure the host, serve the starts; give the host's own share."""
        memory = HostMemory(8 * GIB, GIB, _KEPT_KIB + building_kib)
        seen = self.unlisted.steady(memory, left, {listed}, lambda: freed_kib)
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

    def test_who_is_torn_down_makes_the_host_no_smaller(self) -> None:
        # Given a guest that is torn down: 200 MiB of it were free already
        # when the host was measured, and are no longer listed now
        kept_kib = self.see(-200 * MIB, self.alive, freed_kib=200 * MIB)
        # Then the host keeps what it kept
        self.assertEqual(_KEPT_KIB, kept_kib)
        # And all that the start hasn't taken must be free for it
        self.see(0, self.alive)
        self.assertEqual(200 * MIB, self.claims_kib(self.alive))

    def test_that_holds_before_a_start_too(self) -> None:
        self.see(0)
        self.see(-200 * MIB, freed_kib=200 * MIB)
        self.assertEqual(_KEPT_KIB, self.see(0, self.alive))

    def test_a_host_that_keeps_less_is_believed(self) -> None:
        self.assertEqual(
            _KEPT_KIB - 200 * MIB, self.see(-200 * MIB, self.alive)
        )

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


class TornDownTest(unittest.TestCase):
    """A guest that ends while the host is measured, as Xen shows it."""

    def setUp(self) -> None:
        self.harness = Harness()
        self.going = self.harness.host.start(actual_kib=256 * MIB)
        self.harness.host.start(actual_kib=GIB)
        self.harness.host.host_memory = self.measured
        self.gone_after_listing = False
        self.harness.run(2)

    def measured(self, domains: Sequence[Domain]) -> HostMemory:
        """Measure after ``domains`` were listed; what is missing is kept."""
        host = self.harness.host
        if self.gone_after_listing and self.going.uuid in host.guests:
            host.end(self.going)
        held_kib = sum(one.actual_kib + one.overhead_kib for one in domains)
        kept_kib = host.physical_kib - host.free_kib - held_kib
        return HostMemory(host.physical_kib, host.free_kib, kept_kib)

    def usable_mib(self) -> int:
        return int(self.harness.agent.report()["usable_mib"])

    def test_its_memory_counts_once(self) -> None:
        # Given a start that was granted, and whose domain isn't there yet
        self.harness.ask()
        self.harness.run(2)
        before_mib = self.usable_mib()
        # When a guest is gone after it was listed, and its memory is free
        self.gone_after_listing = True
        self.harness.run(0.5)
        # Then guests may have no more than before, then and later
        self.assertEqual(before_mib, self.usable_mib())
        self.harness.run(2)
        self.assertEqual(before_mib, self.usable_mib())
