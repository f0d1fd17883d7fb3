# SPDX-License-Identifier: Apache-2.0
"""What one guest needs, sample by sample."""

import itertools
import unittest

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.policy import demand
from nova_xen_overcommit.policy.sample import MemorySample

MIB = 1024
SETTINGS = demand.DemandSettings()
FLOOR_KIB = 106 * MIB
FLAVOR_KIB = 1024 * MIB


def sample(time_s: float, used_mib: int, total_mib: int = 500, **more):
    return MemorySample(
        time_s=time_s,
        max_age_s=15.0,
        mem_total_kib=total_mib * MIB,
        mem_available_kib=(total_mib - used_mib) * MIB,
        **more,
    )


def seen(what: MemorySample, actual_mib: int = 500) -> demand.Observation:
    return demand.Observation(what, actual_mib * MIB, FLAVOR_KIB, FLOOR_KIB)


def run(*samples: MemorySample) -> demand.GuestDemand:
    state = None
    for one in samples:
        state = demand.observe(state, seen(one), SETTINGS)
    assert state is not None
    return state


class CausesTest(unittest.TestCase):
    """What is told of where a demand comes from."""

    def test_a_steady_guests_demand_comes_from_its_use(self) -> None:
        state = run(sample(0, 200), sample(5, 200))
        self.assertEqual(("what it uses, and head room",), state.causes)

    def test_a_peak_is_remembered_and_told(self) -> None:
        state = run(sample(0, 400), sample(5, 200))
        self.assertEqual(("what it used lately, and head room",), state.causes)

    def test_the_first_starvation_is_told_with_its_sign(self) -> None:
        state = run(sample(0, 400), sample(1, 497))
        self.assertEqual(
            ("starved: more than it had", "only 3072 KiB available"),
            state.causes,
        )

    def test_the_second_starvation_is_told(self) -> None:
        state = run(sample(0, 400), sample(1, 497), sample(2, 497))
        self.assertEqual(
            ("starved again: its whole flavor", "only 3072 KiB available"),
            state.causes,
        )

    def test_starvation_is_told_until_it_has_faded(self) -> None:
        state = run(sample(0, 200), sample(1, 497), sample(3, 200))
        self.assertEqual(("was starved lately",), state.causes)

    def test_starvation_that_raises_nothing_is_told_as_a_sign_only(self):
        swaps = [
            sample(
                time_s,
                400,
                swap_total_kib=900 * MIB,
                swap_free_kib=200 * MIB,
                swap_in_kib=swap_in_kib,
            )
            for time_s, swap_in_kib in ((0, 0), (1, 1024))
        ]
        state = run(*swaps)
        self.assertEqual(
            ("what it uses, and head room", "swaps in 1024 KiB/s"),
            state.causes,
        )

    def test_who_moves_its_own_balloon_says_what_it_wants(self) -> None:
        for more_mib, demand_mib in ((100, 600), (-100, 400), (0, 500)):
            with self.subTest(more_mib=more_mib):
                # Given a guest that uses little and was starved
                state = run(
                    sample(0, 490),
                    sample(1, 100, self_more_kib=more_mib * MIB),
                )
                # Then its own word counts
                self.assertEqual(demand_mib * MIB, state.demand_kib)
                self.assertEqual(
                    ("what it wants, as it moves its own balloon",),
                    state.causes,
                )

    def test_its_own_word_is_of_before_its_balloon_moved(self) -> None:
        # Given a guest of 500 MiB with 60 MiB outside MemTotal
        state = run(sample(0, 200, total_mib=440, self_more_kib=-10 * MIB))
        self.assertEqual(490 * MIB, state.demand_kib)
        # When it says that it gives 30 MiB more, and has when we measure
        told = sample(1, 200, total_mib=430, self_more_kib=-30 * MIB)
        state = demand.observe(state, seen(told, actual_mib=460), SETTINGS)
        # Then it chose 460 MiB, not yet 30 less
        self.assertEqual(460 * MIB, state.demand_kib)

    def test_what_it_never_had_it_did_not_choose(self) -> None:
        # Given a guest of 500 MiB that says that it has 900, and keeps them
        state = run(*[sample(t, 200, 900, self_more_kib=0) for t in (0, 1)])
        self.assertEqual(500 * MIB, state.demand_kib)

    def test_who_is_starved_gets_more_than_it_says(self) -> None:
        state = run(
            sample(0, 200, self_more_kib=0), sample(1, 497, self_more_kib=0)
        )
        self.assertEqual(750 * MIB, state.demand_kib)
        self.assertEqual(
            ("starved: more than it had", "only 3072 KiB available"),
            state.causes,
        )
        state = demand.observe(
            state, seen(sample(2, 498, self_more_kib=0)), SETTINGS
        )
        self.assertEqual(FLAVOR_KIB, state.demand_kib)

    def test_its_own_word_is_bounded_too(self) -> None:
        greedy = run(sample(0, 100, self_more_kib=1 << 40))
        modest = run(sample(0, 100, self_more_kib=-(1 << 40)))
        self.assertEqual(FLAVOR_KIB, greedy.demand_kib)
        self.assertEqual(
            (0, FLOOR_KIB), (modest.wanted_kib, modest.demand_kib)
        )

    def test_what_is_wanted_has_no_bounds(self) -> None:
        small = run(sample(0, 10))
        self.assertEqual(
            (43 * MIB, FLOOR_KIB), (small.wanted_kib, small.demand_kib)
        )
        full = sample(0, 950, total_mib=1024)
        large = demand.observe(None, seen(full, actual_mib=1024), SETTINGS)
        self.assertEqual(
            (1077 * MIB, FLAVOR_KIB), (large.wanted_kib, large.demand_kib)
        )


class DemandTest(unittest.TestCase):
    def test_demand_is_use_and_head_room(self) -> None:
        state = run(sample(0, 200))
        self.assertEqual((200 + 20 + 32) * MIB, state.demand_kib)

    def test_a_use_that_is_over_is_no_firm_part(self) -> None:
        state = run(sample(0, 400), sample(1, 100))
        self.assertGreater(state.demand_kib, 380 * MIB)
        self.assertEqual((100 + 10 + 32) * MIB, state.firm_kib)

    def test_nor_is_the_answer_to_starvation(self) -> None:
        state = run(sample(0, 400), sample(1, 497), sample(2, 497))
        self.assertEqual(FLAVOR_KIB, state.demand_kib)
        self.assertEqual((497 * MIB * 11 // 10) + 32 * MIB, state.firm_kib)

    def test_of_its_head_room_it_needs_a_quarter_at_once(self) -> None:
        state = run(sample(0, 200))
        self.assertEqual((200 + 13) * MIB, state.bare_kib)

    def test_and_of_a_large_guests_128_mib(self) -> None:
        large = demand.Observation(
            sample(0, 20_000, total_mib=30_000),
            30_000 * MIB,
            30_000 * MIB,
            FLOOR_KIB,
        )
        state = demand.observe(None, large, SETTINGS)
        self.assertEqual((20_000 + 128) * MIB, state.bare_kib)

    def test_half_of_a_peak_is_hoped_for_for_an_hour(self) -> None:
        peak = [sample(t, 400) for t in range(30)]
        calm = [sample(t, 100) for t in range(30, 1800, 5)]
        state = run(*peak, *calm)
        self.assertLess(state.demand_kib, 146 * MIB)
        self.assertAlmostEqual(
            100 + 300 * 0.61 / 2 + 42, state.hoped_kib / MIB, delta=2
        )

    def test_swap_in_use_counts_as_used(self) -> None:
        swap = {"swap_total_kib": 100 * MIB, "swap_free_kib": 40 * MIB}
        state = run(sample(0, 200, **swap))
        self.assertEqual(260 * MIB, state.used_kib)

    def test_what_the_kernel_holds_outside_memtotal_counts(self) -> None:
        state = demand.observe(
            None, seen(sample(0, 100, total_mib=460), actual_mib=500), SETTINGS
        )
        self.assertEqual(140 * MIB, state.used_kib)

    def test_a_moving_balloon_is_not_taken_for_the_kernels_memory(self):
        before = run(sample(0, 100))
        state = demand.observe(
            before, seen(sample(1, 100), actual_mib=700), SETTINGS
        )
        self.assertEqual(0, state.unmanaged_kib)

    @given(
        st.integers(0, 200),
        st.lists(st.integers(300, 900), min_size=3, max_size=6),
        st.data(),
    )
    def test_of_a_guest_that_moves_it_is_known_within_how_far(
        self, outside_mib: int, sizes_mib: list[int], data: st.DataObject
    ) -> None:
        # Given a guest that never rests
        state = None
        looks = enumerate(itertools.pairwise(sizes_mib))
        for time_s, (before_mib, now_mib) in looks:
            # When it wrote its figures sometime between two looks
            between = st.integers(*sorted((before_mib, now_mib)))
            told_mib = data.draw(between) - outside_mib
            told = sample(time_s, 50, total_mib=told_mib)
            state = demand.observe(state, seen(told, now_mib), SETTINGS)
            # Then what is taken for outside is wrong by no more than it moved
            error_kib = abs(state.outside_kib - outside_mib * MIB)
            moved_kib = abs(now_mib - before_mib) * MIB
            if time_s:
                self.assertLessEqual(error_kib, moved_kib)

    def test_a_rise_counts_at_once(self) -> None:
        state = run(sample(0, 100), sample(1, 300))
        self.assertGreaterEqual(state.demand_kib, 362 * MIB)

    def test_a_lasting_load_is_remembered_for_a_minute(self) -> None:
        load = [sample(t, 300) for t in range(10)]
        calm = [sample(t, 100) for t in range(10, 40)]
        self.assertGreater(run(*load, *calm).demand_kib, 250 * MIB)

    def test_after_ten_minutes_it_is_forgotten(self) -> None:
        load = [sample(t, 300) for t in range(10)]
        calm = [sample(t, 100) for t in range(10, 610, 5)]
        self.assertLess(run(*load, *calm).demand_kib, 146 * MIB)

    def test_a_spike_of_one_sample_is_soon_forgotten(self) -> None:
        calm = [sample(t, 100) for t in range(11, 20)]
        state = run(sample(0, 100), sample(10, 110), *calm)
        self.assertLess(state.demand_kib, 155 * MIB)

    def test_vanished_head_room_raises_above_what_it_has(self) -> None:
        state = run(sample(0, 498))
        self.assertTrue(state.starved)
        self.assertGreaterEqual(state.demand_kib, 750 * MIB)

    def test_starved_twice_in_a_row_goes_to_the_flavor(self) -> None:
        state = run(sample(0, 498), sample(1, 498))
        self.assertEqual(FLAVOR_KIB, state.demand_kib)

    def test_the_same_sample_twice_is_not_starved_twice(self) -> None:
        state = run(sample(0, 498), sample(0, 498))
        self.assertEqual(1, state.starved_passes)

    def test_swap_in_counts_as_starved(self) -> None:
        state = run(
            sample(0, 100, swap_in_kib=0), sample(1, 100, swap_in_kib=256)
        )
        self.assertEqual(("swaps in 256 KiB/s",), state.reasons)

    def recovering(self, used_mib: int) -> demand.GuestDemand:
        return run(
            *[
                sample(
                    time_s,
                    used_mib,
                    swap_total_kib=900 * MIB,
                    swap_free_kib=800 * MIB,
                    swap_in_kib=time_s * 50 * MIB,
                    psi_some_us=time_s * 500_000,
                )
                for time_s in (0, 1)
            ]
        )

    def test_with_room_for_what_it_has_in_swap_it_recovers(self) -> None:
        self.assertFalse(self.recovering(300).starved)

    def test_without_it_is_starved(self) -> None:
        self.assertTrue(self.recovering(400).starved)

    def test_stall_counts_as_starved(self) -> None:
        state = run(
            sample(0, 100, psi_some_us=0), sample(1, 100, psi_some_us=100_000)
        )
        self.assertEqual(("stalls for memory 10 %",), state.reasons)

    def test_a_counter_that_went_back_is_no_rate(self) -> None:
        state = run(
            sample(0, 100, swap_in_kib=10**6), sample(1, 100, swap_in_kib=5)
        )
        self.assertFalse(state.starved)

    def test_a_raise_ends_soon_when_the_guest_has_what_it_uses(self):
        starved = [sample(t, 498) for t in range(2)]
        state = run(*starved, *[sample(t, 498, 900) for t in range(2, 12)])
        self.assertLess(state.demand_kib, 590 * MIB)

    def test_a_raise_decays_when_calm(self) -> None:
        starved = [sample(t, 498) for t in range(2)]
        calm = [sample(t, 100) for t in range(2, 600, 2)]
        self.assertLess(run(*starved, *calm).demand_kib, 150 * MIB)

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 10),
                st.integers(0, 10**9),
                st.integers(0, 10**9),
                st.integers(0, 10**9),
                st.one_of(st.none(), st.integers(0, 10**12)),
                st.one_of(st.none(), st.integers(-(10**9), 10**9)),
                st.integers(0, FLAVOR_KIB),
            ),
            min_size=1,
            max_size=30,
        )
    )
    def test_whatever_a_guest_says_demand_is_between_floor_and_flavor(
        self, words
    ) -> None:
        state, time_s = None, 0
        for later, total, available, swap, counter, more, actual in words:
            time_s += later
            said = MemorySample(
                time_s,
                15.0,
                total,
                available,
                swap,
                swap // 2,
                counter,
                counter,
                more,
            )
            state = demand.observe(
                state,
                demand.Observation(said, actual, FLAVOR_KIB, FLOOR_KIB),
                SETTINGS,
            )
            self.assertLessEqual(FLOOR_KIB, state.demand_kib)
            self.assertLessEqual(state.demand_kib, FLAVOR_KIB)
