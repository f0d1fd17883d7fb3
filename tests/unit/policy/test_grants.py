# SPDX-License-Identifier: Apache-2.0
"""Who is granted what of free memory."""

import unittest

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.policy import grants

MIB = 1024


def wish(uuid: str, lack_mib: int, firm_mib: int, **more) -> grants.Wish:
    return grants.Wish(
        uuid, lack_mib * MIB, firm_mib * MIB, 1024 * MIB, **more
    )


def granted_mib(*wishes, free: int, wanted: int = 0, reserve: int = 0):
    purse = grants.Purse(free * MIB, wanted * MIB, reserve * MIB)
    granted = grants.grants(wishes, purse)
    return {uuid: kib / MIB for uuid, kib in granted.items()}


class GrantsTest(unittest.TestCase):
    def test_all_that_is_lacking_when_there_is_enough(self) -> None:
        self.assertEqual(
            {"a": 100, "b": 50},
            granted_mib(wish("a", 100, 40), wish("b", 50, 50), free=200),
        )

    def test_firm_needs_before_all_else(self) -> None:
        self.assertEqual(
            {"a": 40, "b": 60},
            granted_mib(
                wish("a", 200, 40), wish("b", 60, 60), free=100, wanted=80
            ),
        )

    def test_a_start_before_foresight(self) -> None:
        self.assertEqual(
            {"a": 60},
            granted_mib(wish("a", 200, 40), free=100, wanted=40),
        )

    def test_foresight_leaves_the_reserve(self) -> None:
        self.assertEqual(
            {"a": 50}, granted_mib(wish("a", 200, 40), free=100, reserve=50)
        )

    def test_the_starved_spend_it(self) -> None:
        self.assertEqual(
            {"a": 100},
            granted_mib(
                wish("a", 200, 40, starved=True), free=100, reserve=50
            ),
        )

    def test_the_starved_come_first(self) -> None:
        self.assertEqual(
            {"b": 100},
            granted_mib(
                wish("a", 200, 200),
                wish("b", 100, 100, starved=True),
                free=100,
            ),
        )

    def test_crumbs_are_put_off(self) -> None:
        self.assertEqual({}, granted_mib(wish("a", 200, 200), free=3))
        self.assertEqual(
            {"a": 2}, granted_mib(wish("a", 2, 2), free=3), "it is all"
        )

    def test_of_nothing_nothing_is_given(self) -> None:
        self.assertEqual({}, granted_mib(wish("a", 200, 200), free=-50))

    @given(
        st.lists(
            st.tuples(
                st.integers(1, 10**6), st.integers(0, 10**6), st.booleans()
            ),
            max_size=8,
        ),
        st.tuples(*[st.integers(0, 10**6)] * 3),
    )
    def test_never_more_than_lacks_or_is_there(self, sizes, purse) -> None:
        wishes = [
            grants.Wish(str(n), lack, min(lack, firm), 10**6, starved)
            for n, (lack, firm, starved) in enumerate(sizes)
        ]
        granted = grants.grants(wishes, grants.Purse(*purse))
        self.assertLessEqual(sum(granted.values()), purse[0])
        for one in wishes:
            self.assertLessEqual(granted.get(one.uuid, 0), one.lack_kib)
