# SPDX-License-Identifier: Apache-2.0
"""What holds for every plan."""

import dataclasses
import unittest

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.policy import targets
from nova_xen_overcommit.policy.limits import Limit
from nova_xen_overcommit.policy.shortage import taxed_weight
from tests.unit.policy.plans import EXACT, MIB, SETTINGS

GUESTS = st.lists(
    st.builds(
        lambda n, floor, above, has, ranks, moves, weight: targets.Guest(
            uuid=f"{n:08}",
            flavor_kib=floor + above,
            floor_kib=floor,
            actual_kib=floor + has % (above + 1),
            target_kib=floor + has % (above + 1),
            bare_kib=ranks[0],
            firm_kib=ranks[1],
            demand_kib=ranks[2],
            hoped_kib=ranks[3],
            used_kib=ranks[0] // 2,
            weight=weight,
            growable=moves != 0,
            shrinkable=moves == 2,
            yields_if_short=moves == 3,
        ),
        st.integers(0, 10**8 - 1),
        st.integers(1, 512 * MIB),
        st.integers(0, 4096 * MIB),
        st.integers(0, 4096 * MIB),
        st.tuples(*[st.integers(0, 5000 * MIB)] * 4).map(sorted),
        st.integers(0, 3),
        st.floats(0.1, 10.0),
    ),
    max_size=12,
    unique_by=lambda one: one.uuid,
)
HOSTS = st.builds(
    targets.Host,
    expected_free_kib=st.integers(0, 4096 * MIB),
    reserve_kib=st.integers(16 * MIB, 256 * MIB),
    slack_kib=st.integers(0, 15 * MIB),
    wanted_kib=st.integers(0, 1024 * MIB),
)


def weight(one: targets.Guest) -> float:
    return taxed_weight(one, EXACT.idle_tax)


def at_level(guests: list[targets.Guest], level: float) -> float:
    """Give what guests have in all that stand at one level."""
    return sum(
        min(one.bare_need_kib, one.floor_kib + level * weight(one))
        for one in guests
    )


class PropertiesTest(unittest.TestCase):
    @given(GUESTS, HOSTS)
    def test_targets_stay_between_floor_and_flavor(self, guests, where):
        plan = targets.plan(guests, where, SETTINGS)
        for one in guests:
            target_kib = plan[one.uuid].target_kib
            self.assertLessEqual(one.floor_kib, target_kib)
            self.assertLessEqual(target_kib, one.flavor_kib)

    @given(GUESTS, HOSTS)
    def test_only_who_may_be_moved_is_moved(self, guests, where) -> None:
        plan = targets.plan(guests, where, SETTINGS)
        for one in guests:
            change_kib = plan[one.uuid].target_kib - one.target_kib
            self.assertFalse(change_kib > 0 and not one.growable)
            yields = one.shrinkable or one.yields_if_short
            self.assertFalse(change_kib < 0 and not yields)

    @given(GUESTS, HOSTS)
    def test_the_starved_yield_only_where_not_all_have_what_they_use(
        self, guests, where
    ) -> None:
        # Given that what is in use by those that share is there
        sharers = [one for one in guests if one.growable]
        pool_kib = where.expected_free_kib - where.slack_kib
        pool_kib += sum(one.target_kib for one in sharers)
        if sum(one.bare_need_kib for one in sharers) > pool_kib:
            return
        # Then who is starved keeps all it has
        plan = targets.plan(guests, where, EXACT)
        for one in guests:
            if one.yields_if_short:
                target_kib = plan[one.uuid].target_kib
                self.assertGreaterEqual(target_kib, one.target_kib)

    @given(GUESTS, HOSTS)
    def test_the_starved_keep_their_fair_share(self, guests, where) -> None:
        sharers = [one for one in guests if one.growable]
        pool_kib = where.expected_free_kib - where.slack_kib
        pool_kib += sum(one.target_kib for one in sharers)
        plan = targets.plan(guests, where, EXACT)
        for one in guests:
            if not one.yields_if_short:
                continue
            target_kib = plan[one.uuid].target_kib
            if target_kib < min(one.target_kib, one.bare_need_kib):
                # Were all at its level, they would have more than there is
                level = (target_kib + 1 - one.floor_kib) / weight(one)
                self.assertGreater(at_level(sharers, level), pool_kib)

    @given(GUESTS, HOSTS)
    def test_no_more_is_given_than_there_will_be(self, guests, where):
        # The dead band may hold back a donor but never a wish: that is why
        # the balancer grants only what is measured free.
        plan = targets.plan(guests, where, EXACT)
        given_kib = sum(
            plan[one.uuid].target_kib - one.target_kib for one in guests
        )
        self.assertLessEqual(given_kib, where.expected_free_kib)

    @given(GUESTS, HOSTS, st.lists(st.sampled_from([0.1, 0.5, 1.0])))
    def test_nothing_lies_free_while_one_lacks_what_it_uses(
        self, guests, where, shares
    ) -> None:
        # Given guests of which some were left with less than their floors
        for one, share in zip(guests, shares, strict=False):
            one.actual_kib = one.target_kib = int(one.target_kib * share)
        plan = targets.plan(guests, where, EXACT)
        if any(
            plan[one.uuid].target_kib < one.bare_need_kib
            for one in guests
            if one.growable
        ):
            # Then all that is free is meant for somebody
            given_kib = sum(
                plan[one.uuid].target_kib - one.target_kib for one in guests
            )
            free_kib = where.expected_free_kib - where.slack_kib
            self.assertGreaterEqual(given_kib, free_kib - len(guests))

    @given(GUESTS, HOSTS)
    def test_who_has_not_what_it_needs_is_told_why(self, guests, where):
        held = [
            dataclasses.replace(
                one, hold=None if one.shrinkable else Limit.HELD
            )
            for one in guests
        ]
        plan = targets.plan(held, where, SETTINGS)
        for one in held:
            decision = plan[one.uuid]
            if decision.target_kib < one.demand_kib:
                self.assertTrue(decision.limits, decision)

    @given(GUESTS, HOSTS)
    def test_the_order_of_guests_does_not_matter(self, guests, where):
        forward = targets.plan(guests, where, SETTINGS)
        backward = targets.plan(guests[::-1], where, SETTINGS)
        self.assertEqual(forward, backward)

    @given(GUESTS, HOSTS)
    def test_nobody_gives_of_a_rank_while_others_have_more(
        self, guests, where
    ) -> None:
        plan = targets.plan(guests, where, EXACT)
        ranks = [
            lambda one: one.firm_need_kib,
            lambda one: one.need_kib,
            lambda one: one.hoped_need_kib,
        ]
        for rank in ranks:
            gives = any(
                plan[one.uuid].target_kib < min(one.target_kib, rank(one))
                for one in guests
            )
            for one in guests:
                if gives and one.shrinkable:
                    target_kib = plan[one.uuid].target_kib
                    self.assertLessEqual(target_kib, rank(one))

    @given(GUESTS, HOSTS)
    def test_only_firm_needs_make_anyone_give_what_it_uses(
        self, guests, where
    ) -> None:
        # Given that firm needs can be met out of what is above them
        lacking_kib = sum(
            max(0, one.firm_need_kib - one.target_kib)
            for one in guests
            if one.growable
        )
        spare_kib = sum(
            max(0, one.target_kib - one.firm_need_kib)
            for one in guests
            if one.shrinkable
        )
        missing_kib = lacking_kib + where.slack_kib - where.expected_free_kib
        if missing_kib > spare_kib:
            return
        # Then starts, reserve, foresight and hope leave them alone
        plan = targets.plan(guests, where, SETTINGS)
        for one in guests:
            target_kib = plan[one.uuid].target_kib
            self.assertGreaterEqual(
                target_kib, min(one.target_kib, one.firm_need_kib)
            )

    @given(GUESTS, HOSTS)
    def test_a_plan_that_has_come_true_moves_nothing_more(self, guests, where):
        plan = targets.plan(guests, where, EXACT)
        given_kib = sum(
            plan[one.uuid].target_kib - one.target_kib for one in guests
        )
        settled = [
            dataclasses.replace(
                one,
                target_kib=plan[one.uuid].target_kib,
                actual_kib=plan[one.uuid].target_kib,
            )
            for one in guests
        ]
        after = dataclasses.replace(
            where, expected_free_kib=where.expected_free_kib - given_kib
        )
        again = targets.plan(settled, after, EXACT)
        self.assertEqual(
            {one.uuid: one.target_kib for one in settled},
            {uuid: one.target_kib for uuid, one in again.items()},
        )
