# SPDX-License-Identifier: Apache-2.0
"""The others' rules do what their formulas say."""

import unittest

from benchmarks.balancer.policies.base import HostView, View
from benchmarks.balancer.policies.mom import Mom
from benchmarks.balancer.policies.proxmox import Proxmox
from benchmarks.balancer.policies.qmemman import Qmemman
from benchmarks.balancer.policies.squeezed import Squeezed
from benchmarks.balancer.policies.xenballoond import Xenballoond
from tests.simulator import GIB, MIB


def view(name: str = "a", actual: int = 500, **more) -> View:
    """Give a guest of 1 GiB; sizes without a unit in their name are MiB."""
    figures = {"used": 100, "free": 300, "committed": 150, "swapped": 0}
    figures |= {"floor": 200, "target": actual, **more}
    speaks = figures.pop("speaks", True)
    return View(
        uuid=name,
        flavor_kib=GIB,
        actual_kib=actual * MIB,
        speaks=bool(speaks),
        **{f"{key}_kib": mib * MIB for key, mib in figures.items()},
    )


def host(free: int = 0, wanted: int = 0, now_s: float = 0.0) -> HostView:
    return HostView(now_s, 4 * GIB, free * MIB, wanted * MIB)


def targets_mib(rule, guests, host_view) -> dict[str, int]:
    targets = rule.targets(guests, host_view)
    return {uuid: round(kib / MIB) for uuid, kib in targets.items()}


class XenballoondTest(unittest.TestCase):
    def test_a_tenth_of_the_way_down_to_what_is_committed(self) -> None:
        found = targets_mib(Xenballoond(), [view(committed=200)], host())
        self.assertEqual({"a": 470}, found)

    def test_all_the_way_up(self) -> None:
        found = targets_mib(Xenballoond(), [view(committed=800)], host())
        self.assertEqual({"a": 800}, found)

    def test_not_below_its_floor(self) -> None:
        small = [view(actual=110, committed=20, floor=110)]
        self.assertEqual({"a": 110}, targets_mib(Xenballoond(), small, host()))


class SqueezedTest(unittest.TestCase):
    def test_everyone_at_the_same_part_of_its_range(self) -> None:
        guests = [view("a", 700), view("b", 500, floor=400)]
        # 1200 + 72 − 72 above floors of 600: 600 of a range of 1448
        found = targets_mib(Squeezed(), guests, host(free=72))
        self.assertEqual({"a": 541, "b": 500}, found)

    def test_acceptors_get_what_is_free(self) -> None:
        guests = [view("a", 700), view("b", 300, target=300)]
        found = targets_mib(Squeezed(), guests, host(free=100))
        self.assertEqual({"a": 514, "b": 328}, found)

    def test_a_start_shrinks_all(self) -> None:
        guests = [view("a"), view("b")]
        found = targets_mib(Squeezed(), guests, host(free=72, wanted=200))
        self.assertEqual({"a": 400, "b": 400}, found)

    def test_who_is_stuck_is_left_out(self) -> None:
        rule = Squeezed()
        guests = [view("a", 700, target=400), view("b", 400)]
        rule.targets(guests, host(free=72))
        found = targets_mib(rule, guests, host(free=72, now_s=6))
        self.assertEqual(400, found["a"])
        self.assertEqual(400, found["b"])


class QmemmanTest(unittest.TestCase):
    def test_a_preference_is_not_below_the_floor(self) -> None:
        guests = [view("a", 900, used=100, floor=500), view("b", used=600)]
        # prefs 500 (not 200) and 780, 120 left above them
        found = targets_mib(Qmemman(), guests, host(free=50))
        self.assertEqual(547, found["a"])

    def test_memory_in_proportion_to_preference(self) -> None:
        guests = [view("a", 700, used=400), view("b", 700, used=200)]
        # prefs 520 and 260, 620 left above them
        found = targets_mib(Qmemman(), guests, host(free=50))
        self.assertEqual(467, found["b"])
        self.assertEqual(700, found["a"])

    def test_who_lacks_is_given_what_others_yield(self) -> None:
        guests = [view("a", 500, used=100), view("b", 200, used=700)]
        found = targets_mib(Qmemman(), guests, host(free=150))
        self.assertEqual({"a": 200, "b": 300}, found)

    def test_small_moves_are_not_worth_it(self) -> None:
        guests = [view("a", 500, used=350), view("b", 510, used=350)]
        self.assertEqual({}, targets_mib(Qmemman(), guests, host(free=50)))

    def test_a_start_takes_what_is_above_preference(self) -> None:
        guests = [view("a", 400), view("b", 300)]
        found = targets_mib(Qmemman(), guests, host(free=0, wanted=100))
        self.assertEqual({"a": 330, "b": 265}, found)

    def test_silent_and_stuck_guests_are_left_alone(self) -> None:
        rule = Qmemman()
        guests = [view("a", 900, speaks=False), view("b", 700, target=400)]
        rule.targets(guests, host())
        self.assertEqual({}, rule.targets(guests, host(now_s=4)))


class MomTest(unittest.TestCase):
    def test_all_shrink_by_5_percent_when_the_host_is_short(self) -> None:
        found = targets_mib(Mom(), [view()], host(free=100))
        self.assertEqual({"a": 475}, found)

    def test_not_below_what_they_use(self) -> None:
        found = targets_mib(Mom(), [view(free=10)], host(free=100))
        self.assertEqual({"a": 500}, found)

    def test_all_grow_when_it_is_not(self) -> None:
        found = targets_mib(Mom(), [view()], host(free=2000))
        self.assertEqual({"a": 525}, found)

    def test_the_mean_lags(self) -> None:
        rule = Mom()
        for _ in range(9):
            rule.targets([view()], host(free=2000))
        found = targets_mib(rule, [view()], host(free=0))
        self.assertEqual({"a": 525}, found)

    def test_a_silent_guest_is_left_out(self) -> None:
        self.assertEqual({}, Mom().targets([view(speaks=False)], host()))


class ProxmoxTest(unittest.TestCase):
    def test_nothing_within_the_dead_band(self) -> None:
        self.assertEqual({}, Proxmox().targets([view()], host(free=815)))

    def test_above_80_percent_all_shrink_to_equal_shares(self) -> None:
        guests = [view("a", 600), view("b", 500)]
        found = targets_mib(Proxmox(), guests, host(free=719))
        self.assertEqual({"a": 500, "b": 500}, found)

    def test_by_100_mib_at_most(self) -> None:
        found = targets_mib(Proxmox(), [view(actual=900)], host(free=0))
        self.assertEqual({"a": 800}, found)

    def test_the_pressed_grow_first(self) -> None:
        guests = [view("a", 300), view("b", 300, free=20)]
        found = targets_mib(Proxmox(), guests, host(free=900))
        self.assertEqual({"b": 381}, found)

    def test_the_relaxed_shrink_first(self) -> None:
        guests = [view("a", 500), view("b", 500, free=20)]
        found = targets_mib(Proxmox(), guests, host(free=770))
        self.assertEqual({"a": 451}, found)

    def test_the_pressed_shrink_too_when_nobody_else_can(self) -> None:
        guests = [view("a", 200), view("b", 500, free=20)]
        found = targets_mib(Proxmox(), guests, host(free=770))
        self.assertLess(found["b"], 500)
