# SPDX-License-Identifier: Apache-2.0
"""Memory history of guests, as a replay takes it."""

import dataclasses
from pathlib import Path

import numpy as np

from nova_xen_overcommit import exception, report
from nova_xen_overcommit.whatif.arrays import Bools, Ints

# In place of a figure where there is no sample.
GAP = -1
# So many bad rows are told of one by one.
_TOLD = 20
# A replay takes some 25 bytes a cell: what was used, what that is made from,
# and the demand that is kept of it. This many take 1.5 GB, and are 6,700
# guests for a month of five-minute steps.
_MOST_CELLS = 60_000_000


@dataclasses.dataclass(frozen=True)
class Trace:
    """What guests used, on a grid of equal steps; KiB and seconds.

    ``used_kib`` is by guest and step, :data:`GAP` where nothing is known.
    Each guest has at least one sample. ``begin_s`` is the wall clock of the
    first step's begin, in seconds since the epoch where the trace says
    that. ``skipped`` tells of rows that were left out.
    """

    names: tuple[str, ...]
    sizes_kib: Ints
    used_kib: Ints
    begin_s: float
    step_s: float
    skipped: int = 0
    complaints: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return int(self.used_kib.shape[1])

    @property
    def known(self) -> Bools:
        """Tell by guest and step whether there is a sample."""
        return self.used_kib != GAP

    def without(self, names: frozenset[str]) -> "Trace":
        """Leave some guests out.

        :raises InvalidTrace: one of them isn't there, or none is left.
        """
        missing = sorted(names - set(self.names))
        if missing:
            raise exception.InvalidTrace(
                f"--exclude {missing[0]}: no such VM in the trace"
            )
        kept = [i for i, name in enumerate(self.names) if name not in names]
        if not kept:
            raise exception.InvalidTrace("--exclude leaves no VM")
        return dataclasses.replace(
            self,
            names=tuple(self.names[i] for i in kept),
            sizes_kib=self.sizes_kib[kept],
            used_kib=self.used_kib[kept],
        )


class BadRows:
    """Rows that can't be used; told of together at the end."""

    def __init__(self) -> None:
        self.count = 0
        self.told: list[str] = []

    def add(self, where: str, reason: str) -> None:
        """Take note of one: ``where`` is file and line."""
        self.count += 1
        if len(self.told) < _TOLD:
            self.told.append(f"{where}: {reason}")

    def settle(self, skip: bool) -> None:
        """End the reading unless bad rows are to be skipped.

        :raises InvalidTrace: there are some and they are not.
        """
        if not self.count or skip:
            return
        lines = list(self.told)
        if self.count > len(lines):
            lines.append(f"and {self.count - len(lines)} more")
        lines.append(
            f"{self.count} bad rows; --skip-bad leaves them out and counts "
            "them"
        )
        raise exception.InvalidTrace("\n".join(lines))


def made(
    path: Path,
    names: list[str],
    sizes_kib: Ints,
    used_kib: Ints,
    begin_s: float,
    step_s: float,
    bad: BadRows,
) -> Trace:
    """Make a trace of what was read; guests without any sample stay out.

    :raises InvalidTrace: nothing is left.
    """
    seen = (used_kib != GAP).any(axis=1)
    kept = np.flatnonzero(seen)
    if not len(kept):
        raise exception.InvalidTrace(f"{path}: there is no sample in it")
    return Trace(
        names=tuple(names[index] for index in kept),
        sizes_kib=sizes_kib[kept],
        used_kib=used_kib[kept],
        begin_s=begin_s,
        step_s=step_s,
        skipped=bad.count,
        complaints=tuple(bad.told),
    )


def time_fault(time_s: float) -> str:
    """Say what is wrong with a time, "" if it is one that a report may have.

    :param time_s: seconds since the epoch, or since the trace began.
    """
    if time_s < 0:
        return "negative"
    # No comparison holds for NaN.
    if not time_s <= report.MAX_TIME_S:
        return "no time in seconds; milliseconds?"
    return ""


def require_grid(path: Path, guests: int, steps: int, step_s: float) -> None:
    """Refuse a grid that no memory holds.

    :raises InvalidTrace: it is one; the message tells how it came to be.
    """
    if guests * steps > _MOST_CELLS:
        raise exception.InvalidTrace(
            f"{path}: {guests} VMs in {steps} steps of {step_s:g} s are more "
            f"than {_MOST_CELLS:,} figures; is the time in seconds? --step-s "
            "makes steps of CSV longer"
        )
