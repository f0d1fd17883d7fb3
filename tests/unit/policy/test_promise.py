# SPDX-License-Identifier: Apache-2.0
"""What a host may promise: each bound, and slow rises."""

import dataclasses
import fractions
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
    overhead_kib=0,
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

    def test_what_guests_cost_beside_their_memory_backs_no_flavor(self):
        self.assertEqual(
            promise.Promise(8 * GIB, "swap"),
            made(swap_kib=GIB, overhead_kib=GIB),
        )

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


SIZES = st.integers(0, 2**40)
ACCOUNTS = st.builds(
    promise.Account,
    usable_kib=SIZES,
    reserve_kib=SIZES,
    committed_kib=SIZES,
    peak_kib=SIZES,
    floors_kib=SIZES,
    overhead_kib=SIZES,
    floor_share=st.floats(0.02, 1.0),
    max_ratio=st.floats(1.0, 64.0),
    swap_kib=st.none() | SIZES,
)
# What makes a host promise less, the more there is of it.
BURDENS = ("reserve_kib", "peak_kib", "floors_kib", "overhead_kib")
# What makes it promise more.
ASSETS = ("usable_kib", "max_ratio")


class PropertiesTest(unittest.TestCase):
    @given(ACCOUNTS)
    def test_it_is_never_above_any_bound(self, account) -> None:
        told = promise.promise(account)
        room = told.promise_kib - account.committed_kib
        offered = account.usable_kib - account.reserve_kib
        self.assertGreaterEqual(room, 0)
        if not room:
            return
        # The predicted peak and what is promised besides fit the host
        self.assertLessEqual(account.peak_kib + room, offered)
        # So do the floors of all that may come
        exact = fractions.Fraction(account.floor_share)
        self.assertLessEqual(account.floors_kib + room * exact, offered)
        ratio = fractions.Fraction(account.max_ratio)
        self.assertLessEqual(told.promise_kib, account.usable_kib * ratio)
        if account.swap_kib is not None:
            limit = account.usable_kib + account.swap_kib
            limit -= account.overhead_kib
            self.assertLessEqual(told.promise_kib, limit)

    @given(ACCOUNTS)
    def test_the_bound_that_is_told_is_the_one_that_decided(self, account):
        told = promise.promise(account)
        # Without all others it would be the same
        without = {
            "demand": {"peak_kib": -(2**60)},
            "floors": {"floors_kib": -(2**60)},
            "ratio": {"max_ratio": 2.0**62},
            "swap": {"swap_kib": None},
        }
        del without[told.bound]
        others = {
            name: v for one in without.values() for name, v in one.items()
        }
        if account.usable_kib or told.bound == "ratio":
            alone = promise.promise(dataclasses.replace(account, **others))
            self.assertEqual(told, alone)

    @given(ACCOUNTS, st.sampled_from(BURDENS), SIZES)
    def test_more_of_a_burden_is_never_more_promise(
        self, account, name, more
    ) -> None:
        heavier = dataclasses.replace(
            account, **{name: getattr(account, name) + more}
        )
        self.assertLessEqual(
            promise.promise(heavier).promise_kib,
            promise.promise(account).promise_kib,
        )

    @given(ACCOUNTS, st.sampled_from(ASSETS), st.integers(0, 2**30))
    def test_more_of_an_asset_is_never_less_promise(
        self, account, name, more
    ) -> None:
        richer = dataclasses.replace(
            account, **{name: getattr(account, name) + more}
        )
        self.assertGreaterEqual(
            promise.promise(richer).promise_kib,
            promise.promise(account).promise_kib,
        )

    @given(ACCOUNTS)
    def test_who_has_just_begun_promises_what_is_there(self, account) -> None:
        unmoved_kib = promise.unmoved_kib(account)
        self.assertIn(
            unmoved_kib,
            (account.committed_kib, account.usable_kib - account.reserve_kib),
        )
        self.assertGreaterEqual(unmoved_kib, account.committed_kib)


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
