# SPDX-License-Identifier: Apache-2.0
"""Plays a scenario under somebody who moves the memory."""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from nova_xen_overcommit.policy import floor
from tests.simulator.guest import SimulatedGuest
from tests.simulator.host import SimulatedHost
from tests.simulator.scenario import GuestPlan, Scenario

_ROUNDING_S = 1e-6


def start_kib(flavor_kib: int) -> int:
    """Give the least a guest starts with, by the options' defaults."""
    least_kib = floor.floor_kib(flavor_kib, 0.02)
    return floor.start_kib(flavor_kib, least_kib, 0.25)


@dataclasses.dataclass(eq=False)
class Waiting:
    """A guest that wants to start, or to be back from a reboot."""

    uuid: str
    flavor_kib: int
    swap_kib: int
    since_s: float
    start: Callable[[int], SimulatedGuest]
    reboots: bool = False

    @property
    def least_kib(self) -> int:
        """What it takes at least."""
        return start_kib(self.flavor_kib)


@dataclasses.dataclass(frozen=True)
class News:
    """What happened in the last step.

    ``spoke`` are the guests that published; ``lived``: a start was asked
    for, or a guest came or went.
    """

    spoke: Collection[str]
    lived: bool


class Mover(Protocol):
    """Whoever moves the memory: the production balancer or another."""

    def hears(self, news: News) -> bool:
        """Tell whether this news brings a pass at once."""

    def run_pass(self, waiting: Sequence[Waiting]) -> float:
        """Do one pass; give the seconds to the next."""

    def granted_kib(self, waiting: Waiting) -> int:
        """Give with how much a guest may start now, 0 when it may not."""

    def started(self, waiting: Waiting) -> None:
        """Take note that it runs."""


class Stage:
    """A host on which a scenario goes on. ``now_s`` is the scenario's."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.host = SimulatedHost(
            scenario.physical_kib, scenario.kept_kib, scenario.speed_kib_s
        )
        self.began_s = self.host.clock.now_s + scenario.settle_s
        self.waiting: list[Waiting] = []
        self.cast: list[SimulatedGuest | None] = []
        for plan in scenario.guests:
            runs = not plan.starts_s
            self.cast.append(self._enter(plan) if runs else None)
        self._to_start = [i for i, g in enumerate(self.cast) if g is None]
        self._events = sorted(scenario.events, key=lambda e: e.at_s)
        self._reboots = sorted(scenario.reboots, key=lambda r: r.at_s)
        self._away: list[tuple[float, int]] = []
        self._next_pass_s = 0.0
        self._lived = False

    @property
    def now_s(self) -> float:
        return self.host.clock.now_s - self.began_s

    @property
    def settling(self) -> bool:
        """Whether the scenario's own time hasn't begun."""
        return self.now_s < _ROUNDING_S

    def _enter(
        self, plan: GuestPlan, kib: int = 0, uuid: str | None = None
    ) -> SimulatedGuest:
        guest = self.host.start(
            flavor_kib=plan.flavor_kib,
            actual_kib=kib or plan.actual_kib,
            swap_kib=plan.swap_kib,
            file_kib=plan.file_kib,
            course=plan.course.beginning_at(self.began_s + plan.starts_s),
            uuid=uuid,
        )
        guest.speaks_every_s = self.scenario.speaks_every_s
        return guest

    def play(
        self, mover: Mover, watch: Callable[["Stage", float], None]
    ) -> None:
        """Let the scenario happen; ``watch`` sees it after each step.

        Also while it settles: see :attr:`settling`.
        """
        step_s = self.scenario.step_s
        while self.now_s < self.scenario.seconds - _ROUNDING_S:
            self._happen()
            self._pass(mover)
            self._admit(mover)
            self.host.run(step_s)
            watch(self, step_s)

    def _pass(self, mover: Mover) -> None:
        news = News(frozenset(self.host.spoke), self._lived)
        self.host.spoke.clear()
        self._lived = False
        woken = mover.hears(news)
        now_s = self.host.clock.now_s
        if woken or now_s >= self._next_pass_s - _ROUNDING_S:
            self._next_pass_s = now_s + mover.run_pass(self.waiting)

    def _happen(self) -> None:
        while self._events and self._events[0].at_s <= self.now_s:
            self._events.pop(0).act(self.host)
        while self._reboots and self._reboots[0].at_s <= self.now_s:
            reboot = self._reboots.pop(0)
            self._leave(reboot.index, self.now_s + reboot.away_s)
        for index in list(self._to_start):
            if self.scenario.guests[index].starts_s <= self.now_s:
                self._to_start.remove(index)
                self._want(index, f"start-{index}", reboots=False)
        for back_s, index in list(self._away):
            if back_s <= self.now_s:
                self._away.remove((back_s, index))
                self._want(index, self._gone(index).uuid, reboots=True)

    def _gone(self, index: int) -> SimulatedGuest:
        guest = self.cast[index]
        assert guest is not None
        return guest

    def _leave(self, index: int, back_s: float) -> None:
        guest = self._gone(index)
        if guest.uuid in self.host.guests:
            self.host.end(guest)
            self._lived = True
            self._away.append((back_s, index))

    def _want(self, index: int, uuid: str, reboots: bool) -> None:
        plan = self.scenario.guests[index]

        def start(kib: int) -> SimulatedGuest:
            guest = self._enter(plan, kib, uuid)
            self.cast[index] = guest
            return guest

        swap_kib = plan.swap_kib
        # Who is back from a reboot asks nobody.
        self._lived |= not reboots
        self.waiting.append(
            Waiting(
                uuid=uuid,
                flavor_kib=plan.flavor_kib,
                swap_kib=plan.flavor_kib if swap_kib is None else swap_kib,
                since_s=self.now_s,
                start=start,
                reboots=reboots,
            )
        )

    def _admit(self, mover: Mover) -> None:
        for waiting in list(self.waiting):
            kib = self._allowed_kib(mover, waiting)
            if kib:
                waiting.start(kib)
                self._lived = True
                self.waiting.remove(waiting)
                mover.started(waiting)

    def _allowed_kib(self, mover: Mover, waiting: Waiting) -> int:
        """Who reboots asks nobody: it comes as soon as there is room."""
        if not waiting.reboots:
            return mover.granted_kib(waiting)
        fits = waiting.least_kib <= self.host.free_kib
        return waiting.least_kib if fits else 0
