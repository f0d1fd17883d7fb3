# SPDX-License-Identifier: Apache-2.0
"""How long a guest is left alone whose calls are refused."""

import unittest

from nova_xen_overcommit.policy.refusals import NO_REFUSALS


class RefusalsTest(unittest.TestCase):
    def test_who_was_never_refused_anything_is_not_left_alone(self) -> None:
        self.assertFalse(NO_REFUSALS.last(0.0))

    def test_it_is_tried_again_after_a_second(self) -> None:
        found = NO_REFUSALS.one_more(100.0)
        self.assertTrue(found.last(100.9))
        self.assertFalse(found.last(101.0))

    def test_each_further_refusal_doubles_that(self) -> None:
        found = NO_REFUSALS.one_more(100.0).one_more(101.0).one_more(103.0)
        self.assertTrue(found.last(106.9))
        self.assertFalse(found.last(107.0))

    def test_it_is_never_left_alone_for_more_than_a_minute(self) -> None:
        found = NO_REFUSALS
        for _ in range(2000):
            found = found.one_more(100.0)
        self.assertTrue(found.last(159.9))
        self.assertFalse(found.last(160.0))
