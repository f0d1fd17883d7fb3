# SPDX-License-Identifier: Apache-2.0
"""The demo's judge: each rule it knows, broken once."""

import dataclasses
import unittest

from demo import rules
from demo.host import KIB, Seen

GIB = 1024 * KIB
LIMITS = rules.Limits(
    floor_share=0.1, reserve_kib=128 * KIB, swap_kib_per_guest=GIB
)


def guests(count: int, actual_mib: int) -> list[Seen]:
    return [
        Seen(f"uuid-{n}", f"guest-{n}", n, GIB, actual_mib * KIB)
        for n in range(count)
    ]


SOUND = rules.Moment(
    time_s=1.0,
    observing=False,
    guests=guests(7, 256),
    told={},
    promised_mib=9000,
    capacity_mib=9000,
    silent_s=0.2,
    failed_passes=0,
)


class RulesTest(unittest.TestCase):
    def judge(self, **changes: object) -> list[str]:
        moment = dataclasses.replace(SOUND, **changes)
        return rules.broken(moment, LIMITS)

    def assert_broken(self, rule: str, **changes: object) -> None:
        faults = self.judge(**changes)
        self.assertTrue(
            any(fault.startswith(rule) for fault in faults), faults
        )

    def test_a_sound_host_breaks_nothing(self) -> None:
        self.assertEqual([], self.judge())

    def test_a_guest_at_its_floor_and_one_at_its_flavor_are_sound(
        self,
    ) -> None:
        # 104 MiB + 1 GiB / 512, as xenballoond has it, and 48 MiB +
        # 1 GiB / 64 for the kernel
        pair = [*guests(1, 170), *guests(1, 1024)]
        self.assertEqual([], self.judge(guests=pair))

    def test_a_guest_below_its_floor(self) -> None:
        self.assert_broken("rule 1", guests=guests(2, 169))

    def test_a_guest_above_its_flavor(self) -> None:
        self.assert_broken("rule 1", guests=guests(2, 1025))

    def test_more_floors_than_memory(self) -> None:
        # 20 floors fit beside the reserve, 21 don't
        self.assertEqual([], self.judge(guests=guests(20, 170)))
        self.assert_broken("rule 1", guests=guests(21, 170))

    def test_more_held_than_there_is(self) -> None:
        self.assert_broken("rule 2", guests=guests(7, 513))

    def test_more_flavors_than_memory_and_swap(self) -> None:
        limits = dataclasses.replace(LIMITS, swap_kib_per_guest=GIB // 2)
        moment = dataclasses.replace(SOUND, guests=guests(8, 256))
        [fault] = rules.broken(moment, limits)
        self.assertTrue(fault.startswith("rule 9"))

    def test_a_balloon_moved_in_observe(self) -> None:
        self.assert_broken(
            "rule 11", observing=True, capacity_mib=3584, guests=guests(1, 999)
        )

    def test_placement_hands_out_more_than_is_promised(self) -> None:
        self.assert_broken("promise", capacity_mib=9001)

    def test_placement_hands_out_more_than_there_is_in_observe(self) -> None:
        self.assert_broken("promise", observing=True, capacity_mib=3585)

    def test_an_agent_that_is_silent_or_fails(self) -> None:
        self.assert_broken("rule 10", silent_s=2.1)
        self.assert_broken("rule 10", failed_passes=1)
