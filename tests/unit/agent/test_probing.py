# SPDX-License-Identifier: Apache-2.0
"""How silent guests yield and get back, under the production balancer."""

import itertools

from nova_xen_overcommit.guest_metadata import GuestMetadata
from nova_xen_overcommit.policy.probe import Phase
from tests.simulator import GIB, MIB
from tests.unit.agent.silent_guests import GRACE_S, STEP_KIB, SilentTest


class YieldTest(SilentTest):
    def test_idle_silent_guests_yield_slowly_when_memory_is_wanted(self):
        self.need()
        self.harness.run(GRACE_S, 1.0)
        # Nothing in the grace in which its publisher may start
        self.assertEqual(0, self.taken_kib())
        last_kib = {guest.uuid: GIB for guest in self.silent}
        last_s = {guest.uuid: -60.0 for guest in self.silent}
        for _ in range(400):
            self.harness.run(0.5)
            for guest in self.silent:
                step_kib = last_kib[guest.uuid] - guest.target_kib
                if not step_kib:
                    continue
                # Never more than one step, never sooner than in 10 s
                now_s = self.host.clock.now_s
                self.assertGreater(step_kib, 0)
                self.assertLessEqual(step_kib, STEP_KIB)
                self.assertGreater(now_s - last_s[guest.uuid], 9.9)
                last_kib[guest.uuid] = guest.target_kib
                last_s[guest.uuid] = now_s
        # Then the needy one has what it wants, and none was hurt
        self.assertEqual(GIB, self.needy.target_kib)
        self.assertGreater(self.taken_kib(), 500 * MIB)
        for guest in self.silent:
            self.assertEqual(0, guest.swap_out_kib)
            self.assertEqual(0, self.probe(guest).pains)

    def test_nothing_is_taken_that_nobody_wants(self) -> None:
        self.host.end(self.needy)
        self.harness.run(GRACE_S + 600, 1.0)
        self.assertTrue(self.probe(self.silent[0]).opens)
        self.assertEqual([], self.host.calls)

    def test_without_the_option_nothing_moves_nor_is_read(self) -> None:
        self.make(probe_silent_guests=False)
        self.need()
        self.harness.run(GRACE_S + 300, 1.0)
        self.assertEqual(0, self.taken_kib())
        self.assertEqual(0, self.host.disk_looks)

    def test_turned_off_it_gives_all_back(self) -> None:
        self.need()
        self.harness.run(GRACE_S + 200, 1.0)
        self.assertGreater(self.taken_kib(), 0)
        self.harness.conf.set_override(
            "probe_silent_guests", False, "xen_overcommit"
        )
        self.host.end(self.needy)
        self.harness.run(10)
        self.assertEqual(0, self.taken_kib())

    def test_observe_only_tells(self) -> None:
        self.make(mode="observe")
        self.need()
        self.harness.run(GRACE_S + 100, 1.0)
        self.assertEqual([], self.host.calls)
        told = self.harness.agent.explain(self.silent[0].uuid)
        self.assertEqual(GIB - STEP_KIB, told["demand"]["demand_kib"])

    def test_disks_are_read_once_a_second_at_most(self) -> None:
        self.harness.run(100, 1.0)
        looks = self.host.disk_looks
        self.harness.run(20, 0.2)
        self.assertLessEqual(self.host.disk_looks - looks, 20)

    def test_looks_that_take_long_are_seldom(self) -> None:
        self.harness.run(100, 1.0)
        read = self.host.disk_counters
        for took_s, every_s in ((0.2, 2), (5.0, 4)):

            def slow(domains, took_s=took_s):
                self.host.clock.now_s += took_s
                return read(domains)

            self.host.disk_counters = slow
            self.harness.run(10, 0.2)
            before, began_s = self.host.disk_looks, self.host.clock.now_s
            self.harness.run(40, 0.2)
            looks = self.host.disk_looks - before
            passed_s = self.host.clock.now_s - began_s
            self.assertAlmostEqual(
                passed_s / max(every_s, took_s + 0.2), looks, delta=2
            )

    def test_the_floor_of_silent_guests_is_kept(self) -> None:
        # Given one silent guest of which all is wanted, whose others gave
        # way to one that holds their memory
        for guest in self.silent[1:]:
            self.host.end(guest)
        self.host.start(flavor_kib=2 * GIB, wants_kib=2000 * MIB)
        self.need()
        self.harness.run(GRACE_S + 600, 1.0)
        self.assertEqual(512 * MIB, self.silent[0].target_kib)
        self.assertIs(Phase.FLOOR, self.probe(self.silent[0]).phase)

    def test_what_is_taken_fits_its_swap_disk(self) -> None:
        small = self.silent[0]
        self.host.end(self.silent[1])
        self.host.end(self.silent[2])
        self.host.end(small)
        small = self.host.start(swap_kib=128 * MIB)
        small.silent = True
        self.host.start(flavor_kib=2 * GIB, wants_kib=2000 * MIB)
        self.need()
        self.harness.run(GRACE_S + 300, 1.0)
        self.assertEqual(GIB - 128 * MIB, small.target_kib)

    def test_without_a_swap_disk_it_is_left_alone(self) -> None:
        for guest in self.silent:
            guest.swap_kib = 0
            guest.metadata = type(guest.metadata)()
        self.need()
        self.harness.run(GRACE_S + 300, 1.0)
        self.assertEqual(0, self.taken_kib())

    def test_where_the_size_of_its_swap_is_not_known_too(self) -> None:
        for guest in self.silent:
            guest.metadata = type(guest.metadata)()
        self.need()
        self.harness.run(GRACE_S + 300, 1.0)
        self.assertEqual(0, self.taken_kib())
        self.assertEqual(0, self.host.disk_looks)

    def test_who_swaps_with_all_it_has_keeps_that(self) -> None:
        busy = self.silent[0]
        busy.wants_kib = 1300 * MIB
        self.need()
        self.harness.run(GRACE_S + 300, 1.0)
        self.assertEqual(GIB, busy.target_kib)
        self.assertEqual(0, self.probe(busy).pains)
        self.assertGreater(self.taken_kib(), 0)

    def test_memory_does_not_oscillate(self) -> None:
        # Given one silent guest that needs 764 MiB, of which memory is
        # wanted for four hours by others that count for little
        for guest in self.silent[1:]:
            self.host.end(guest)
        big = self.host.start(flavor_kib=2 * GIB, wants_kib=2000 * MIB)
        for other in (big, self.needy):
            other.metadata = GuestMetadata(swap_kib=2 * GIB, weight=0.001)
        guest = self.silent[0]
        guest.wants_kib = 700 * MIB
        self.need()
        self.harness.run(GRACE_S, 1.0)
        targets = []
        for _ in range(4 * 3600):
            self.harness.run(1.0, 1.0)
            targets.append(guest.target_kib)
        # Then it hurt seldom, and it had what it needs nearly always
        self.assertLessEqual(self.probe(guest).pains, 7)
        ups = sum(b > a for a, b in itertools.pairwise(targets))
        self.assertLessEqual(ups, 2 * self.probe(guest).pains)
        lacks = sum(kib < guest.need_kib for kib in targets)
        self.assertLess(lacks, 0.01 * len(targets))
        self.assertLess(sum(targets) / len(targets), 850 * MIB)


class PainTest(SilentTest):
    def setUp(self) -> None:
        # As much is wanted as the host has
        super().setUp()
        self.needy.wants_kib = 560 * MIB
        self.harness.run(GRACE_S + 200, 1.0)
        self.guest = self.silent[0]
        self.had_kib = self.guest.target_kib
        self.assertLess(self.had_kib, GIB - 80 * MIB)
        self.assertGreater(self.host.free_kib, 120 * MIB)

    def test_a_guest_that_gets_busy_has_all_back_in_seconds(self) -> None:
        # When it wants nearly all it may have
        self.guest.wants_kib = 940 * MIB
        self.harness.run(3)
        # Then it was given more at once, and soon all
        self.assertGreater(self.guest.target_kib, self.had_kib)
        self.harness.run(4)
        self.assertEqual(GIB, self.guest.target_kib)
        self.harness.run(20)
        self.assertEqual(940 * MIB, self.guest.in_ram_kib)
        self.assertEqual(1, self.probe(self.guest).pains)

    def test_it_counts_as_starved_while_it_lacks(self) -> None:
        self.guest.wants_kib = 940 * MIB
        self.harness.run(1.5)
        self.assertTrue(self.tracked(self.guest).starved)

    def test_it_is_held_off_then(self) -> None:
        self.guest.wants_kib = 940 * MIB
        self.harness.run(20)
        self.guest.wants_kib = 100 * MIB
        # When memory is wanted all the time
        self.host.start(flavor_kib=self.host.free_kib)
        self.need()
        self.harness.run(90, 1.0)
        self.assertEqual(GIB, self.guest.target_kib)
        self.harness.run(240, 1.0)
        self.assertLess(self.guest.target_kib, GIB)

    def test_page_cache_that_is_read_again_comes_back(self) -> None:
        # Given a guest that reads files all the time, which fit its cache
        self.guest.wants_kib = self.guest.actual_kib - 300 * MIB
        self.guest.file_touch_kib_s = 50 * MIB
        self.harness.run(30, 1.0)
        # When more is wanted of it than is free in it
        self.need()
        self.harness.run(200, 1.0)
        # Then it hurts by that alone, and not for long
        seen = self.probe(self.guest)
        self.assertIn("files read", " ".join(seen.signs))
        self.assertEqual(0, self.guest.swap_out_kib)
        self.assertEqual(200 * MIB, self.guest.cache_kib)

    def test_a_balloon_that_stalls_is_let_go(self) -> None:
        # Given a balloon that is caught half way down a step
        self.need()
        while self.guest.target_kib == self.had_kib:
            self.harness.agent.tick()
            if self.guest.target_kib != self.had_kib:
                self.guest.actual_kib -= STEP_KIB // 2
                self.guest.stuck = True
            self.host.run(0.5)
        self.harness.run(6)
        # Then nothing presses on it any more
        self.assertGreaterEqual(self.guest.target_kib, self.guest.actual_kib)
        self.assertEqual(("its balloon stalls",), self.probe(self.guest).signs)
        # And it gets more than it was comfortable with, when that is there
        self.host.end(self.needy)
        self.harness.run(2)
        self.assertEqual(self.had_kib + STEP_KIB, self.guest.target_kib)

    def test_who_can_not_be_seen_is_not_touched_and_gets_all_back(self):
        self.host.disks_fail = True
        self.host.start(flavor_kib=self.host.free_kib)
        self.harness.run(2)
        before_kib = self.taken_kib()
        self.harness.run(40, 1.0)
        self.assertEqual(before_kib, self.taken_kib())
        self.host.end(self.needy)
        self.harness.run(60, 1.0)
        self.assertEqual(0, self.taken_kib())

    def test_a_failure_to_see_fails_no_pass(self) -> None:
        def fail(_domains):
            raise KeyError("block.0")

        self.host.disk_counters = fail
        before = self.harness.agent.status()["failures"]
        with self.assertLogs("nova_xen_overcommit", "WARNING") as logs:
            self.harness.run(10)
        self.assertEqual(before, self.harness.agent.status()["failures"])
        told = [line for line in logs.output if "from outside" in line]
        self.assertEqual(1, len(told))

    def test_a_paused_or_held_guest_is_neither_seen_nor_touched(self):
        asked: list[str] = []
        read = self.host.disk_counters

        def spy(domains):
            asked.extend(domain.uuid for domain in domains)
            return read(domains)

        self.host.disk_counters = spy
        self.silent[1].busy = "paused"
        with self.harness.agent.hold(self.guest.uuid, "snapshot"):
            self.host.start(flavor_kib=self.host.free_kib)
            self.harness.run(1)
            asked.clear()
            targets = [guest.target_kib for guest in self.silent]
            self.harness.run(60, 1.0)
            now = [guest.target_kib for guest in self.silent]
            # What is read in a snapshot is none of the guest's reads
            self.guest.swap_in_kib += 10**6
        self.assertEqual({self.silent[2].uuid}, set(asked))
        self.harness.run(10, 1.0)
        self.assertEqual(0, self.probe(self.guest).pains)
        # And what was known of it before is known still
        self.assertIsNot(Phase.UNKNOWN, self.probe(self.guest).phase)
        self.assertEqual(targets[:2], now[:2])
        self.assertLess(now[2], targets[2])


class ShortTest(SilentTest):
    def test_when_memory_is_short_no_more_than_a_step_is_taken(self):
        # Given that all the silent ones are calm
        self.harness.run(GRACE_S + 30, 1.0)
        # When two guests want more than there is
        other = self.host.start(actual_kib=self.host.free_kib, wants_kib=GIB)
        self.need()
        before = [guest.target_kib for guest in self.silent]
        self.harness.run(5)
        # Then the silent ones aren't squeezed by their weight
        self.assertGreater(other.wants_kib, other.target_kib)
        for guest, target_kib in zip(self.silent, before, strict=True):
            self.assertLessEqual(target_kib - guest.target_kib, STEP_KIB)
