# SPDX-License-Identifier: Apache-2.0
"""Traces as text: one row for each VM and time.

The columns ``vm``, ``time``, ``size`` and ``used`` may come in any order and
with others between them. Sizes are in the unit that the column's name ends
with (``used_mib``), or in the one that the caller names.
"""

import array
import csv
import datetime
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from nova_xen_overcommit import exception
from nova_xen_overcommit.whatif import trace
from nova_xen_overcommit.whatif.arrays import Floats, Ints

KIB_PER_UNIT = {
    "bytes": 1 / 1024,
    "kib": 1.0,
    "mib": 1024.0,
    "gib": 1024.0 * 1024.0,
}
_COLUMNS = ("vm", "time", "size", "used")
_DELIMITERS = ",;\t"
_NO_SAMPLE = ("", "nan", "none", "null")
_LEAST_STEP_S = 1.0


class _Series:
    """The rows of one VM; KiB, seconds, line numbers."""

    def __init__(self) -> None:
        self.times_s = array.array("d")
        self.sizes_kib = array.array("d")
        self.used_kib = array.array("d")
        self.lines = array.array("q")

    def sorted(self) -> tuple[Floats, Ints, Ints, Ints]:
        """Give times, sizes, what was used, and lines, by time."""
        times_s = np.array(self.times_s)
        order = np.argsort(times_s, kind="stable")
        whole = [
            np.rint(np.array(one)).astype(np.int64)[order]
            for one in (self.sizes_kib, self.used_kib)
        ]
        return times_s[order], whole[0], whole[1], np.array(self.lines)[order]


class _Layout:
    """Where in a row is what, and in which units."""

    def __init__(self, path: Path, header: Sequence[str], unit: str) -> None:
        names = [name.strip().lower() for name in header]
        self.width = len(names)
        found = [_column(path, names, wanted, unit) for wanted in _COLUMNS]
        self.vm, self.time, self.size, self.used = (at for at, _ in found)
        self.size_kib, self.used_kib = found[2][1], found[3][1]

    def parsed(self, row: Sequence[str]) -> tuple[str, float, float, float]:
        """Give VM, time (s), size and what was used (KiB) of a row.

        :raises ValueError: it can't be used; the text says why.
        """
        if len(row) != self.width:
            raise ValueError(
                f"{len(row)} columns, the header has {self.width}"
            )
        vm = row[self.vm].strip()
        if not vm:
            raise ValueError("vm is empty")
        time_s = _time_s(row[self.time])
        size_kib = _number("size", row[self.size]) * self.size_kib
        if size_kib < 1:
            raise ValueError(f"size is {row[self.size]!r:.40}, not positive")
        text = row[self.used]
        if text.strip().lower() in _NO_SAMPLE:
            return vm, time_s, size_kib, trace.GAP
        used_kib = _number("used", text) * self.used_kib
        if used_kib < 0:
            raise ValueError(f"used is {text!r:.40}, negative")
        # Less than a KiB is what rounding may do.
        if used_kib > size_kib + 1:
            raise ValueError(
                f"used {text!r:.40} is more than size {row[self.size]!r:.40}"
            )
        return vm, time_s, size_kib, min(used_kib, size_kib)


def read(
    path: Path, unit: str, step_s: float | None, bad: trace.BadRows
) -> trace.Trace:
    """Read a file of rows; ``step_s`` None takes the usual distance.

    Several samples in one step count with the highest. One step without a
    sample between two others is taken for a sample that came late.

    :raises InvalidTrace: it isn't such a file, or nothing is in it.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            series = _series(path, file, unit, bad)
    except UnicodeDecodeError as error:
        raise exception.InvalidTrace(f"{path}: not UTF-8: {error}") from None
    if not series:
        raise exception.InvalidTrace(f"{path}: there is no usable row in it")
    return _on_grid(path, series, step_s, bad)


def _series(
    path: Path, file: TextIO, unit: str, bad: trace.BadRows
) -> dict[str, _Series]:
    first = file.readline()
    if not first.strip():
        raise exception.InvalidTrace(f"{path}: it is empty")
    delimiter = max(_DELIMITERS, key=first.count)
    layout = _Layout(
        path, next(csv.reader([first], delimiter=delimiter)), unit
    )
    found: dict[str, _Series] = {}
    for line, row in _rows(path, file, delimiter, bad):
        try:
            vm, time_s, size_kib, used_kib = layout.parsed(row)
        except ValueError as error:
            bad.add(f"{path}:{line}", str(error))
            continue
        rows = found.get(vm)
        if rows is None:
            rows = found[vm] = _Series()
        rows.times_s.append(time_s)
        rows.sizes_kib.append(size_kib)
        rows.used_kib.append(used_kib)
        rows.lines.append(line)
    return found


def _rows(
    path: Path, file: TextIO, delimiter: str, bad: trace.BadRows
) -> Iterator[tuple[int, list[str]]]:
    """Give line number and row, from the second line on."""
    reader = csv.reader(file, delimiter=delimiter)
    while True:
        try:
            for row in reader:
                if row:
                    yield reader.line_num + 1, row
        except csv.Error as error:
            bad.add(f"{path}:{reader.line_num + 1}", str(error))
        else:
            return


def _column(
    path: Path, names: Sequence[str], wanted: str, unit: str
) -> tuple[int, float]:
    """Give where a column is, and how many KiB its figures stand for."""
    units = {wanted: unit}
    if wanted in ("size", "used"):
        units |= {f"{wanted}_{one}": one for one in KIB_PER_UNIT}
    found = [
        (at, units[name]) for at, name in enumerate(names) if name in units
    ]
    if len(found) != 1:
        what = "no column" if not found else "more than one column"
        raise exception.InvalidTrace(
            f"{path}:1: {what} {wanted!r}; the header must have "
            f"{', '.join(_COLUMNS)}"
        )
    at, its_unit = found[0]
    return at, KIB_PER_UNIT[its_unit]


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r:.40}, no number") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} is {text!r:.40}, not finite")
    return number


def _time_s(text: str) -> float:
    """Read seconds since the epoch, or ISO 8601 (UTC unless it says)."""
    try:
        time_s = float(text)
    except ValueError:
        time_s = _iso_s(text)
    if not math.isfinite(time_s):
        raise ValueError(f"time is {text!r:.40}, not finite")
    fault = trace.time_fault(time_s)
    if fault:
        raise ValueError(f"time is {text!r:.40}, {fault}")
    return time_s


def _iso_s(text: str) -> float:
    try:
        moment = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"time is {text!r:.40}, neither seconds nor ISO 8601"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp()


def _on_grid(
    path: Path,
    series: dict[str, _Series],
    step_s: float | None,
    bad: trace.BadRows,
) -> trace.Trace:
    lives = []
    for vm, rows in series.items():
        lives += _lives(path, vm, rows, bad)
    begin_s = min(float(times_s[0]) for _, _, times_s, _ in lives)
    end_s = max(float(times_s[-1]) for _, _, times_s, _ in lives)
    step_s = step_s or _usual_step_s([times_s for _, _, times_s, _ in lives])
    steps = int((end_s - begin_s) // step_s) + 1
    trace.require_grid(path, len(lives), steps, step_s)
    used_kib = np.full((len(lives), steps), trace.GAP, dtype=np.int64)
    for cells, (_, _, times_s, sampled_kib) in zip(
        used_kib, lives, strict=True
    ):
        at = ((times_s - begin_s) // step_s).astype(np.int64)
        np.maximum.at(cells, at, sampled_kib)
        _bridge(cells)
    return trace.made(
        path,
        [name for name, _, _, _ in lives],
        np.array([size_kib for _, size_kib, _, _ in lives], dtype=np.int64),
        used_kib,
        begin_s,
        step_s,
        bad,
    )


def _lives(
    path: Path, vm: str, rows: _Series, bad: trace.BadRows
) -> list[tuple[str, int, Floats, Ints]]:
    """Give name, size, times and use of each life of a VM.

    Who is resized is placed anew, like another guest.
    """
    times_s, sizes_kib, used_kib, lines = rows.sorted()
    again = np.concatenate(([False], times_s[1:] == times_s[:-1]))
    for line in lines[again]:
        bad.add(
            f"{path}:{line}", f"another row of {vm!r:.40} at the same time"
        )
    times_s, sizes_kib, used_kib = (
        one[~again] for one in (times_s, sizes_kib, used_kib)
    )
    cuts = np.flatnonzero(sizes_kib[1:] != sizes_kib[:-1]) + 1
    bounds = [0, *cuts.tolist(), len(times_s)]
    return [
        (
            vm if not count else f"{vm}#{count + 1}",
            int(sizes_kib[first]),
            times_s[first:last],
            used_kib[first:last],
        )
        for count, (first, last) in enumerate(itertools.pairwise(bounds))
    ]


def _usual_step_s(times: list[Floats]) -> float:
    """Give the median over all VMs of their median distance of samples."""
    medians = [float(np.median(np.diff(t))) for t in times if len(t) > 1]
    if not medians:
        return _LEAST_STEP_S
    usual_s = float(np.quantile(medians, 0.5, method="lower"))
    return max(_LEAST_STEP_S, float(round(usual_s)))


def _bridge(cells: Ints) -> None:
    """Fill single gaps with the higher neighbour."""
    known = cells != trace.GAP
    single = ~known[1:-1] & known[:-2] & known[2:]
    higher = np.maximum(cells[:-2], cells[2:])
    cells[1:-1][single] = higher[single]
