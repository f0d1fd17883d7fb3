# SPDX-License-Identifier: Apache-2.0
"""The real publisher moving a guest's balloon, in a sysfs of ours."""

from nova_xen_overcommit.policy import floor
from tests.unit.guest import guest_world
from tests.unit.guest.test_publisher import PublisherTestCase

MIB = 1024
GIB = 1024 * MIB
# What the kernel of guest_world keeps outside MemTotal.
KERNEL_KIB = 64 * MIB


def need_kib(used_kib: int) -> int:
    """What the publisher thinks a guest needs that uses so much."""
    used_kib += KERNEL_KIB
    return used_kib + used_kib // 10 + 32 * MIB


class SelfBalloonTest(PublisherTestCase):
    def test_it_shrinks_by_a_tenth_of_the_gap_each_second(self) -> None:
        # Given a 1 GiB guest that uses 200 MiB
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.balloon(GIB, {0: 200 * MIB})
                # When it balloons itself for four seconds
                outcome = guest.run(shell, looks=4)
                # Then each second it gives a tenth of what is left
                sizes = [GIB]
                for _ in range(3):
                    gap_kib = sizes[-1] - need_kib(200 * MIB)
                    sizes.append((sizes[-1] - gap_kib // 10) // 4 * 4)
                self.assertEqual(sizes, guest.sizes)
                self.assertEqual("", outcome.stderr)

    def test_it_comes_to_rest_near_its_need(self) -> None:
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.balloon(GIB, {0: 200 * MIB})
                guest.run(shell, looks=60)
                self.assertEqual(1, len(set(guest.sizes[-10:])))
                above_kib = guest.sizes[-1] - need_kib(200 * MIB)
                self.assertLessEqual(0, above_kib)
                self.assertLess(above_kib, 16 * MIB)

    def test_it_grows_at_once(self) -> None:
        # Given a guest that has shrunk and then needs memory
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.balloon(GIB, {0: 100 * MIB, 30: 250 * MIB})
                guest.run(shell, looks=33)
                # Then within a second it has what it needs
                self.assertLess(guest.sizes[30], 320 * MIB)
                self.assertGreater(guest.sizes[31], KERNEL_KIB + 250 * MIB)

    def test_who_is_starved_twice_gets_all_that_is_allowed(self) -> None:
        # Given a guest that needs far more than it can say
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.balloon(GIB, {0: 100 * MIB, 30: 800 * MIB})
                guest.run(shell, looks=33)
                # Then within two seconds it has everything
                self.assertEqual(GIB, guest.sizes[32])

    def test_it_never_goes_below_its_floor(self) -> None:
        # Given a guest that uses almost nothing
        for shell in guest_world.SHELLS:
            for size_kib in (100 * MIB, 256 * MIB, GIB, 4 * GIB):
                with self.each_shell(shell) as guest:
                    guest.balloon(size_kib, {0: 1})
                    guest.run(shell, looks=80)
                    # Then the agent's floor holds for it as well
                    least_kib = floor.floor_kib(size_kib, 0.0)
                    self.assertLessEqual(least_kib // 4 * 4, guest.sizes[-1])

    def test_it_keeps_what_its_swap_cant_hold(self) -> None:
        # Given guests that use little, with less swap than memory
        for shell in guest_world.SHELLS:
            for swap_kib in (0, 400 * MIB):
                with self.each_shell(shell) as guest:
                    guest.balloon(GIB, {0: 1}, swap_kib)
                    guest.run(shell, looks=60)
                    # Then none of their programs is ever killed for memory
                    # that was given away
                    least_kib = GIB - swap_kib
                    self.assertLessEqual(least_kib, min(guest.sizes))
                    self.assertLess(guest.sizes[-1], least_kib + 16 * MIB + 1)

    def test_a_floor_can_be_set(self) -> None:
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.balloon(GIB, {0: 1})
                guest.run(shell, looks=60, NXO_FLOOR_KIB=str(700 * MIB))
                self.assertLessEqual(700 * MIB, guest.sizes[-1])
                self.assertLess(guest.sizes[-1], 720 * MIB)

    def test_it_tells_what_it_wants_more_than_it_has(self) -> None:
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.balloon(GIB, {0: 200 * MIB})
                outcome = guest.run(shell, looks=1)
                gap_kib = GIB - need_kib(200 * MIB)
                self.assertEqual(
                    -(gap_kib // 10), outcome.figures()["self_more_kib"]
                )

    def test_it_doesnt_touch_the_balloon_unasked(self) -> None:
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.balloon(GIB, {0: 200 * MIB})
                outcome = guest.run(shell, looks=5, NXO_SELF_BALLOON="no")
                self.assertEqual({GIB}, set(guest.sizes))
                self.assertNotIn("self_more_kib", outcome.figures())

    def test_without_a_balloon_it_only_publishes(self) -> None:
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.at(0)
                outcome = guest.run(
                    shell,
                    looks=1,
                    NXO_SELF_BALLOON="yes",
                    NXO_BALLOON="/nonexistent",
                )
                self.assertIn("the host balances", outcome.stderr)
                self.assertNotIn("self_more_kib", outcome.figures())


class HostsCapTest(PublisherTestCase):
    """What the host allows is kept, and what is wanted beyond is told."""

    def capped(
        self, shell: tuple[str, ...], looks: int
    ) -> tuple[list[int], list[int], str]:
        """Shrink to 300 MiB by the host at 30, need 600 MiB at 40.

        Gives sizes, targets told to the kernel and what was written.
        """
        with self.each_shell(shell) as guest:
            guest.balloon(GIB, {0: 100 * MIB, 40: 600 * MIB})
            guest.host_sets(30, 300 * MIB)
            guest.host_sets(45, 900 * MIB)
            outcome = guest.run(shell, looks)
            target = (guest.root / "balloon" / "target_kb").read_text()
            return guest.sizes, [int(target)], outcome.lines[-1]
        raise AssertionError

    def test_it_doesnt_ask_its_kernel_for_more_than_allowed(self) -> None:
        # Given a guest whose host allows less than it comes to need
        for shell in guest_world.SHELLS:
            sizes, targets, told = self.capped(shell, looks=43)
            # Then its balloon's target is what is allowed
            self.assertEqual([300 * MIB], targets)
            self.assertEqual(300 * MIB, sizes[-1])
            # And what it lacks is told
            more_kib = int(told.split("self_more_kib=")[1].split()[0])
            self.assertGreater(more_kib, 100 * MIB)

    def test_it_is_told_at_once(self) -> None:
        for shell in guest_world.SHELLS:
            _sizes, _targets, told = self.capped(shell, looks=42)
            self.assertEqual("41", told.split()[0])

    def test_it_takes_what_is_given_to_it(self) -> None:
        for shell in guest_world.SHELLS:
            sizes, _targets, _told = self.capped(shell, looks=47)
            self.assertEqual(900 * MIB, sizes[45])

    def test_it_knows_what_is_allowed_after_it_was_started_anew(self):
        # Given a publisher that has shrunk its guest and is started anew
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.balloon(GIB, {0: 100 * MIB, 23: 600 * MIB})
                guest.run(shell, looks=20)
                self.assertLess(guest.sizes[-1], 400 * MIB)
                # When the guest needs memory
                guest.run(shell, looks=9)
                # Then it takes what the host still allows
                self.assertGreater(guest.sizes[-1], 700 * MIB)

    def test_it_tries_seldom_whether_more_is_allowed(self) -> None:
        # Given a guest that lacks memory, and a host that allows no more
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.balloon(GIB, {0: 100 * MIB, 10: 600 * MIB})
                guest.host_sets(5, 300 * MIB)
                # And then allows it without being heard
                guest.host_allows(60, 900 * MIB)
                guest.run(shell, looks=85)
                # Then it has asked its kernel for more once in 30 s
                beyond = [x for x in guest.targets[5:60] if x > 300 * MIB]
                self.assertEqual(1, len(beyond))
                # And takes what is allowed in the end
                self.assertGreater(guest.sizes[-1], 600 * MIB)

    def test_it_never_asks_for_more_than_it_was_built_for(self) -> None:
        # Given a guest that lacks more than the host will ever give
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.balloon(GIB, {0: 100 * MIB, 5: 3 * GIB})
                guest.run(shell, looks=45)
                # Then it has its kernel take all there is, and no more
                self.assertEqual(GIB, max(guest.targets))
                self.assertEqual({GIB}, set(guest.targets[-30:]))

    def test_when_told_to_end_it_gives_the_balloon_back(self) -> None:
        # Given a guest that has shrunk by itself
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.balloon(GIB, {0: 100 * MIB})
                told_to_end = guest.root / "end.15"
                told_to_end.write_text("")
                # When its publisher is told to end
                guest.run(shell, looks=40)
                # Then what the host allows is the balloon's target again
                target = (guest.root / "balloon" / "target_kb").read_text()
                self.assertEqual(GIB, int(target))
                self.assertLess(guest.sizes[-1], 400 * MIB)


class SizeTest(PublisherTestCase):
    def test_the_floor_is_that_of_what_the_guest_was_built_for(self) -> None:
        # Given a 4 GiB guest of which the host allows 1 GiB
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.balloon(GIB, {0: 1}, 4 * GIB)
                guest.built_for(4 * MIB, GIB - 4 * MIB, 3 * GIB)
                guest.run(shell, looks=50)
                # Then it keeps the floor of 4 GiB
                least_kib = floor.floor_kib(4 * GIB, 0.0)
                self.assertLessEqual(least_kib // 4 * 4, guest.sizes[-1])
                self.assertLess(guest.sizes[-1], least_kib + 32 * MIB)
