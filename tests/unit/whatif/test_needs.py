# SPDX-License-Identifier: Apache-2.0
"""Demand for all at once is the policy's demand, to the last bit."""

import unittest

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_xen_overcommit.policy import demand, floor
from nova_xen_overcommit.policy.sample import MemorySample
from nova_xen_overcommit.whatif.needs import Needs

MIB = 1024
GIB = 1024 * MIB
FOREVER_S = 1e9


def sample(time_s: float, used_kib: int, actual_kib: int) -> MemorySample:
    """Give what a guest says that swaps what it has no RAM for."""
    return MemorySample(
        time_s=time_s,
        max_age_s=FOREVER_S,
        mem_total_kib=actual_kib,
        mem_available_kib=max(0, actual_kib - used_kib),
        swap_total_kib=64 * GIB,
        swap_free_kib=64 * GIB - max(0, used_kib - actual_kib),
    )


FLAVORS_KIB = st.sampled_from([256 * MIB, GIB, 5 * GIB + 3, 64 * GIB])
SHARES = st.floats(0.0, 1.0)
# Two guests see the same moments; either may be silent at some.
MOMENTS = st.tuples(
    st.sampled_from([1.0, 5.0, 60.0, 300.0, 3601.5]),
    st.lists(
        st.one_of(st.none(), st.tuples(SHARES, SHARES)), min_size=2, max_size=2
    ),
)
SETTINGS = st.builds(
    demand.DemandSettings,
    head_room_share=st.sampled_from([0.0, 0.1, 0.37]),
    head_room_kib=st.sampled_from([0, 32 * MIB]),
    rise_s=st.sampled_from([0.1, 2.0, 500.0]),
    decay_s=st.sampled_from([1.0, 60.0, 7000.0]),
)


class SameAsThePolicyTest(unittest.TestCase):
    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(FLAVORS_KIB, min_size=2, max_size=2),
        st.lists(MOMENTS, min_size=1, max_size=12),
        SETTINGS,
    )
    def test_every_figure(
        self,
        flavors_kib: list[int],
        moments: list[tuple[float, list[tuple[float, float] | None]]],
        options: demand.DemandSettings,
    ) -> None:
        floors_kib = [floor.floor_kib(kib, 0.02) for kib in flavors_kib]
        needs = Needs(np.array(flavors_kib), np.array(floors_kib), options)
        known: list[demand.GuestDemand | None] = [None, None]
        now_s = 0.0
        for elapsed_s, shares in moments:
            now_s += elapsed_s
            who, used, actual = [], [], []
            for guest, one in enumerate(shares):
                if one is None:
                    continue
                used_kib = int(one[0] * flavors_kib[guest])
                actual_kib = max(
                    floors_kib[guest], int(one[1] * flavors_kib[guest])
                )
                who.append(guest)
                used.append(used_kib)
                actual.append(actual_kib)
                known[guest] = demand.observe(
                    known[guest],
                    demand.Observation(
                        sample(now_s, used_kib, actual_kib),
                        actual_kib,
                        flavors_kib[guest],
                        floors_kib[guest],
                    ),
                    options,
                )
            needs.observe(
                np.array(who, dtype=np.int64),
                np.array(used, dtype=np.int64),
                np.array(actual, dtype=np.int64),
                now_s,
            )
            for guest in who:
                expected = known[guest]
                assert expected is not None
                self.assertEqual(
                    (
                        expected.demand_kib,
                        expected.wanted_kib,
                        expected.firm_kib,
                        expected.bare_kib,
                        expected.hoped_kib,
                        expected.used_kib,
                        expected.starved_passes,
                    ),
                    tuple(
                        int(figures[guest])
                        for figures in (
                            needs.demand_kib,
                            needs.wanted_kib,
                            needs.firm_kib,
                            needs.bare_kib,
                            needs.hoped_kib,
                            needs.used_kib,
                            needs.starved,
                        )
                    ),
                )

    def test_who_is_silent_counts_with_its_flavor(self) -> None:
        needs = Needs(
            np.array([GIB]), np.array([170 * MIB]), demand.DemandSettings()
        )
        first = np.array([0])
        needs.observe(first, np.array([100 * MIB]), np.array([GIB]), 0.0)
        self.assertEqual(170 * MIB, needs.demand_kib[0])
        needs.silence(first)
        self.assertFalse(needs.speaks[0])
        self.assertEqual((GIB, GIB), (needs.demand_kib[0], needs.firm_kib[0]))
