# SPDX-License-Identifier: Apache-2.0
"""The least memory a guest is ever squeezed to, and starts with."""

from typing import NamedTuple

_KIB = 1024
# Size limits and floors in MiB, from xenballoond's minimum by guest size
# (Xen 3.3, tools/xenballoon): floor = base + size / divisor.
_XENBALLOOND_STEPS = (
    (125, 8, 128),
    (500, 40, 256),
    (2000, 104, 512),
)
_XENBALLOOND_LARGE = (296, 2048)
# What a kernel of today holds that the one of 2008, for which those minima
# were found, did not: its image and early allocations, and the memory map
# of the whole flavor (64 bytes for each page of 4096). Measured with Linux
# 6.1: 67 MiB of a 1 GiB PV guest are outside MemTotal; at 104 MiB it kills
# processes, at 113 it died, at 160 it has 57 MiB available.
_KERNEL_MIB = 48
_MEMORY_MAP_DIVISOR = 64


def xenballoond_floor_kib(flavor_kib: int) -> int:
    """Give xenballoond's minimum for a guest of ``flavor_kib``."""
    size_mib = flavor_kib // _KIB
    base_mib, divisor = _XENBALLOOND_LARGE
    for limit_mib, step_base_mib, step_divisor in _XENBALLOOND_STEPS:
        if size_mib < limit_mib:
            base_mib, divisor = step_base_mib, step_divisor
            break
    return min(flavor_kib, base_mib * _KIB + flavor_kib // divisor)


def kernel_kib(flavor_kib: int) -> int:
    """Give what a guest's kernel keeps for itself, however idle it is."""
    return _KERNEL_MIB * _KIB + flavor_kib // _MEMORY_MAP_DIVISOR


def floor_kib(
    flavor_kib: int,
    floor_share: float,
    asked_floor_kib: int = 0,
    swap_kib: int | None = None,
) -> int:
    """Give a guest's floor.

    The largest of xenballoond's minimum above what the kernel keeps,
    ``floor_share`` of the flavor, what the flavor's extra spec asks for
    (0: nothing), and what the guest can't swap out when it uses all of its
    flavor (``swap_kib`` None: it need not); never more than the flavor.
    """
    shared_kib = int(flavor_kib * floor_share)
    least_kib = xenballoond_floor_kib(flavor_kib) + kernel_kib(flavor_kib)
    fixed_kib = 0 if swap_kib is None else flavor_kib - swap_kib
    least_kib = max(least_kib, shared_kib, asked_floor_kib, fixed_kib)
    return min(flavor_kib, least_kib)


class FloorRule(NamedTuple):
    """How a host makes its guests' floors, from its options.

    ``share`` is ``floor_share``. ``guest_swap`` is ``require_guest_swap``:
    what a guest couldn't swap is never taken from it. If it were, and was
    wanted back while others want theirs, nobody could give it in time, and
    the guest's kernel would kill.
    """

    share: float
    guest_swap: bool

    def floor_kib(
        self, flavor_kib: int, swap_kib: int, asked_floor_kib: int = 0
    ) -> int:
        """Give the floor of a guest with so much swap of its own."""
        required_kib = swap_kib if self.guest_swap else None
        return floor_kib(flavor_kib, self.share, asked_floor_kib, required_kib)


def counted_swap_kib(flavor_kib: int, swap_kib: int) -> int:
    """Give how much of a guest's swap backs its flavor.

    What is beyond the flavor holds nothing of any other guest.
    """
    return min(flavor_kib, swap_kib)


def start_kib(flavor_kib: int, floor_kib: int, start_share: float) -> int:
    """Give the least memory a guest starts with."""
    return min(flavor_kib, max(floor_kib, int(flavor_kib * start_share)))
