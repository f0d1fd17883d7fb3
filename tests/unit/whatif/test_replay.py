# SPDX-License-Identifier: Apache-2.0
"""Replays of tiny traces, reckoned by hand.

Hosts of 4 GiB that keep nothing, 128 MiB reserve, 16 MiB of it slack; guests
of 2 GiB have a floor of 377 MiB (296 + 1 + 48 + 32), which is more than the
demand of who uses 100 MiB.
"""

import unittest

from nova_xen_overcommit import exception
from nova_xen_overcommit.whatif.fleet import Fleet
from nova_xen_overcommit.whatif.replay import Wishes, arrivals, departures
from tests.unit.whatif import worlds
from tests.unit.whatif.worlds import GIB, MIB, row

STEPS = 24
OFFERED_KIB = 4 * GIB - 128 * MIB
FLOOR_KIB = 377 * MIB
# RecentMax adds a tenth.
PEAK_KIB = 424653


class PromiseTest(unittest.TestCase):
    def test_a_guest_past_its_warm_up_no_longer_counts_in_full(self) -> None:
        # Given a guest that comes first, and another after twenty minutes
        trace = worlds.trace(
            [2048] * 2, [row(0, STEPS, 100), row(4, STEPS, 100)]
        )
        played = worlds.replay(trace).run()
        # Then the first counts in full for ten minutes, and what is
        # promised then holds for a minute before it is published
        promises = {step: kib for step, _, kib, _ in played.tally.promises}
        self.assertEqual(OFFERED_KIB, promises[0])
        self.assertEqual(OFFERED_KIB, promises[2])
        self.assertEqual(2 * GIB + OFFERED_KIB - PEAK_KIB, promises[3])
        # And the second, at its tenth minute, as well
        self.assertEqual(4 * GIB + OFFERED_KIB - 2 * PEAK_KIB, promises[12])
        self.assertEqual(1, played.hosts)

    def test_all_at_once_count_in_full(self) -> None:
        # Given four guests of 2 GiB of whom nothing is known
        trace = worlds.trace([2048] * 4, [row(0, STEPS, 100)] * 4)
        played = worlds.replay(trace).run()
        # Then each host takes one: two and the reserve are too much
        self.assertEqual((4, 2), (played.hosts, played.stock_hosts))
        self.assertEqual(6, played.refusals.placement)

    def test_who_falls_silent_counts_in_full(self) -> None:
        # Given a guest without samples for a while
        used = row(0, 3 * STEPS, 100)
        used[20:30] = [None] * 10
        trace = worlds.trace([2048], [used])
        wishes = Wishes(0.0, 1, 1.0, promise_every_s=300.0)
        tally = worlds.replay(trace, wishes=wishes).run().tally
        promises = {step: kib for step, _, kib, _ in tally.promises}
        known_kib = 2 * GIB + OFFERED_KIB - PEAK_KIB
        self.assertEqual(known_kib, promises[19])
        self.assertEqual(OFFERED_KIB, promises[20])
        self.assertEqual(OFFERED_KIB, promises[29])
        self.assertEqual(known_kib, promises[31])

    def test_without_guest_swap_no_more_than_there_is(self) -> None:
        # Given guests of which two and the reserve fill a host
        trace = worlds.trace(
            [1984] * 3, [row(4 * n, STEPS, 100) for n in range(3)]
        )
        played = worlds.replay(trace, wishes=Wishes(0.0, 1, 0.0)).run()
        self.assertEqual(2, played.hosts)
        # Unless it isn't asked for
        played = worlds.replay(
            trace, wishes=Wishes(0.0, 1, 0.0), require_guest_swap=False
        ).run()
        self.assertEqual(1, played.hosts)

    def test_what_guests_cant_swap_is_their_floor(self) -> None:
        trace = worlds.trace([2048], [row(0, STEPS, 100)])
        for share, required, floor_mib in (
            (0.0, True, 2048),
            (0.5, True, 1024),
            (2.0, True, 377),
            (0.0, False, 377),
        ):
            settings = worlds.settings(require_guest_swap=required)
            fleet = Fleet(trace, worlds.shape(), settings, share)
            with self.subTest(share=share, required=required):
                self.assertEqual([floor_mib * MIB], list(fleet.floors_kib))

    def test_the_ratio_is_a_bound(self) -> None:
        trace = worlds.trace(
            [1024] * 9, [row(4 * n, 48, 50) for n in range(9)]
        )
        played = worlds.replay(trace, max_overcommit_ratio=1.5).run()
        # 6 GiB on the first host, the rest on the second
        self.assertEqual(2, played.hosts)
        last = {host: kib for _, host, _, kib in played.tally.promises}
        self.assertEqual({0: 6 * GIB, 1: 3 * GIB}, last)


class ShortageTest(unittest.TestCase):
    def setUp(self) -> None:
        # Given three guests of 2 GiB on 4 GiB that burst at the same time
        trace = worlds.trace(
            [2048] * 3,
            [row(4 * n, STEPS, 100, s20=2000) for n in range(3)],
        )
        self.replay = worlds.replay(trace)
        self.played = self.replay.run()
        self.tally = self.played.tally

    def test_what_is_missing(self) -> None:
        # They use 6000 MiB, and all but the slack can be given
        self.assertEqual(1, self.played.hosts)
        expected = [0] * STEPS
        expected[20] = (6000 - (4096 - 16)) * MIB
        self.assertEqual(expected, self.tally.short_kib[0].tolist())
        self.assertEqual(3, self.tally.short_guests[0][20])

    def test_whom_it_hits(self) -> None:
        self.assertEqual([1, 1, 1], self.tally.short_steps.tolist())
        self.assertEqual(1920 * MIB, self.tally.missed_kib.sum())
        self.assertEqual(
            self.tally.worst_kib.tolist(), self.tally.missed_kib.tolist()
        )
        self.assertEqual([24, 20, 16], self.tally.lived.tolist())
        self.assertEqual({0: STEPS}, self.tally.served)

    def test_who_is_starved_counts_with_its_flavor(self) -> None:
        self.assertEqual(3 * FLOOR_KIB, self.tally.demand_kib[19])
        self.assertEqual(6 * GIB, self.tally.demand_kib[20])
        self.assertEqual(3 * FLOOR_KIB, self.tally.demand_kib[21])

    def test_all_that_is_used_is_counted(self) -> None:
        self.assertEqual(300 * MIB, self.tally.used_kib[19])
        self.assertEqual(6000 * MIB, self.tally.used_kib[20])
        self.assertEqual(6 * GIB, self.tally.committed_kib[20])

    def test_one_burst_alone_is_met_by_the_others(self) -> None:
        trace = worlds.trace(
            [2048] * 3,
            [
                row(0, STEPS, 100, s20=2000),
                row(4, STEPS, 100),
                row(8, STEPS, 100),
            ],
        )
        tally = worlds.replay(trace).run().tally
        self.assertEqual({}, tally.short_kib)


class WhenToPlanTest(unittest.TestCase):
    """The planner is asked wherever something has to move."""

    def test_a_reserve_that_was_spent_is_refilled(self) -> None:
        # Given a burst of all that took the reserve, and is over
        trace = worlds.trace(
            [2048] * 3,
            [row(4 * n, STEPS, 100, s20=2000) for n in range(3)],
        )
        # And is forgotten at once, so that nobody hopes for more
        replay = worlds.replay(trace, peak_memory_s=1.0)
        free_kib = []
        has = replay.fleet.target_kib
        replay.run(lambda _done: free_kib.append(4 * GIB - int(has.sum())))
        self.assertLess(free_kib[20], 17 * MIB)
        self.assertGreaterEqual(free_kib[21], 128 * MIB)

    def first_of_three(self, burst_mib: int) -> tuple[list[int], list[int]]:
        """Give what a guest has that yielded to one that ends, and free MiB.

        It uses 100 MiB, and ``burst_mib`` in step 20.
        """
        ended = row(8, STEPS, 1500)
        ended[15:] = [None] * (STEPS - 15)
        trace = worlds.trace(
            [2048, 512, 3072],
            [row(0, STEPS, 100, s20=burst_mib), row(4, STEPS, 100), ended],
        )
        replay = worlds.replay(trace)
        had_mib: list[int] = []
        free_mib: list[int] = []
        has = replay.fleet.target_kib

        def look(_done: int) -> None:
            had_mib.append(int(has[0]) // MIB)
            free_mib.append(4096 - int(has.sum()) // MIB)

        played = replay.run(look)
        self.assertEqual({}, played.tally.short_kib)
        return had_mib, free_mib

    def test_who_is_starved_gets_what_is_free(self) -> None:
        had_mib, free_mib = self.first_of_three(burst_mib=2040)
        self.assertLess(had_mib[19], 2040)
        self.assertGreater(free_mib[19], 2048 - had_mib[19] + 128)
        self.assertEqual(2048, had_mib[20])

    def test_who_only_lacks_head_room_gets_it_too(self) -> None:
        # Given a need that leaves 60 MiB, so that it isn't starved
        used_mib = self.first_of_three(burst_mib=100)[0][19] - 60
        had_mib, free_mib = self.first_of_three(burst_mib=used_mib)
        self.assertGreater(free_mib[19], 512)
        # Then it gets its head room, a tenth and 32 MiB
        self.assertEqual(used_mib + used_mib // 10 + 32, had_mib[20])


class ComingAndGoingTest(unittest.TestCase):
    def test_who_comes_later_comes_with_its_first_sample(self) -> None:
        trace = worlds.trace(
            [1024] * 2, [row(0, 6, 100), [None, None, 9, None, 9, None]]
        )
        self.assertEqual([0, 2], arrivals(trace, Wishes(0, 1, 1)).tolist())
        self.assertEqual([6, 5], departures(trace).tolist())

    def test_the_first_are_spread_over_the_time_to_fill(self) -> None:
        trace = worlds.trace(
            [1024] * 5, [row(0, 20, 100)] * 4 + [row(7, 20, 1)]
        )
        first = arrivals(trace, Wishes(8 * worlds.STEP_S, 1, 1)).tolist()
        self.assertEqual([0, 2, 4, 6], sorted(first[:4]))
        self.assertEqual(7, first[4])
        # In an order by the seed
        orders = {
            tuple(arrivals(trace, Wishes(2400.0, seed, 1)).tolist())
            for seed in range(9)
        }
        self.assertGreater(len(orders), 1)

    def test_nobody_comes_after_its_end(self) -> None:
        ended: list[int | None] = [5, None, None, None, None, None]
        trace = worlds.trace([1024] * 2, [ended, ended])
        wishes = Wishes(6 * worlds.STEP_S, 1, 1)
        self.assertEqual([0, 0], arrivals(trace, wishes).tolist())

    def test_what_guests_leave_is_there_for_others(self) -> None:
        # Given a guest of 3 GiB that ends, and one that comes then
        gone: list[int | None] = [100] * 5 + [None] * 5
        trace = worlds.trace([3072] * 2, [gone, row(5, 10, 100)])
        played = worlds.replay(trace).run()
        self.assertEqual((1, 1), (played.hosts, played.stock_hosts))
        self.assertEqual([1] * 10, played.tally.hosts.tolist())

    def test_a_guest_too_large_for_a_host_is_named(self) -> None:
        trace = worlds.trace([1024, 4096], [row(0, 3, 1), row(0, 3, 1)])
        with self.assertRaisesRegex(
            exception.CannotReplay, "--host-gib 4: VM vm-1 of 4096 MiB"
        ):
            worlds.replay(trace).run()
