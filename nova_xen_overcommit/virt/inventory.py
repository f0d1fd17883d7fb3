# SPDX-License-Identifier: Apache-2.0
"""MEMORY_MB in Placement's arithmetic; pure.

Placement computes ``capacity = (total - reserved) * allocation_ratio`` with
floating point, in Python (cut to an integer for what it shows, not cut where
it checks an allocation) and in SQL (not cut). PostgreSQL and SQLite keep the
ratio as it is given; MySQL and MariaDB keep it in a FLOAT, compute with it in
single precision, and give it back with six significant digits. A ratio that
is to stand for a number of MiB must survive all of that.
"""

import math
import struct

# Six digits are what survives MySQL's FLOAT.
_DIGITS = 6
# Half a MiB above the wanted capacity: the cut to an integer removes it, and
# no rounding on the way can carry the product across either integer.
_HALF = 0.5


def stored(ratio: float) -> tuple[float, float, float]:
    """Give all that a database may make of a ratio.

    As it is; MySQL's FLOAT, as SQL computes with it; and the same as a
    client reads it.
    """
    (single,) = struct.unpack("f", struct.pack("f", ratio))
    return ratio, single, float(f"{single:.{_DIGITS}g}")


def capacity_mib(total_mib: int, reserved_mib: int, ratio: float) -> int:
    """Give the capacity that Placement sees."""
    return int((total_mib - reserved_mib) * ratio)


def most_mib(total_mib: int, reserved_mib: int, ratio: float) -> int:
    """Give the largest capacity that Placement can see, on any database."""
    return max(
        capacity_mib(total_mib, reserved_mib, kept) for kept in stored(ratio)
    )


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
    exponent, digits = _floor_digits((wanted_mib + _HALF) / span_mib)
    ratio = float(f"{digits}e{exponent}")
    # Beyond 8 TiB single precision may round up by more than half a MiB.
    while most_mib(total_mib, reserved_mib, ratio) > wanted_mib:
        digits -= 1
        ratio = float(f"{digits}e{exponent}")
    return ratio


def _floor_digits(value: float) -> tuple[int, int]:
    """Cut a positive number to six digits; give exponent and digits."""
    exponent = math.floor(math.log10(value)) - _DIGITS + 1
    digits = math.floor(value / 10.0**exponent)
    if float(f"{digits}e{exponent}") > value:
        digits -= 1
    return exponent, digits
