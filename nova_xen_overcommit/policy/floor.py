# SPDX-License-Identifier: Apache-2.0
"""The least memory a guest is ever squeezed to, and starts with."""

_KIB = 1024
# Size limits and floors in MiB, from xenballoond's minimum by guest size
# (Xen 3.3, tools/xenballoon): floor = base + size / divisor.
_XENBALLOOND_STEPS = (
    (125, 8, 128),
    (500, 40, 256),
    (2000, 104, 512),
)
_XENBALLOOND_LARGE = (296, 2048)


def xenballoond_floor_kib(flavor_kib: int) -> int:
    """Give xenballoond's minimum for a guest of ``flavor_kib``."""
    size_mib = flavor_kib // _KIB
    base_mib, divisor = _XENBALLOOND_LARGE
    for limit_mib, step_base_mib, step_divisor in _XENBALLOOND_STEPS:
        if size_mib < limit_mib:
            base_mib, divisor = step_base_mib, step_divisor
            break
    return min(flavor_kib, base_mib * _KIB + flavor_kib // divisor)


def floor_kib(
    flavor_kib: int, floor_share: float, asked_floor_kib: int = 0
) -> int:
    """Give a guest's floor.

    The largest of xenballoond's minimum, ``floor_share`` of the flavor and
    what the flavor's extra spec asks for (0: nothing); never more than the
    flavor.
    """
    shared_kib = int(flavor_kib * floor_share)
    least_kib = xenballoond_floor_kib(flavor_kib)
    return min(flavor_kib, max(least_kib, shared_kib, asked_floor_kib))


def start_kib(flavor_kib: int, floor_kib: int, start_share: float) -> int:
    """Give the least memory a guest starts with."""
    return min(flavor_kib, max(floor_kib, int(flavor_kib * start_share)))
