# SPDX-License-Identifier: Apache-2.0
"""How a guest's memory behaves: programs, page cache, swap and balloon.

    actual = kernel + anonymous + page cache + free

Programs allocate with a finite speed: out of free memory, then at the cost
of the page cache, then by pushing other pages to swap, which is as slow as
the disk. They touch all they have evenly; what they touch in swap comes
back, at the disk's speed, into free memory or in exchange for other pages
(thrashing). The page cache grows into whatever is free. Where neither
memory nor swap is left, programs are killed and begin anew with half.

Programs also read files, evenly over all there are; what is not in the page
cache is read from the disk.

What is simplified: all anonymous memory is equally hot, and losing page
cache costs nothing but reads.
"""

import dataclasses

MIB = 1024
GIB = 1024 * MIB
# What a guest's kernel holds outside MemTotal.
KERNEL_KIB = 64 * MIB

# A disk of today's cloud and programs on one processor; KiB per second.
_ALLOCATION_KIB_S = GIB
_TOUCH_KIB_S = 256 * MIB
_LEAST_TOUCH_KIB_S = 8 * MIB
_READ_KIB_S = 100 * MIB
# Programs that hold more than they touch at once have promised more yet.
_COMMITTED_SHARE = 1.25
_US_PER_S = 1_000_000


@dataclasses.dataclass
class GuestMemory:
    """One guest's memory.

    ``wants_kib`` is what its programs use, ``anon_kib`` the part that is
    in memory, ``swapped_kib`` the part on the swap disk of ``swap_kib``.
    ``file_kib`` is what there is to cache, ``file_touch_kib_s`` how much of
    it programs read. The counters ``swap_in_kib``, ``swap_out_kib``,
    ``file_read_kib`` and ``psi_some_us`` only grow, as the kernel's do.
    ``killed_needing_kib`` is what it needed when programs were last killed,
    ``killed_having_kib`` what it had then.
    """

    actual_kib: int
    wants_kib: int
    swap_kib: int
    file_kib: int = 0
    swap_in_kib_s: int = 50 * MIB
    swap_out_kib_s: int = 100 * MIB
    anon_kib: int = 0
    swapped_kib: int = 0
    cache_kib: int = 0
    swap_in_kib: int = 0
    swap_out_kib: int = 0
    psi_some_us: int = 0
    oom_kills: int = 0
    killed_needing_kib: int = 0
    killed_having_kib: int = 0
    file_touch_kib_s: int = 0
    file_read_kib: int = 0
    _out_left_kib: int = 0

    @property
    def need_kib(self) -> int:
        """What it must have to run without swapping."""
        return KERNEL_KIB + self.wants_kib

    @property
    def room_kib(self) -> int:
        """What its kernel leaves to programs and page cache."""
        return max(0, self.actual_kib - KERNEL_KIB)

    @property
    def free_kib(self) -> int:
        """MemFree, as far as it is not negative."""
        return max(0, self.room_kib - self.anon_kib - self.cache_kib)

    @property
    def committed_kib(self) -> int:
        """Committed_AS."""
        return int(self.wants_kib * _COMMITTED_SHARE)

    @property
    def in_ram_kib(self) -> int:
        """What of its programs' memory is in memory."""
        return self.anon_kib

    @property
    def killed(self) -> bool:
        """Whether it ever ran out of memory and swap."""
        return self.oom_kills > 0

    def settle(self) -> None:
        """Let all be as after a long time with the present sizes."""
        self.anon_kib = min(self.wants_kib, self.room_kib)
        missing_kib = self.wants_kib - self.anon_kib
        self.swapped_kib = min(self.swap_kib, missing_kib)
        self.cache_kib = min(self.file_kib, self.free_kib)

    def begin(self, seconds: float) -> None:
        """Begin a step of time: what the disk can take in it is anew."""
        self._out_left_kib = int(self.swap_out_kib_s * seconds)

    def inflate(self, wish_kib: int) -> int:
        """Give memory to the balloon; what comes is less where it's hard.

        Free pages come at once, page cache at half the speed, and programs'
        memory only as fast as the disk takes it.
        """
        easy_kib = min(wish_kib, self.free_kib)
        cache_kib = min((wish_kib - easy_kib) // 2, self.cache_kib)
        self.cache_kib -= cache_kib
        hard_kib = 0
        if not self.cache_kib:
            hard_kib = self._swap_out(wish_kib - easy_kib - 2 * cache_kib)
        given_kib = easy_kib + cache_kib + hard_kib
        self.actual_kib -= given_kib
        return given_kib

    def _swap_out(self, wish_kib: int) -> int:
        left_kib = self.swap_kib - self.swapped_kib
        kib = min(wish_kib, self._out_left_kib, left_kib, self.anon_kib)
        kib = max(0, kib)
        self.anon_kib -= kib
        self.swapped_kib += kib
        self.swap_out_kib += kib
        self._out_left_kib -= kib
        return kib

    def live(self, seconds: float) -> None:
        """Let its programs run."""
        stalled_s = 0.0
        if self.wants_kib != self.anon_kib + self.swapped_kib:
            stalled_s += self._allocate(seconds)
        if self.swapped_kib:
            stalled_s += self._touch(seconds)
        if stalled_s:
            stalled_us = min(seconds, stalled_s) * _US_PER_S
            self.psi_some_us += int(stalled_us)
        self._cache(seconds)

    def _allocate(self, seconds: float) -> float:
        """Allocate or free; give for how long somebody had to wait."""
        change_kib = self.wants_kib - self.anon_kib - self.swapped_kib
        if change_kib < 0:
            self._let_go(-change_kib)
            return 0.0
        wish_kib = min(change_kib, int(_ALLOCATION_KIB_S * seconds))
        easy_kib = max(0, min(wish_kib, self.room_kib - self.anon_kib))
        self.anon_kib += easy_kib
        self.cache_kib = min(self.cache_kib, self.room_kib - self.anon_kib)
        self.cache_kib = max(0, self.cache_kib)
        if easy_kib == wish_kib:
            return 0.0
        pushed_kib = self._swap_out(wish_kib - easy_kib)
        self.anon_kib += pushed_kib
        if self.swapped_kib >= self.swap_kib and self.free_kib <= 0:
            self._kill()
        return seconds

    def _let_go(self, kib: int) -> None:
        held_kib = self.anon_kib + self.swapped_kib
        of_swap_kib = kib * self.swapped_kib // held_kib
        self.swapped_kib -= of_swap_kib
        self.anon_kib -= kib - of_swap_kib

    def _kill(self) -> None:
        self.oom_kills += 1
        self.killed_needing_kib = self.need_kib
        self.killed_having_kib = self.actual_kib
        self.anon_kib //= 2
        self.swapped_kib //= 2

    def _touch(self, seconds: float) -> float:
        """Bring back what is touched in swap; give the time it takes."""
        held_kib = self.anon_kib + self.swapped_kib
        touched_kib_s = max(
            _LEAST_TOUCH_KIB_S, _TOUCH_KIB_S * self.swapped_kib // held_kib
        )
        most_kib = int(min(touched_kib_s, self.swap_in_kib_s) * seconds)
        faults_kib = min(self.swapped_kib, most_kib)
        back_kib = min(faults_kib, max(0, self.room_kib - self.anon_kib))
        self.swapped_kib -= back_kib
        self.anon_kib += back_kib
        exchanged_kib = min(faults_kib - back_kib, self._out_left_kib)
        self.swap_out_kib += exchanged_kib
        self._out_left_kib -= exchanged_kib
        self.swap_in_kib += back_kib + exchanged_kib
        return (back_kib + exchanged_kib) / self.swap_in_kib_s

    def _cache(self, seconds: float) -> None:
        left_kib = self.room_kib - self.anon_kib
        self.cache_kib = max(0, min(self.cache_kib, left_kib))
        if self.cache_kib < self.file_kib and left_kib > self.cache_kib:
            read_kib = int(_READ_KIB_S * seconds)
            before_kib = self.cache_kib
            self.cache_kib = min(
                self.file_kib, left_kib, before_kib + read_kib
            )
            self.file_read_kib += self.cache_kib - before_kib
        self._read_again(seconds)

    def _read_again(self, seconds: float) -> None:
        """Read what is touched in files and not in the page cache."""
        missing_kib = self.file_kib - self.cache_kib
        if self.file_touch_kib_s and missing_kib > 0:
            touched_kib = self.file_touch_kib_s * seconds
            self.file_read_kib += int(
                touched_kib * missing_kib / self.file_kib
            )
