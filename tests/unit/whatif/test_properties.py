# SPDX-License-Identifier: Apache-2.0
"""What holds for every trace."""

import unittest
import unittest.mock
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_xen_overcommit.policy.predictors import HostPast
from nova_xen_overcommit.whatif.hosts import Host
from nova_xen_overcommit.whatif.placing import Placer
from nova_xen_overcommit.whatif.replay import Wishes
from nova_xen_overcommit.whatif.trace import Trace
from tests.unit.whatif import worlds
from tests.unit.whatif.worlds import GIB, MIB

SIZES_MIB = (512, 1024, 1536, 2048)


class Reckless:
    """Foretells nothing, so that hosts get short."""

    def peak_kib(self, past: HostPast) -> int:
        """Give the least there is."""
        return min(past.sum_kib, default=0)


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Give guests that burst, fall silent, come late and end."""
    guests = draw(st.integers(2, 9))
    steps = draw(st.integers(4, 30))
    sizes_mib = [draw(st.sampled_from(SIZES_MIB)) for _ in range(guests)]
    rng = draw(st.randoms(use_true_random=False))
    used = []
    for size_mib in sizes_mib:
        row: list[int | None] = [
            rng.choice((None, 0, 60, 60, 60, 80, size_mib // 2, size_mib))
            for _ in range(steps)
        ]
        row[rng.randrange(steps)] = 60
        used.append(row)
    return worlds.trace(sizes_mib, used)


WISHES = st.builds(
    Wishes,
    fill_s=st.sampled_from([0.0, 3000.0]),
    seed=st.integers(0, 3),
    swap_share=st.just(1.0),
    promise_every_s=st.just(300.0),
)
QUICK = settings(max_examples=50, deadline=None)


def busy_trace(seed: int = 3, guests: int = 14, steps: int = 120) -> Trace:
    """Give one in which guests burst now and then, in part together."""
    rng = np.random.default_rng(seed)
    used = np.full((guests, steps), 100)
    used[rng.random((guests, steps)) < 0.03] = 900
    used[: guests // 2, 60:64] = 1000
    rows: list[list[int | None]] = [
        [None] * (2 * guest) + row[2 * guest :]
        for guest, row in enumerate(used.tolist())
    ]
    return worlds.trace([1024] * guests, rows)


class ScreeningTest(unittest.TestCase):
    """Where nothing could change the planner needn't be asked."""

    @QUICK
    @given(traces(), WISHES)
    def test_the_outcome_is_the_same(
        self, trace: Trace, wishes: Wishes
    ) -> None:
        outcomes = [
            worlds.replay(
                trace,
                predictor=Reckless(),
                wishes=wishes,
                screened=screened,
                warm_up_s=0,
            )
            for screened in (True, False)
        ]
        ours, other = (one.run() for one in outcomes)
        self.assertTrue(worlds.same(ours.tally, other.tally))
        self.assertEqual(
            outcomes[0].fleet.target_kib.tolist(),
            outcomes[1].fleet.target_kib.tolist(),
        )

    def test_it_spares_most_plans_even_on_a_busy_host(self) -> None:
        ours, other = (
            worlds.replay(
                busy_trace(), predictor=Reckless(), screened=screened
            ).run()
            for screened in (True, False)
        )
        # Given that it did get short
        self.assertTrue(ours.tally.short_kib)
        self.assertTrue(worlds.same(ours.tally, other.tally))
        self.assertLess(ours.plans, other.plans)


class NeverTest(unittest.TestCase):
    @QUICK
    @given(traces(), WISHES)
    def test_never_more_is_placed_than_promised(
        self, trace: Trace, wishes: Wishes
    ) -> None:
        replay = worlds.replay(
            trace, predictor=Reckless(), wishes=wishes, warm_up_s=0
        )
        started = Placer._start

        def start(placer: Placer, host: Host, guest: int, now_s: Any) -> bool:
            sizes_kib = trace.sizes_kib
            placed_kib = sizes_kib[host.members].sum() + sizes_kib[guest]
            self.assertLessEqual(placed_kib, host.promise_kib)
            return started(placer, host, guest, now_s)

        with unittest.mock.patch.object(Placer, "_start", start):
            replay.run()

    @QUICK
    @given(traces(), WISHES)
    def test_never_short_while_all_count_in_full(
        self, trace: Trace, wishes: Wishes
    ) -> None:
        # Given that nobody ever gets past its warm-up
        played = worlds.replay(
            trace,
            worlds.shape(overhead_kib=200 * MIB),
            wishes=wishes,
            warm_up_s=2592000,
        ).run()
        # Then no host takes more than it has, and nobody is ever short
        self.assertEqual(0, int(played.tally.short_steps.sum()))
        for _, _, promise_kib, committed_kib in played.tally.promises:
            self.assertLessEqual(committed_kib, 4 * GIB - 128 * MIB)
            self.assertLessEqual(promise_kib, 4 * GIB - 128 * MIB)

    @QUICK
    @given(traces(), WISHES)
    def test_never_more_memory_than_there_is(
        self, trace: Trace, wishes: Wishes
    ) -> None:
        hosts = worlds.shape(overhead_kib=5 * MIB)
        replay = worlds.replay(
            trace, hosts, predictor=Reckless(), wishes=wishes, warm_up_s=0
        )
        fleet = replay.fleet

        def check(_done: int) -> None:
            placed = fleet.host >= 0
            held = np.where(placed, fleet.target_kib + fleet.overheads_kib, 0)
            for host in np.unique(fleet.host[placed]):
                held_kib = held[fleet.host == host].sum()
                self.assertLessEqual(held_kib, hosts.usable_kib)
            has = fleet.target_kib[placed]
            self.assertTrue((has >= fleet.floors_kib[placed]).all())
            self.assertTrue((has <= fleet.sizes_kib[placed]).all())

        replay.run(check)

    @QUICK
    @given(traces(), WISHES)
    def test_the_same_question_has_the_same_answer(
        self, trace: Trace, wishes: Wishes
    ) -> None:
        one, other = (
            worlds.replay(trace, wishes=wishes).run() for _ in range(2)
        )
        self.assertTrue(worlds.same(one.tally, other.tally))
