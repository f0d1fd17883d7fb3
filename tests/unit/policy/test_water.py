# SPDX-License-Identifier: Apache-2.0
"""Memory is shared out exactly."""

import unittest

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.policy import water

FAIR_ENOUGH = 0.5


def vessel(key: str, most_kib: int, least_kib: int = 0) -> water.Vessel:
    return water.Vessel(key, 0, least_kib, most_kib, weight=1.0)


VESSELS = st.lists(
    st.builds(
        lambda n, base, above, most, weight: water.Vessel(
            key=f"{n:04}",
            base_kib=base,
            least_kib=base + above,
            most_kib=base + most,
            weight=weight,
        ),
        st.integers(0, 9999),
        st.integers(0, 10**6),
        st.one_of(st.just(0), st.integers(0, 10**6)),
        st.integers(0, 10**7),
        st.floats(0.1, 1000.0),
    ),
    max_size=12,
    unique_by=lambda one: one.key,
)


class ApportionTest(unittest.TestCase):
    @given(
        st.integers(0, 10**9),
        st.dictionaries(st.text(max_size=3), st.integers(0, 10**8)),
    )
    def test_it_is_exact(self, total, shares) -> None:
        parts = water.apportion(total, shares)
        self.assertEqual(min(total, sum(shares.values())), sum(parts.values()))
        for key, part in parts.items():
            self.assertLessEqual(part, shares[key])


class FillWholeTest(unittest.TestCase):
    def fill(self, pool_kib: int, vessels, has=None) -> dict[str, int]:
        has = has or dict.fromkeys((v.key for v in vessels), 0)
        return water.fill_whole(pool_kib, vessels, has, FAIR_ENOUGH)

    def test_the_cheapest_is_made_whole_first(self) -> None:
        vessels = [vessel("a", 1000), vessel("b", 900), vessel("c", 1100)]
        # The level is 600, so each is left 300: 900 is over, 600 for "b".
        self.assertEqual(
            {"a": 450, "b": 900, "c": 450}, self.fill(1800, vessels)
        )

    def test_who_is_whole_stays_so(self) -> None:
        vessels = [vessel("a", 1000), vessel("b", 900), vessel("c", 1100)]
        has = {"a": 1000, "b": 300, "c": 300}
        self.assertEqual(
            {"a": 1000, "b": 400, "c": 400}, self.fill(1800, vessels, has)
        )

    def test_who_was_whole_a_moment_ago_comes_before_the_cheapest(self):
        vessels = [vessel("a", 1000), vessel("b", 900), vessel("c", 1100)]
        has = {"a": 960, "b": 300, "c": 300}
        self.assertEqual(1000, self.fill(1800, vessels, has)["a"])

    def test_who_asks_for_all_comes_after_who_asks_for_little(self) -> None:
        # Given one that claims all there is, and has it
        vessels = [vessel("a", 1000), vessel("b", 600), vessel("c", 600)]
        has = {"a": 1000, "b": 100, "c": 100}
        # Then one of those that ask for less comes first
        self.assertEqual(
            {"a": 400, "b": 600, "c": 400}, self.fill(1400, vessels, has)
        )

    def test_what_one_must_keep_makes_it_none_the_cheaper(self) -> None:
        vessels = [vessel("a", 1000, 500), vessel("b", 900), vessel("c", 900)]
        self.assertEqual(900, self.fill(1900, vessels)["b"])
        self.assertEqual(500, self.fill(1900, vessels)["a"])

    def test_two_that_nearly_have_it_do_not_take_turns(self) -> None:
        # Given that one of two can have its most, the other nearly, and
        # that what they ask for wavers
        for more_kib in (-20, 0, 20):
            vessels = [vessel("a", 1000), vessel("b", 1000 + more_kib)]
            has = {"a": 960, "b": 1000 + more_kib}
            filled = self.fill(1960 + more_kib, vessels, has)
            self.assertEqual({"a": 960, "b": 1000 + more_kib}, filled)

    def test_with_too_little_for_one_all_stand_at_one_level(self) -> None:
        vessels = [vessel(name, 1000) for name in "abc"]
        self.assertEqual(
            {"a": 100, "b": 100, "c": 100}, self.fill(300, vessels)
        )

    @given(st.integers(0, 10**8), VESSELS)
    def test_no_more_than_the_pool_is_given(self, pool_kib, vessels) -> None:
        filled = self.fill(pool_kib, vessels)
        least_kib = sum(one.least_kib for one in vessels)
        self.assertLessEqual(sum(filled.values()), max(pool_kib, least_kib))

    @given(st.integers(0, 10**8), VESSELS)
    def test_nobody_has_less_than_its_part_of_the_fair_share(
        self, pool_kib, vessels
    ) -> None:
        fair = water.water_fill(pool_kib, vessels)
        filled = self.fill(pool_kib, vessels)
        for one in vessels:
            part_kib = (fair[one.key] - one.base_kib) * FAIR_ENOUGH
            self.assertGreaterEqual(
                filled[one.key], int(one.base_kib + part_kib) - 1
            )

    @given(st.integers(0, 10**8), VESSELS, st.lists(st.floats(0, 1.2)))
    def test_so_it_is_with_whatever_they_have(
        self, pool_kib, vessels, shares
    ) -> None:
        has = {one.key: 0 for one in vessels}
        for one, share in zip(vessels, shares, strict=False):
            has[one.key] = int(one.most_kib * share)
        filled = self.fill(pool_kib, vessels, has)
        self.assertEqual(filled, self.fill(pool_kib, vessels, filled))

    @given(st.integers(0, 10**8), VESSELS)
    def test_filling_again_what_is_filled_changes_nothing(
        self, pool_kib, vessels
    ) -> None:
        filled = self.fill(pool_kib, vessels)
        self.assertEqual(filled, self.fill(pool_kib, vessels, filled))

    @given(st.integers(0, 10**8), VESSELS)
    def test_at_least_as_many_are_whole_as_at_one_level(
        self, pool_kib, vessels
    ) -> None:
        def whole(filled: dict[str, int]) -> int:
            return sum(filled[v.key] >= v.most_kib for v in vessels)

        fair = water.water_fill(pool_kib, vessels)
        self.assertGreaterEqual(
            whole(self.fill(pool_kib, vessels)), whole(fair)
        )
