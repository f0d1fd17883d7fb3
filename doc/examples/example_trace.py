# SPDX-License-Identifier: Apache-2.0
"""Write a week of memory history of 40 made-up VMs, as CSV.

Days and nights; a quarter of the VMs runs a batch at two moments that
nothing foretells, all of them at once. The same figures each time.
"""

import math
import random
import sys

_SIZES_MIB = (1024, 2048, 4096, 4096, 8192)
_STEP_S = 900
_DAYS = 7
_DAY_S = 86400
_BEGIN_S = 1_764_547_200  # 2025-12-01, a Monday
_BATCHES_S = (4.17 * _DAY_S, 6.1 * _DAY_S)
_BATCH_S = 1800


def used_mib(number: int, size_mib: int, at_s: float, noise: float) -> int:
    """Give what a VM uses at a moment after the begin."""
    day = math.sin(2 * math.pi * (at_s / _DAY_S - 0.3 - number / 200))
    weekend = at_s // _DAY_S >= 5
    share = 0.16 + 0.02 * (number % 5) + 0.08 * day * (not weekend)
    if number % 4 == 0 and any(
        begin_s <= at_s < begin_s + _BATCH_S for begin_s in _BATCHES_S
    ):
        share = 0.9
    return round(size_mib * min(0.95, share + noise))


def main() -> None:
    """Write it to the standard output."""
    draw = random.Random(1)  # noqa: S311 # for figures that stay
    write = sys.stdout.write
    write("vm,time,size_mib,used_mib\n")
    for at_s in range(0, _DAYS * _DAY_S, _STEP_S):
        for number in range(40):
            size_mib = _SIZES_MIB[number % len(_SIZES_MIB)]
            noise = abs(draw.gauss(0, 0.02))
            used = used_mib(number, size_mib, at_s, noise)
            write(f"vm-{number:02},{_BEGIN_S + at_s},{size_mib},{used}\n")


if __name__ == "__main__":
    main()
