# SPDX-License-Identifier: Apache-2.0
"""Lines and sparklines of characters; pure.

A character of Unicode's Braille block has two by four dots: lines are drawn
with them where the terminal knows them, and with one sign a line elsewhere.
"""

from collections.abc import Sequence
from typing import NamedTuple

_BRAILLE = 0x2800
# The bit of each dot, by column and row.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_BARS = ".:-=+*%#"
_KIB_PER_MIB = 1024
_MIB_PER_GIB = 1024


class Line(NamedTuple):
    """A line by its name; values are evenly spaced, None where unknown."""

    name: str
    sign: str
    values: Sequence[float | None]


class Cell(NamedTuple):
    """One character, and the number of the line it belongs to."""

    character: str
    line: int


def drawn(
    lines: Sequence[Line],
    width: int,
    height: int,
    highest: float,
    dots: bool = True,
) -> list[list[Cell]]:
    """Give rows of cells, from the top; the bottom is 0.

    Where lines meet in one character, the later one has it.
    """
    blank = Cell(" ", -1)
    rows = [[blank] * width for _ in range(height)]
    across, down = (2 * width, 4 * height) if dots else (width, height)
    for number, line in enumerate(lines):
        bits: dict[tuple[int, int], int] = {}
        for x, y in _points(line.values, across, down, highest):
            if dots:
                key = x // 2, y // 4
                bits[key] = bits.get(key, 0) | _DOTS[x % 2][y % 4]
            else:
                rows[y][x] = Cell(line.sign, number)
        for (column, row), dot in bits.items():
            rows[row][column] = Cell(chr(_BRAILLE + dot), number)
    return rows


def _points(
    values: Sequence[float | None], across: int, down: int, highest: float
) -> list[tuple[int, int]]:
    """Give the dots of a line, without gaps where it is steep."""
    found: list[tuple[int, int]] = []
    before: int | None = None
    for x in range(across):
        value = values[x * len(values) // across] if values else None
        if value is None:
            before = None
            continue
        y = down - 1 - round(_share(value, highest) * (down - 1))
        start = y if before is None else before
        low, high = min(start, y), max(start, y)
        found += [(x, between) for between in range(low, high + 1)]
        before = y
    return found


def sparkline(
    values: Sequence[float | None],
    width: int,
    highest: float,
    bars: bool = True,
) -> str:
    """Give one row of bars; each stands for the highest of its values."""
    signs = _BARS if bars else _PLAIN_BARS
    text = ""
    for column in range(width):
        first = column * len(values) // width
        after = max(first + 1, (column + 1) * len(values) // width)
        known = [one for one in values[first:after] if one is not None]
        if not known or highest <= 0:
            text += " "
            continue
        level = int(_share(max(known), highest) * len(signs))
        text += signs[min(len(signs) - 1, level)]
    return text


def _share(value: float, highest: float) -> float:
    """Give how high a value is, from 0 to 1."""
    return min(1.0, max(0.0, value / highest)) if highest > 0 else 0.0


def size(kib: float) -> str:
    """Give a size for people, in MiB or GiB."""
    mib = kib / _KIB_PER_MIB
    if mib < 10 * _MIB_PER_GIB:
        return f"{mib:.0f} MiB"
    return f"{mib / _MIB_PER_GIB:.1f} GiB"
