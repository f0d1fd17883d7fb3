# SPDX-License-Identifier: Apache-2.0
"""What a host may promise: each bound, and slow rises."""

import dataclasses
import unittest

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.policy import promise

GIB = 1024 * 1024

ACCOUNT = promise.Account(
    usable_kib=8 * GIB,
    reserve_kib=GIB,
    committed_kib=6 * GIB,
    peak_kib=3 * GIB,
    floors_kib=GIB,
    floor_share=0.1,
    max_ratio=10.0,
    swap_kib=None,
)


def made(**changes) -> promise.Promise:
    return promise.promise(dataclasses.replace(ACCOUNT, **changes))


class PromiseTest(unittest.TestCase):
    def test_predicted_demand_bounds_it(self) -> None:
        self.assertEqual(promise.Promise(10 * GIB, "demand"), made())

    def test_the_operators_ratio_bounds_it(self) -> None:
        self.assertEqual(
            promise.Promise(8 * GIB, "ratio"), made(max_ratio=1.0)
        )

    def test_guest_swap_bounds_it(self) -> None:
        self.assertEqual(promise.Promise(9 * GIB, "swap"), made(swap_kib=GIB))

    def test_floors_bound_it(self) -> None:
        self.assertEqual(
            promise.Promise(6 * GIB + 2 * GIB, "floors"),
            made(floors_kib=6 * GIB, floor_share=0.5),
        )

    def test_a_host_in_need_promises_nothing_new(self) -> None:
        self.assertEqual(6 * GIB, made(peak_kib=20 * GIB).promise_kib)

    def test_an_empty_host_promises_what_it_has_less_the_reserve(self):
        empty = made(committed_kib=0, peak_kib=0, floors_kib=0)
        self.assertEqual(7 * GIB, empty.promise_kib)

    def test_guests_counted_in_full_leave_the_physical_host(self) -> None:
        # Six GiB of guests nobody knows: what is left is physical.
        self.assertEqual(7 * GIB, made(peak_kib=6 * GIB).promise_kib)


class SlowRiseTest(unittest.TestCase):
    def test_it_falls_at_once(self) -> None:
        rise = promise.SlowRise(60)
        rise.publish(10, 0)
        self.assertEqual(4, rise.publish(4, 1))

    def test_it_rises_when_the_higher_figure_has_held(self) -> None:
        rise = promise.SlowRise(60)
        rise.publish(4, 0)
        self.assertEqual(4, rise.publish(10, 1))
        self.assertEqual(4, rise.publish(10, 60))
        self.assertEqual(10, rise.publish(10, 61))

    @given(
        st.lists(st.tuples(st.integers(1, 30), st.integers(0, 100))),
        st.integers(0, 60),
    )
    def test_it_is_the_least_that_held_through_the_window(
        self, steps, delay_s
    ) -> None:
        rise = promise.SlowRise(delay_s)
        now_s, told = 0, []
        for later, figure in steps:
            now_s += later
            told.append((now_s, figure))
            published = rise.publish(figure, now_s)
            # A figure stands from when it was told until the next one.
            ends = [time for time, _ in told[1:]] + [now_s + 1]
            standing = [
                value
                for (_, value), end in zip(told, ends, strict=True)
                if end > now_s - delay_s
            ]
            self.assertEqual(min(standing), published)
