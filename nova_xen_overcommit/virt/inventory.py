# SPDX-License-Identifier: Apache-2.0
"""MEMORY_MB in Placement's arithmetic; pure.

Placement computes ``capacity = (total - reserved) * allocation_ratio`` with
floating point, in Python (then cut to an integer) and in SQL (then not cut).
The ratio is kept in a FLOAT column, which MySQL gives back with six
significant digits. A ratio that is to stand for a number of MiB must survive
all of that.
"""

import math

# Six digits are what survives MySQL's FLOAT.
_DIGITS = 6
# Half a MiB above the wanted capacity: the cut to an integer removes it, and
# no rounding on the way can carry the product across either integer.
_HALF = 0.5


def capacity_mib(total_mib: int, reserved_mib: int, ratio: float) -> int:
    """Give the capacity that Placement sees."""
    return int((total_mib - reserved_mib) * ratio)


def ratio_for(total_mib: int, reserved_mib: int, wanted_mib: int) -> float:
    """Give the allocation ratio that promises ``wanted_mib``.

    Always above 0 (Placement refuses 0); the capacity that results is never
    above ``wanted_mib`` and at most 1 MiB plus a 100,000th below it.

    :raises ValueError: nothing is left of total after what is reserved, or
        ``wanted_mib`` is negative.
    """
    span_mib = total_mib - reserved_mib
    if span_mib <= 0 or wanted_mib < 0:
        raise ValueError(
            f"no ratio gives {wanted_mib} MiB of {total_mib} MiB less "
            f"{reserved_mib} MiB reserved"
        )
    ratio = _floor_digits((wanted_mib + _HALF) / span_mib)
    # Guards sizes beyond 2**52 MiB and the like, where _HALF vanishes.
    while capacity_mib(total_mib, reserved_mib, ratio) > wanted_mib:
        ratio = math.nextafter(ratio, 0.0)
    return ratio


def _floor_digits(value: float) -> float:
    """Cut a positive number to :data:`_DIGITS` significant digits."""
    exponent = math.floor(math.log10(value)) - _DIGITS + 1
    digits = math.floor(value / 10.0**exponent)
    cut = float(f"{digits}e{exponent}")
    return cut if cut <= value else float(f"{digits - 1}e{exponent}")
