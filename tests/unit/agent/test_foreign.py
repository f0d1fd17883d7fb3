# SPDX-License-Identifier: Apache-2.0
"""Guests that Nova knows nothing of, and what is left for Nova's.

A host of 4096 MiB, 3584 of them for guests, 128 of these the reserve. One
guest of 1024 MiB was started past Nova. Guests are in their warm-up, so
nobody's memory is idle: 2432 MiB are left, wherever they are placed.
"""

import unittest
from typing import Any

from nova_xen_overcommit.guest_metadata import GuestMetadata
from nova_xen_overcommit.report import HostReport
from nova_xen_overcommit.scheduler import admission
from nova_xen_overcommit.virt import capacity
from tests.simulator import GIB, MIB, SimulatedGuest
from tests.unit.agent.harness import Harness

USABLE_MIB = 3584
RESERVE_MIB = 128
LEFT_MIB = USABLE_MIB - RESERVE_MIB - 1024
LIMITS = admission.Limits(max_age_s=180, clock_skew_s=30)


class ForeignTest(unittest.TestCase):
    """What the scheduler and Placement are told of such a host."""

    options: dict[str, Any] = {"warm_up_s": 100_000}

    def setUp(self) -> None:
        self.harness = Harness(**self.options)
        self.stranger = self.appear()
        self.harness.run(5)

    def appear(self, wants_kib: int = GIB) -> SimulatedGuest:
        guest = self.harness.host.start("stranger", wants_kib=wants_kib)
        guest.foreign = True
        return guest

    def report(self) -> HostReport:
        self.harness.agent.tick()
        return HostReport.from_dict(self.harness.agent.report())

    def capacity_mib(self) -> int:
        """Give the capacity in Placement."""
        made = self.report()
        return capacity.wanted_mib(made.mode, 4096, made, 0)

    def passes(self, memory_mib: int, placed_mib: int, instances: int) -> bool:
        """Ask the filter, where Nova counts so much on the host."""
        made = self.report()
        request = admission.Request(memory_mib, swap_mib=memory_mib)
        host = admission.HostFigures(
            4096, 4096 - placed_mib, 0, instances=instances
        )
        why = admission.decide(made, request, host, made.time_s, LIMITS)
        return why is None


class PromiseTest(ForeignTest):
    def test_what_it_has_is_not_promised_twice(self) -> None:
        self.assertEqual(LEFT_MIB, self.capacity_mib())
        self.assertTrue(self.passes(LEFT_MIB, 0, 0))
        self.assertFalse(self.passes(LEFT_MIB + 1, 0, 0))

    def test_without_overcommit_neither(self) -> None:
        for mode in ("balance", "observe"):
            self.harness.conf.set_override("mode", mode, "xen_overcommit")
            with self.subTest(mode=mode):
                made = self.report()
                left_mib = USABLE_MIB - 1024
                for report in (made, None):
                    last_mib = capacity.novas_mib(made)
                    found = capacity.wanted_mib(
                        "balance", 4096, report, last_mib
                    )
                    self.assertEqual(left_mib, found)

    def test_it_counts_in_all_that_protects_the_host(self) -> None:
        made = self.report()
        self.assertEqual(1024, made.peak_mib)
        self.assertEqual(170, made.floors_mib)
        self.assertEqual(1024, made.demand_mib)
        self.assertEqual((0, 0), (made.committed_mib, made.guests))
        self.assertEqual(1024, made.foreign_mib)

    def test_its_flavor_needs_swap_as_all_do(self) -> None:
        # Given it has no swap, and Nova's have as much as memory
        self.stranger.metadata = GuestMetadata()
        made = self.report()
        self.assertEqual(0, made.swap_mib)
        # Then without swap of its own a guest may have what is left of all
        for memory_mib, passes in ((2432, True), (2433, False)):
            request = admission.Request(memory_mib)
            host = admission.HostFigures(4096, 4096, 0, instances=0)
            why = admission.decide(made, request, host, made.time_s, LIMITS)
            self.assertIs(passes, why is None)
        # And where all else would do, that rule refuses
        more = {"promise_mib": 9000, "free_mib": 2560}
        rich = HostReport.from_dict(made.to_dict() | more)
        request = admission.Request(2561)
        why = admission.decide(rich, request, host, made.time_s, LIMITS)
        assert why is not None
        self.assertEqual(admission.Reason.GUEST_SWAP, why.reason)

    def test_an_old_report_still_tells_of_it(self) -> None:
        made = self.report()
        old_s = made.time_s + 181
        host = admission.HostFigures(4096, 4096, 0, instances=0)
        for memory_mib, passes in ((2560, True), (2561, False)):
            request = admission.Request(memory_mib)
            why = admission.decide(made, request, host, old_s, LIMITS)
            self.assertIs(passes, why is None)

    def test_idle_memory_of_it_is_promised(self) -> None:
        # Given it is known, and needs but little
        self.harness = Harness(warm_up_s=10)
        self.appear(wants_kib=60 * MIB)
        self.harness.run(60)
        # Then more is promised than it leaves of the host by its flavor,
        # and no more than there is besides what it needs
        made = self.report()
        self.assertGreater(made.promise_mib, LEFT_MIB + 500)
        self.assertLess(made.promise_mib, USABLE_MIB - RESERVE_MIB)


class RaceTest(ForeignTest):
    """Nova, Placement and the agent hear of the same at different times."""

    def assert_nothing_twice(self) -> None:
        self.assertLessEqual(self.capacity_mib(), LEFT_MIB)

    def test_while_novas_start_and_are_deleted(self) -> None:
        # Given an instance that is placed, of which the agent knows nothing
        self.assert_nothing_twice()
        self.assertTrue(self.passes(LEFT_MIB - 1024, 1024, 1))
        self.assertFalse(self.passes(LEFT_MIB - 1023, 1024, 1))
        # When the driver asks for it, and it starts
        reservation = self.harness.ask()
        self.harness.run(1)
        self.assert_nothing_twice()
        self.assertFalse(self.passes(LEFT_MIB - 1023, 1024, 1))
        guest = self.harness.host.start(uuid=reservation.request.uuid)
        self.harness.run(1)
        self.assert_nothing_twice()
        self.harness.leases.remove(reservation)
        self.harness.run(1)
        self.assert_nothing_twice()
        self.assertEqual(1024, self.report().committed_mib)
        self.assertFalse(self.passes(LEFT_MIB - 1023, 1024, 1))
        # When its domain is destroyed, and Nova and Placement still count it
        self.harness.host.end(guest)
        self.harness.run(0.5)
        self.assert_nothing_twice()
        self.assertFalse(self.passes(LEFT_MIB - 1023, 1024, 1))
        # Then with it gone there, too, all is as before
        self.harness.run(70)
        self.assertEqual(LEFT_MIB, self.capacity_mib())
        self.assertTrue(self.passes(LEFT_MIB, 0, 0))

    def test_a_shut_off_instance_hides_nothing(self) -> None:
        # Given an instance as large as the stranger that doesn't run
        # Then both count: Nova's sum alone tells nothing of either
        self.assertEqual(LEFT_MIB, self.capacity_mib())
        self.assertTrue(self.passes(LEFT_MIB - 1024, 1024, 1))
        self.assertFalse(self.passes(LEFT_MIB - 1023, 1024, 1))

    def test_one_more_lowers_the_promise_at_once(self) -> None:
        other = self.appear()
        self.harness.run(0.5)
        self.assertEqual(LEFT_MIB - 1024, self.capacity_mib())
        # When it is gone for good, then the promise rises when that held
        self.harness.host.end(other)
        self.harness.run(30)
        self.assertEqual(LEFT_MIB - 1024, self.capacity_mib())
        self.harness.run(40)
        self.assertEqual(LEFT_MIB, self.capacity_mib())

    def test_while_it_reboots_it_stays_what_it_is(self) -> None:
        # Given one that is gone for a moment, as on Xen
        self.harness.host.end(self.stranger)
        for _ in range(10):
            self.harness.run(0.5)
            made = self.report()
            # Then what is kept for it is no memory of Nova's
            self.assertEqual((0, 1024), (made.committed_mib, made.foreign_mib))
            self.assert_nothing_twice()
        back = self.harness.host.come_back(self.stranger)
        self.assertTrue(back.foreign)
        self.harness.run(1)
        self.assertEqual(LEFT_MIB, self.capacity_mib())

    def test_a_new_agent_tells_the_same(self) -> None:
        self.harness.restart()
        self.assertEqual(LEFT_MIB, self.capacity_mib())


class NamedTest(ForeignTest):
    def test_it_is_named_as_not_novas(self) -> None:
        agent = self.harness.agent
        (told,) = agent.status()["guests"]
        self.assertTrue(told["foreign"])
        self.assertTrue(agent.explain(told["uuid"])["status"]["foreign"])
        self.assertEqual([told["name"]], agent.explain("")["host"]["foreign"])
