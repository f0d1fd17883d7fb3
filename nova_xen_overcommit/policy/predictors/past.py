# SPDX-License-Identifier: Apache-2.0
"""What a predictor is told, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class GuestPast:
    """One guest that is on the host now; KiB.

    ``known_steps`` is how many of the host's steps it was measured in,
    ``peak_kib`` its highest demand in them.
    """

    flavor_kib: int
    known_steps: int
    peak_kib: int


@dataclass(frozen=True, slots=True)
class HostPast:
    """The past of the guests that are on the host now.

    Only guests past their warm-up are in it; the others count in full
    elsewhere. ``sum_kib`` has the highest summed demand of each step, oldest
    first; the newest may still be under way. ``step_s`` is the length of a
    step in seconds, ``end_s`` the wall clock (seconds since the epoch, for
    the time of day) at which the newest step ends.
    """

    step_s: float
    end_s: float
    sum_kib: Sequence[int]
    guests: Sequence[GuestPast]


class Predictor(Protocol):
    """Foretells a peak; loaded with ``risk`` as its keyword.

    ``risk`` is the share of host-time that may be short of what is
    foretold. A predictor keeps no state, so one object serves a whole agent,
    and plain Python over sequences does: it is asked every few seconds.
    """

    def peak_kib(self, past: HostPast) -> int:
        """Give the peak in KiB; 0 where there is no history at all."""
