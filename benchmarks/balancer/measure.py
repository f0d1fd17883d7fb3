# SPDX-License-Identifier: Apache-2.0
"""What a scenario was like for its guests, in figures.

A guest is *short* while its need (its kernel and what its programs want, at
most its flavor) is more than 1 MiB above what it has. A guest that waits for
its start, or to be back from a reboot, is short of what it starts with.

``short_guest_s``
    Sum over guests of the seconds they were short.
``short_mib_s``
    Sum over guests of MiB short × seconds.
``wasted_mib_h``
    Hours in which at least one guest was short × MiB that others had beyond
    their needs or that lay free on the host meanwhile.
``need_met_s_p99``
    99th percentile, over all sudden needs (a rise by 64 MiB and more at one
    moment), of the seconds until the guest has what it needs; one that is
    not met counts until it ends.
``swap_mib``
    What guests swapped in and out.
``moves_per_h``
    Calls that changed a guest's target, by hour.
"""

import dataclasses
import math
from collections.abc import Callable

from tests.simulator.guest import SimulatedGuest
from tests.simulator.host import SimulatedHost
from tests.simulator.memory import MIB
from tests.simulator.scenario import Scenario
from tests.simulator.stage import Mover, Stage

_TOLERANCE_KIB = MIB
_HOUR_S = 3600.0


@dataclasses.dataclass(frozen=True)
class Figures:
    """One policy's figures, of one scenario or of several."""

    short_guest_s: float
    short_mib_s: float
    wasted_mib_h: float
    swap_mib: float
    moves: int
    seconds: float
    met_s: tuple[float, ...]

    @property
    def need_met_s_p99(self) -> float:
        """The nearest-rank 99th percentile; 0 without sudden needs."""
        ranked = sorted(self.met_s)
        return ranked[math.ceil(0.99 * len(ranked)) - 1] if ranked else 0.0

    @property
    def moves_per_h(self) -> float:
        """Moves by hour."""
        return self.moves * _HOUR_S / self.seconds

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(
            self.short_guest_s + other.short_guest_s,
            self.short_mib_s + other.short_mib_s,
            self.wasted_mib_h + other.wasted_mib_h,
            self.swap_mib + other.swap_mib,
            self.moves + other.moves,
            self.seconds + other.seconds,
            self.met_s + other.met_s,
        )

    def result(self) -> dict[str, float]:
        """Give what the RESULT line says."""
        return {
            "short_guest_s": round(self.short_guest_s, 1),
            "short_mib_s": round(self.short_mib_s),
            "wasted_mib_h": round(self.wasted_mib_h, 1),
            "need_met_s_p99": round(self.need_met_s_p99, 1),
            "swap_mib": round(self.swap_mib),
            "moves_per_h": round(self.moves_per_h, 1),
        }


def short_kib(guest: SimulatedGuest) -> int:
    """Give what is missing to a guest's need."""
    need_kib = min(guest.need_kib, guest.flavor_kib)
    missing_kib = need_kib - guest.actual_kib
    return missing_kib if missing_kib > _TOLERANCE_KIB else 0


class Meter:
    """Watches a stage; see the module for what it reckons."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._short_s = 0.0
        self._short_mib_s = 0.0
        self._wasted_mib_s = 0.0
        self._met_s: list[float] = []
        # Sudden needs under way: guest → since when.
        self._open: dict[int, float] = {}
        self._calls = 0
        self._swapped: dict[tuple[str, int], tuple[int, int]] = {}
        self.history: list[tuple[float, float]] = []

    def watch(self, stage: Stage, step_s: float) -> None:
        """Take in one step."""
        if stage.settling:
            self._begin(stage)
            return
        missing_kib = [short_kib(g) for g in stage.host.guests.values()]
        missing_kib += [one.least_kib for one in stage.waiting]
        short_mib = sum(missing_kib) / MIB
        self._short_s += step_s * sum(1 for kib in missing_kib if kib)
        self._short_mib_s += step_s * short_mib
        if short_mib:
            self._wasted_mib_s += step_s * _unneeded_kib(stage) / MIB
        self._watch_sudden_needs(stage, step_s)
        for guest in stage.host.guests.values():
            self._note_swap(guest)
        self.history.append((stage.now_s, short_mib))

    def _begin(self, stage: Stage) -> None:
        self._calls = len(stage.host.calls)
        self._swapped.clear()
        for guest in stage.host.guests.values():
            self._note_swap(guest)

    def _note_swap(self, guest: SimulatedGuest) -> None:
        total_kib = guest.swap_in_kib + guest.swap_out_kib
        key = guest.uuid, guest.domain_id
        first_kib, _ = self._swapped.get(key, (total_kib, total_kib))
        self._swapped[key] = first_kib, total_kib

    def _watch_sudden_needs(self, stage: Stage, step_s: float) -> None:
        now_s = stage.host.clock.now_s
        for index, guest in enumerate(stage.cast):
            runs = guest is not None and guest.uuid in stage.host.guests
            if guest is None or not runs or guest.course is None:
                self._close(index, now_s)
                continue
            if _begun(guest, now_s - step_s, now_s):
                self._close(index, now_s)
                self._open[index] = now_s - step_s
            if index in self._open and not short_kib(guest):
                self._close(index, now_s)

    def _close(self, index: int, now_s: float) -> None:
        since_s = self._open.pop(index, None)
        if since_s is not None:
            self._met_s.append(now_s - since_s)

    def figures(self) -> Figures:
        """Give the figures of all that was watched."""
        now_s = self._stage.host.clock.now_s
        for index in list(self._open):
            self._close(index, now_s)
        swapped = self._swapped.values()
        return Figures(
            short_guest_s=self._short_s,
            short_mib_s=self._short_mib_s,
            wasted_mib_h=self._wasted_mib_s / _HOUR_S,
            swap_mib=sum(last - first for first, last in swapped) / MIB,
            moves=len(self._stage.host.calls) - self._calls,
            seconds=self._stage.scenario.seconds,
            met_s=tuple(self._met_s),
        )


def _begun(guest: SimulatedGuest, after_s: float, until_s: float) -> bool:
    course = guest.course
    needs_s = course.sudden_needs_s if course else []
    return any(after_s < begins_s <= until_s for begins_s in needs_s)


def _unneeded_kib(stage: Stage) -> int:
    beyond_kib = sum(
        max(0, guest.actual_kib - guest.need_kib)
        for guest in stage.host.guests.values()
    )
    return beyond_kib + max(0, stage.host.free_kib)


@dataclasses.dataclass(frozen=True)
class Run:
    """One policy in one scenario; ``history`` is (s, MiB short) by step."""

    figures: Figures
    history: list[tuple[float, float]]


def run(scenario: Scenario, mover_of: Callable[[SimulatedHost], Mover]) -> Run:
    """Play a scenario under the mover that ``mover_of(host)`` makes."""
    stage = Stage(scenario)
    meter = Meter(stage)
    stage.play(mover_of(stage.host), meter.watch)
    return Run(meter.figures(), meter.history)
