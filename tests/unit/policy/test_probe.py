# SPDX-License-Identifier: Apache-2.0
"""What is concluded from a guest's disks and balloon, look by look."""

import dataclasses
import unittest

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.policy import probe
from nova_xen_overcommit.policy.probe import Phase
from nova_xen_overcommit.policy.progress import Progress, Status
from nova_xen_overcommit.policy.traffic import DiskCounters

MIB = 1024
FLAVOR_KIB = 1024 * MIB
FLOOR_KIB = 170 * MIB
SETTINGS = probe.ProbeSettings()
STEP_KIB = 16 * MIB


class Guest:
    """A guest that obeys at once, and what its disks do in a second."""

    def __init__(self, target_mib: int = 1024, **more: int) -> None:
        self.time_s = 1000.0
        self.target_kib = self.actual_kib = target_mib * MIB
        self.counters = DiskCounters(0, 0, 0)
        self.status = Status.SETTLED
        self.swap_kib = more.get("swap_kib", FLAVOR_KIB)
        self.flavor_kib = more.get("flavor_kib", FLAVOR_KIB)
        self.dark = False
        self.state: probe.Probe | None = None
        self.look()

    def look(self) -> probe.Probe:
        progress = Progress(
            self.target_kib, self.actual_kib, 0.0, 0, self.status
        )
        seen = probe.Look(
            time_s=self.time_s,
            counters=None if self.dark else self.counters,
            progress=progress,
            flavor_kib=self.flavor_kib,
            floor_kib=FLOOR_KIB,
            swap_kib=self.swap_kib,
        )
        self.state = probe.observe(self.state, seen, SETTINGS)
        assert self.state is not None
        return self.state

    def live(
        self, seconds: float, read: int = 0, written: int = 0, files: int = 0
    ) -> probe.Probe:
        """Let a time pass with these KiB in each second."""
        state = self.state
        for _ in range(round(seconds)):
            self.time_s += 1.0
            before = self.counters
            self.counters = DiskCounters(
                before.swap_read_kib + read,
                before.swap_written_kib + written,
                before.file_read_kib + files,
            )
            state = self.look()
        assert state is not None
        return state

    def obey(self) -> probe.Probe:
        """Have what is demanded, as if the planner took all it may."""
        self.target_kib = self.actual_kib = self.look().demand_kib
        return self.look()

    def go_down(self, steps: int) -> probe.Probe:
        """Be known to be calm, and give so many steps."""
        self.live(probe.CALM_S)
        for _ in range(steps):
            self.obey()
            self.live(probe.STEP_EVERY_S)
        return self.look()


class CalmTest(unittest.TestCase):
    def test_the_flavor_counts_until_a_guest_is_known_to_be_calm(self):
        guest = Guest(800)
        state = guest.live(probe.CALM_S - 1)
        self.assertEqual((Phase.UNKNOWN, FLAVOR_KIB), facts(state))
        # Then it is one step below what it has, not below its flavor
        state = guest.live(1)
        self.assertEqual((Phase.OPEN, 800 * MIB - STEP_KIB), facts(state))

    def test_a_step_is_asked_for_but_once(self) -> None:
        guest = Guest()
        guest.go_down(0)
        state = guest.obey()
        self.assertEqual((Phase.WATCHED, guest.target_kib), facts(state))
        state = guest.live(probe.STEP_EVERY_S - 1)
        self.assertEqual((Phase.WATCHED, guest.target_kib), facts(state))
        state = guest.live(1)
        self.assertEqual(FLAVOR_KIB - 2 * STEP_KIB, state.demand_kib)

    def test_what_nobody_wants_is_not_taken(self) -> None:
        guest = Guest()
        self.assertEqual(guest.live(3600).demand_kib, FLAVOR_KIB - STEP_KIB)

    def test_while_its_balloon_moves_it_is_not_calm(self) -> None:
        guest = Guest()
        guest.go_down(0)
        guest.target_kib -= STEP_KIB
        guest.status = Status.MOVING
        state = guest.live(30)
        self.assertEqual((Phase.WATCHED, guest.target_kib), facts(state))

    def test_a_step_is_a_hundredth_or_worth_moving(self) -> None:
        for flavor_mib, dead_band_mib, step_mib in (
            (1024, 8, 16),
            (1024, 0, 10.24),
            (16384, 8, 163.84),
        ):
            kib = probe.step_kib(flavor_mib * MIB, dead_band_mib * MIB)
            self.assertEqual(int(step_mib * MIB), kib)

    def test_the_floor_is_half_and_what_swap_can_hold(self) -> None:
        for swap_mib, least_mib in ((1024, 512), (2048, 512), (256, 768)):
            guest = Guest(swap_kib=swap_mib * MIB)
            state = guest.go_down(200)
            self.assertEqual(
                (Phase.FLOOR, least_mib * MIB), facts(state), swap_mib
            )

    def test_who_has_less_than_the_floor_is_given_that(self) -> None:
        state = Guest(300).live(probe.CALM_S)
        self.assertEqual((Phase.FLOOR, 512 * MIB), facts(state))

    def test_a_guest_whose_disks_were_never_read_is_not_probed(self):
        progress = Progress(MIB, MIB, 0.0, 0)
        look = probe.Look(0.0, None, progress, MIB, 0, MIB)
        self.assertIsNone(probe.observe(None, look, SETTINGS))


def facts(state: probe.Probe) -> tuple[Phase, int]:
    return state.phase, state.demand_kib


class PainTest(unittest.TestCase):
    def setUp(self) -> None:
        self.guest = Guest()
        self.guest.go_down(10)
        self.had_kib = self.guest.target_kib

    def assert_given_back(self, state: probe.Probe, sign: str) -> None:
        self.assertEqual(
            (Phase.HELD_OFF, self.had_kib + STEP_KIB), facts(state)
        )
        self.assertEqual(1, len(state.signs))
        self.assertIn(sign, state.signs[0])

    def test_reads_of_its_swap_disk_hurt_at_once(self) -> None:
        state = self.guest.live(1, read=129)
        self.assert_given_back(state, "swap disk read at 64 KiB/s")

    def test_few_reads_do_not_hurt(self) -> None:
        state = self.guest.live(60, read=64)
        self.assertEqual(0, state.pains)

    def test_writes_to_its_swap_disk_hurt(self) -> None:
        state = self.guest.live(1, written=1000)
        self.assert_given_back(state, "swap disk written at 500 KiB/s")

    def test_reads_of_files_far_above_the_usual_hurt(self) -> None:
        state = self.guest.live(1, files=3000)
        self.assert_given_back(state, "files read at 1500 KiB/s, usual 0")

    def test_files_may_be_read_as_was_usual(self) -> None:
        # Given a guest that always read 2 MiB/s
        guest = Guest()
        guest.live(300, files=2048)
        guest.obey()
        # Then four times that and a little more is borne, and no more
        self.assertEqual(0, guest.live(20, files=9 * MIB).pains)
        self.assertEqual(1, guest.live(2, files=10 * MIB).pains)

    def test_the_usual_is_not_learnt_from_a_guest_that_lacks(self) -> None:
        self.guest.live(3600, files=1000)
        self.assertEqual(0, self.guest.look().disks.usual_kib_s)

    def test_a_boot_is_no_usual(self) -> None:
        guest = Guest()
        guest.live(30, files=50 * MIB)
        guest.live(200)
        self.assertLess(guest.look().disks.usual_kib_s or 0, 512)

    def test_a_balloon_that_stalls_half_way_hurts(self) -> None:
        self.guest.target_kib -= STEP_KIB
        self.guest.actual_kib -= STEP_KIB // 2
        self.guest.status = Status.STUCK
        self.assert_given_back(self.guest.look(), "its balloon stalls")

    def test_one_that_stops_near_its_target_hurts_too(self) -> None:
        self.guest.target_kib -= STEP_KIB
        self.guest.actual_kib -= STEP_KIB - 3 * MIB
        self.assert_given_back(self.guest.look(), "its balloon stalls")

    def test_one_that_rests_beside_its_target_is_no_pain(self) -> None:
        self.guest.target_kib -= STEP_KIB
        self.guest.actual_kib -= STEP_KIB - 1 * MIB
        self.assertEqual(0, self.guest.look().pains)

    def test_one_that_never_moved_is_no_pain(self) -> None:
        self.guest.target_kib -= STEP_KIB
        self.guest.status = Status.STUCK
        self.assertEqual(0, self.guest.look().pains)

    def test_more_pain_gives_the_whole_flavor(self) -> None:
        self.guest.live(1, read=1000)
        self.guest.obey()
        state = self.guest.live(1, read=1000)
        self.assertEqual((Phase.HELD_OFF, FLAVOR_KIB), facts(state))
        self.assertEqual(1, state.pains)

    def test_it_is_held_off_and_each_pain_doubles_that(self) -> None:
        for pains in range(1, 11):
            state = self.guest.live(1, read=1000)
            self.assertEqual(pains, state.pains)
            expected_s = min(4 * 3600.0, 120.0 * 2 ** (pains - 1))
            self.assertEqual(
                expected_s, state.hold_until_s - self.guest.time_s
            )
            self.guest.obey()
            state = self.guest.live(expected_s - 1)
            self.assertIs(Phase.HELD_OFF, state.phase)
            self.assertIs(Phase.OPEN, self.guest.live(1).phase)
            self.guest.obey()

    def test_a_pain_is_forgotten_after_long(self) -> None:
        self.guest.live(1, read=1000)
        self.guest.live(probe.FIRST_HOLD_S + probe.MAX_HOLD_S - 10)
        self.assertEqual(1, self.guest.look().pains)
        self.assertEqual(0, self.guest.live(20).pains)

    def test_a_guest_that_swaps_with_all_it_had_is_left_alone(self) -> None:
        # Given that nothing was taken
        guest = Guest()
        for _ in range(100):
            state = guest.live(30, read=1000)
            self.assertEqual((Phase.UNKNOWN, FLAVOR_KIB), facts(state))
            guest.live(20)
        # Then that is its own doing
        self.assertEqual(0, guest.look().pains)


class DarkTest(unittest.TestCase):
    def setUp(self) -> None:
        self.guest = Guest()
        self.guest.go_down(10)
        self.guest.dark = True

    def test_who_is_not_seen_gives_nothing(self) -> None:
        state = self.guest.live(10)
        self.assertEqual((Phase.BLIND, self.guest.target_kib), facts(state))

    def test_who_is_not_seen_for_long_gets_all_back(self) -> None:
        state = self.guest.live(61)
        self.assertEqual((Phase.BLIND, FLAVOR_KIB), facts(state))

    def test_who_is_seen_again_must_be_calm_first(self) -> None:
        self.guest.live(30)
        self.guest.dark = False
        self.assertIs(Phase.WATCHED, self.guest.live(5).phase)
        self.assertIs(Phase.OPEN, self.guest.live(10).phase)

    def test_counters_that_begin_anew_are_no_rate(self) -> None:
        self.guest.dark = False
        self.guest.live(5, files=100)
        self.guest.counters = DiskCounters(0, 0, 0)
        state = self.guest.live(1)
        self.assertEqual((0, Phase.WATCHED), (state.pains, state.phase))

    def test_after_a_pause_it_is_watched_anew(self) -> None:
        guest = self.guest
        guest.dark = False
        progress = Progress(guest.target_kib, guest.actual_kib, 0.0, 0)
        assert guest.state is not None
        for _ in range(500):
            guest.time_s += 1.0
            look = probe.Look(
                guest.time_s, None, progress, FLAVOR_KIB, 0, FLAVOR_KIB
            )
            guest.state = probe.paused(guest.state, look)
        # What was read meanwhile is the host's doing, as of a snapshot
        guest.counters = dataclasses.replace(
            guest.counters, swap_read_kib=10**6
        )
        state = guest.live(5)
        self.assertEqual((0, Phase.WATCHED), (state.pains, state.phase))
        self.assertIs(Phase.OPEN, guest.live(10).phase)


class OscillationTest(unittest.TestCase):
    """A guest that needs 800 MiB, from which memory is wanted all day."""

    def day(self) -> tuple[int, int, int]:
        guest, hours, steps = Guest(), 24, 0
        taken_s = hurt_s = 0
        for _ in range(hours * 3600):
            lacks = guest.actual_kib < 800 * MIB
            before_kib = guest.target_kib
            state = guest.live(1, read=500 if lacks else 0)
            guest.target_kib = guest.actual_kib = state.demand_kib
            steps += guest.target_kib != before_kib
            taken_s += guest.actual_kib < FLAVOR_KIB
            hurt_s += lacks
        self.assertGreater(taken_s, 20 * 3600)
        return guest.look().pains, steps, hurt_s

    def test_a_day_sees_few_pains_and_few_moves(self) -> None:
        pains, moves, hurt_s = self.day()
        # 2 min · (2⁷ − 1) are 4 h 14 min; then one in 4 h, each of which
        # comes two steps after it was held off
        self.assertLessEqual(pains, 7 + 5)
        self.assertGreaterEqual(pains, 8)
        self.assertLessEqual(moves, 14 + 3 * pains)
        self.assertLessEqual(hurt_s, 2 * pains)


SECONDS = st.tuples(
    st.sampled_from([1, 2, 5, 12, 70]),
    st.sampled_from([0, 0, 0, 50, 5000]),
    st.sampled_from([0, 0, 0, 50, 5000]),
    st.sampled_from([0, 0, 100, 100_000]),
    st.booleans(),
    st.sampled_from(["obey", "obey", "stay", "half", "stuck"]),
)


class AlwaysTest(unittest.TestCase):
    """What holds whatever a guest does."""

    @given(
        st.lists(SECONDS, max_size=12),
        st.integers(64, 1024),
        st.integers(0, 2048),
    )
    def test_bounds_small_steps_and_hold_offs(
        self, acts, target_mib, swap_mib
    ) -> None:
        guest = Guest(target_mib, swap_kib=swap_mib * MIB)
        least_kib = max(512 * MIB, FLAVOR_KIB - swap_mib * MIB)
        for seconds, read, written, files, dark, how in acts:
            guest.dark = dark
            state = guest.live(seconds, read, written, files)
            self.assertLessEqual(state.demand_kib, FLAVOR_KIB)
            self.assertGreaterEqual(state.demand_kib, least_kib)
            # Never more than one step below what it was told to have
            self.assertGreaterEqual(
                state.demand_kib, min(guest.target_kib - STEP_KIB, FLAVOR_KIB)
            )
            if state.demand_kib < guest.target_kib and not state.hurts:
                self.assertIn(state.phase, (Phase.OPEN, Phase.HELD_OFF))
            if guest.time_s < state.hold_until_s or state.hurts:
                self.assertFalse(state.opens)
            self.move(guest, state, how)

    def move(self, guest: Guest, state: probe.Probe, how: str) -> None:
        guest.status = Status.SETTLED
        if how == "obey":
            guest.target_kib = guest.actual_kib = state.demand_kib
        elif how == "half":
            guest.target_kib = state.demand_kib
            guest.actual_kib = (guest.actual_kib + guest.target_kib) // 2
            guest.status = Status.STUCK
        elif how == "stuck":
            guest.target_kib = state.demand_kib
            guest.status = Status.STUCK

    @given(st.lists(SECONDS, max_size=8))
    def test_the_same_look_twice_changes_nothing(self, acts) -> None:
        guest = Guest()
        for seconds, read, written, files, dark, _how in acts:
            guest.dark = dark
            guest.live(seconds, read, written, files)
            calm = guest.look()
            if not calm.hurts:
                self.assertEqual(calm, guest.look())
