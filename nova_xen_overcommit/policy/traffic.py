# SPDX-License-Identifier: Apache-2.0
"""Reads and writes of a guest's disks as the host counts them, as rates.

Rates are taken over windows, and against the rate that is usual for the
guest. All sizes are KiB, all times seconds.
"""

import dataclasses

# Rates are taken over at least this long: one cluster of pages that is read
# ahead is no rate.
WINDOW_S = 2.0
# The usual rate is quick to fall and slow to rise, so that a burst, as of
# booting, is soon forgotten and doesn't hide what comes later.
_USUAL_FALL_S = 30.0
_USUAL_RISE_S = 600.0


@dataclasses.dataclass(frozen=True, slots=True)
class DiskCounters:
    """What the host counted on a guest's disks since some beginning.

    ``file_read_kib`` is of all disks but the swap disk together.
    """

    swap_read_kib: int
    swap_written_kib: int
    file_read_kib: int

    def is_before(self, later: "DiskCounters") -> bool:
        """Tell whether the counters only grew until ``later``."""
        return (
            later.swap_read_kib >= self.swap_read_kib
            and later.swap_written_kib >= self.swap_written_kib
            and later.file_read_kib >= self.file_read_kib
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Rates:
    """KiB per second over one window."""

    swap_read: float
    swap_written: float
    file_read: float


@dataclasses.dataclass(frozen=True, slots=True)
class Traffic:
    """What is known of a guest's disks.

    ``seen_s`` is when the counters were last read, ``newest`` what they
    showed; ``mark_s`` and ``mark`` are the beginning of the open window.
    ``rates`` are of the last window that was closed, ``usual_kib_s`` is how
    much is read of files while that is learnt. After a break (``broken``)
    the next counters begin a new window.
    """

    seen_s: float
    newest: DiskCounters
    mark_s: float
    mark: DiskCounters
    rates: Rates | None = None
    usual_kib_s: float | None = None

    broken: bool = False

    def now(self) -> Rates:
        """Give the rates of the open window, taken over a whole one.

        What was read in half a window is at most half a rate, so a rate that
        is too high is seen as soon as that is certain.
        """
        return self._over(max(WINDOW_S, self.seen_s - self.mark_s))

    def closed(self, *, early: bool, learns: bool) -> "Traffic":
        """End the window if it is long enough, or ``early``."""
        elapsed_s = self.seen_s - self.mark_s
        if elapsed_s <= 0 or (elapsed_s < WINDOW_S and not early):
            return self
        rates = self._over(elapsed_s)
        usual_kib_s = self.usual_kib_s
        if learns:
            usual_kib_s = _usual(usual_kib_s, rates.file_read, elapsed_s)
        return dataclasses.replace(
            self,
            mark_s=self.seen_s,
            mark=self.newest,
            rates=rates,
            usual_kib_s=usual_kib_s,
        )

    def _over(self, elapsed_s: float) -> Rates:
        ends, begins = self.newest, self.mark
        return Rates(
            swap_read=(ends.swap_read_kib - begins.swap_read_kib) / elapsed_s,
            swap_written=(ends.swap_written_kib - begins.swap_written_kib)
            / elapsed_s,
            file_read=(ends.file_read_kib - begins.file_read_kib) / elapsed_s,
        )


def begun(counters: DiskCounters, time_s: float) -> Traffic:
    """Begin to watch."""
    return Traffic(time_s, counters, time_s, counters)


def begun_anew(before: Traffic, time_s: float) -> Traffic:
    """Forget the open window: what was counted in it has other reasons."""
    return dataclasses.replace(before, seen_s=time_s, broken=True)


def seen(
    before: Traffic, counters: DiskCounters, time_s: float, max_gap_s: float
) -> tuple[Traffic, bool]:
    """Give the traffic, and whether nothing of it was missed.

    A new window begins after a gap, and where counters went back: nobody
    knows what was between.
    """
    late = time_s - before.seen_s > max_gap_s
    if late or before.broken or not before.newest.is_before(counters):
        again = dataclasses.replace(
            before,
            seen_s=time_s,
            newest=counters,
            mark_s=time_s,
            mark=counters,
            broken=False,
        )
        return again, False
    return dataclasses.replace(before, seen_s=time_s, newest=counters), True


def _usual(before: float | None, seen_kib_s: float, elapsed_s: float) -> float:
    if before is None:
        return seen_kib_s
    falls = seen_kib_s < before
    constant_s = _USUAL_FALL_S if falls else _USUAL_RISE_S
    return before + (seen_kib_s - before) * min(1.0, elapsed_s / constant_s)
