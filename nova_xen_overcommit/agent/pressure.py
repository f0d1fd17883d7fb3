# SPDX-License-Identifier: Apache-2.0
"""How long processes wait for memory (PSI): of the host, or of a group."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

FILE = Path("/proc/pressure/memory")


@dataclasses.dataclass(frozen=True, slots=True)
class Pressure:
    """Percent of the last ten seconds in which some, or all, waited."""

    some_avg10_percent: float
    full_avg10_percent: float


def read(path: Path = FILE) -> Pressure | None:
    """Read what the kernel counts; None where it doesn't."""
    try:
        rows = figures(path)
        return Pressure(
            some_avg10_percent=float(rows["some"]["avg10"]),
            full_avg10_percent=float(rows["full"]["avg10"]),
        )
    except (OSError, KeyError, ValueError):
        return None


def figures(path: Path) -> Mapping[str, Mapping[str, str]]:
    """Give all figures of a file, by row (``some``, ``full``) and name.

    :raises OSError: there is no such file, or it can't be read.
    :raises ValueError: it isn't one of PSI.
    """
    found = {}
    for line in path.read_text().splitlines():
        row, *fields = line.split()
        found[row] = dict(field.split("=", 1) for field in fields)
    return found
