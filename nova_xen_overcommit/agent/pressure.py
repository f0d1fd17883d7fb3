# SPDX-License-Identifier: Apache-2.0
"""How long the host's own processes wait for memory (PSI)."""

import dataclasses
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
        rows = dict(
            line.split(" ", 1) for line in path.read_text().splitlines()
        )
        return Pressure(_average(rows["some"]), _average(rows["full"]))
    except (OSError, KeyError, ValueError):
        return None


def _average(row: str) -> float:
    figures = dict(field.split("=", 1) for field in row.split())
    return float(figures["avg10"])
