# SPDX-License-Identifier: Apache-2.0
"""The simulated guest's memory behaves as a guest's does."""

import unittest

from hypothesis import given
from hypothesis import strategies as st

from tests.simulator.memory import GIB, KERNEL_KIB, MIB, GuestMemory


def memory(actual_mib: int = 512, wants_mib: int = 100, **more) -> GuestMemory:
    kept = {"swap_kib": GIB, **more}
    made = GuestMemory(actual_mib * MIB, wants_mib * MIB, **kept)
    made.settle()
    return made


def run(guest: GuestMemory, seconds: float, inflate_mib: int = 0) -> None:
    for _ in range(round(seconds * 10)):
        guest.begin(0.1)
        guest.inflate(inflate_mib * MIB // 10)
        guest.live(0.1)


class FileReadsTest(unittest.TestCase):
    def test_what_fills_the_page_cache_is_read(self) -> None:
        guest = memory()
        guest.file_kib = GIB
        run(guest, 1)
        self.assertEqual(100 * MIB, guest.file_read_kib)

    def test_what_is_touched_and_was_dropped_is_read_again(self) -> None:
        # Given a guest that reads 40 MiB/s of 200 MiB of files
        guest = memory(
            actual_mib=364, file_kib=200 * MIB, file_touch_kib_s=40 * MIB
        )
        run(guest, 10)
        self.assertEqual(0, guest.file_read_kib)
        # When half of them doesn't fit any more
        guest.actual_kib -= 100 * MIB
        run(guest, 10)
        # Then half of that comes from the disk
        self.assertAlmostEqual(
            200 * MIB, guest.file_read_kib, delta=100 * MIB // 10
        )


class PageCacheTest(unittest.TestCase):
    def test_it_grows_into_free_memory_as_fast_as_the_disk_reads(self):
        guest = memory()
        guest.file_kib = GIB
        run(guest, 1)
        self.assertEqual(100 * MIB, guest.cache_kib)
        run(guest, 10)
        self.assertEqual(0, guest.free_kib)

    def test_programs_take_its_place(self) -> None:
        guest = memory(file_kib=GIB)
        self.assertEqual(348 * MIB, guest.cache_kib)
        guest.wants_kib = 400 * MIB
        run(guest, 1)
        self.assertEqual(400 * MIB, guest.anon_kib)
        self.assertEqual(48 * MIB, guest.cache_kib)
        self.assertEqual(0, guest.swap_out_kib)

    def test_the_balloon_takes_it_before_programs_memory(self) -> None:
        guest = memory(file_kib=GIB)
        run(guest, 5, inflate_mib=100)
        self.assertEqual(100 * MIB, guest.anon_kib)
        self.assertLess(guest.cache_kib, 348 * MIB)


class BalloonTest(unittest.TestCase):
    def test_free_memory_yields_at_full_speed(self) -> None:
        guest = memory()
        run(guest, 1, inflate_mib=100)
        self.assertEqual(412 * MIB, guest.actual_kib)

    def test_page_cache_slows_it(self) -> None:
        guest = memory(file_kib=GIB)
        run(guest, 1, inflate_mib=100)
        self.assertEqual(462 * MIB, guest.actual_kib)

    def test_programs_memory_goes_as_fast_as_the_disk_takes_it(self) -> None:
        guest = memory(wants_mib=448, swap_out_kib_s=20 * MIB)
        run(guest, 1, inflate_mib=100)
        self.assertEqual(492 * MIB, guest.actual_kib)

    def test_without_swap_programs_keep_what_they_have(self) -> None:
        guest = memory(wants_mib=448, swap_kib=0)
        run(guest, 1, inflate_mib=100)
        self.assertEqual(512 * MIB, guest.actual_kib)
        self.assertFalse(guest.killed)


class SwapTest(unittest.TestCase):
    def test_what_finds_no_room_goes_to_swap_in_time(self) -> None:
        guest = memory(actual_mib=164, wants_mib=100)
        guest.wants_kib = 300 * MIB
        run(guest, 1)
        self.assertEqual(100 * MIB, guest.swap_out_kib)
        run(guest, 10)
        self.assertEqual(200 * MIB, guest.swapped_kib)

    def test_it_comes_back_when_there_is_room(self) -> None:
        guest = memory(actual_mib=164, wants_mib=300)
        guest.actual_kib = 512 * MIB
        run(guest, 1)
        self.assertEqual(50 * MIB, guest.swap_in_kib)
        run(guest, 20)
        self.assertEqual(300 * MIB, guest.in_ram_kib)
        self.assertEqual(0, guest.swapped_kib)

    def test_without_room_it_thrashes_and_stalls(self) -> None:
        guest = memory(actual_mib=164, wants_mib=300)
        run(guest, 10)
        self.assertEqual(200 * MIB, guest.swapped_kib)
        self.assertGreater(guest.swap_in_kib, 200 * MIB)
        self.assertGreater(guest.psi_some_us, 5_000_000)

    def test_a_calm_guest_neither_swaps_nor_stalls(self) -> None:
        guest = memory(file_kib=GIB)
        run(guest, 60)
        self.assertEqual(0, guest.swap_in_kib + guest.swap_out_kib)
        self.assertEqual(0, guest.psi_some_us)

    def test_swap_is_freed_with_what_lay_in_it(self) -> None:
        guest = memory(actual_mib=164, wants_mib=300)
        guest.wants_kib = 0
        run(guest, 1)
        self.assertEqual(0, guest.swapped_kib + guest.anon_kib)


class OutOfMemoryTest(unittest.TestCase):
    def test_programs_are_killed_when_swap_is_full_too(self) -> None:
        guest = memory(actual_mib=164, wants_mib=100, swap_kib=50 * MIB)
        guest.wants_kib = 200 * MIB
        run(guest, 10)
        self.assertTrue(guest.killed)

    def test_as_long_as_there_is_swap_none_is(self) -> None:
        guest = memory(actual_mib=164, wants_mib=100, swap_kib=101 * MIB)
        guest.wants_kib = 200 * MIB
        run(guest, 10)
        self.assertFalse(guest.killed)


SIZES_MIB = st.integers(0, 1024)


class AnyTest(unittest.TestCase):
    @given(
        SIZES_MIB,
        SIZES_MIB,
        SIZES_MIB,
        st.lists(st.tuples(SIZES_MIB, SIZES_MIB), max_size=20),
    )
    def test_the_parts_are_never_more_than_the_whole(
        self, actual_mib: int, swap_mib: int, file_mib: int, steps
    ) -> None:
        guest = memory(
            actual_mib=64 + actual_mib,
            swap_kib=swap_mib * MIB,
            file_kib=file_mib * MIB,
        )
        for wants_mib, inflate_mib in steps:
            guest.wants_kib = wants_mib * MIB
            run(guest, 0.5, inflate_mib)
            self.assertGreaterEqual(guest.actual_kib, KERNEL_KIB)
            self.assertLessEqual(
                guest.anon_kib + guest.cache_kib, guest.room_kib
            )
            self.assertLessEqual(guest.swapped_kib, guest.swap_kib)
            self.assertGreaterEqual(
                min(guest.anon_kib, guest.cache_kib, guest.swapped_kib), 0
            )
