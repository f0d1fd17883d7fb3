# SPDX-License-Identifier: Apache-2.0
"""What the other systems' decision rules have in common here.

Only the rule of each is another's; it is written anew from its formula. All
see the same published figures at the same time, start guests with the same
least memory, and keep to the same floors: what a guest can't do without is
the host's choice, and it would be no merit to go below. Where a rule has a
minimum of its own, that holds too.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.sensors.base import GuestRef
from nova_xen_overcommit.policy import floor
from tests.simulator.guest import SimulatedGuest
from tests.simulator.host import SimulatedHost
from tests.simulator.memory import MIB
from tests.simulator.stage import News, Waiting

_FLOOR_SHARE = 0.02
# A change below this isn't one: less than the balloon's own granularity.
_LEAST_CHANGE_KIB = 256
# Without so much free, starts of domains fail on Xen.
START_SLACK_KIB = 16 * MIB


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """What a rule may know of one guest; KiB.

    ``used_kib``, ``free_kib`` and ``committed_kib`` are as the guest last
    published: MemTotal − MemAvailable, MemFree, Committed_AS. ``speaks``
    tells whether it publishes at all.
    """

    uuid: str
    flavor_kib: int
    floor_kib: int
    actual_kib: int
    target_kib: int
    speaks: bool
    used_kib: int
    free_kib: int
    committed_kib: int
    swapped_kib: int


@dataclasses.dataclass(frozen=True, slots=True)
class HostView:
    """The host; KiB. ``wanted_kib`` is what starts wait for."""

    now_s: float
    physical_kib: int
    free_kib: int
    wanted_kib: int


class Rule(Protocol):
    """Another system's way to decide; one object per run.

    ``period_s`` is the time between two decisions, ``moving_period_s``
    while balloons move; ``hears_guests``: published figures bring one at
    once; ``hears_starts``: so do starts, and guests that come and go.
    """

    name: str
    period_s: float
    moving_period_s: float
    hears_guests: bool
    hears_starts: bool

    def targets(
        self, guests: Sequence[View], host: HostView
    ) -> Mapping[str, int]:
        """Give targets in KiB by UUID; who isn't in it keeps its own."""


def granted_as_it_comes(
    guests: Sequence[View], targets: Mapping[str, int], spare_kib: int
) -> dict[str, int]:
    """Let donors go first: who grows gets what is measured free, in order.

    The way of squeezed and qmemman; ``spare_kib`` is what is free beyond
    what the host keeps. Memory granted before and not taken yet counts.
    """
    growing_kib = sum(max(0, g.target_kib - g.actual_kib) for g in guests)
    spare_kib -= growing_kib
    granted = {}
    for guest in guests:
        wish_kib = targets.get(guest.uuid, guest.target_kib)
        if wish_kib > guest.target_kib:
            grant_kib = min(wish_kib - guest.target_kib, max(0, spare_kib))
            spare_kib -= grant_kib
            wish_kib = guest.target_kib + grant_kib
        granted[guest.uuid] = wish_kib
    return granted


def bounded(guest: View, kib: float) -> int:
    """Give a target within floor and flavor."""
    return min(guest.flavor_kib, max(guest.floor_kib, int(kib)))


class RuleMover:
    """Moves memory on a stage by a rule."""

    def __init__(self, rule: Rule, host: SimulatedHost) -> None:
        self._rule = rule
        self._host = host

    def hears(self, news: News) -> bool:
        """Tell what the rule listens to."""
        rule = self._rule
        return bool(
            (rule.hears_guests and news.spoke)
            or (rule.hears_starts and news.lived)
        )

    def run_pass(self, waiting: Sequence[Waiting]) -> float:
        """Decide and apply; give the seconds to the next decision."""
        guests = self._views()
        host = HostView(
            now_s=self._host.clock.now_s,
            physical_kib=self._host.physical_kib,
            free_kib=self._host.free_kib,
            wanted_kib=sum(one.least_kib + START_SLACK_KIB for one in waiting),
        )
        targets = self._rule.targets(guests, host)
        moving = False
        for uuid in _donors_first(guests, targets):
            moving |= self._set(self._host.guests[uuid], targets[uuid])
        rule = self._rule
        return rule.moving_period_s if moving else rule.period_s

    def _views(self) -> list[View]:
        running = self._host.guests.values()
        refs = [GuestRef(g.uuid, g.name, 0, g.flavor_kib) for g in running]
        samples = self._host.read(refs)
        return [_view(g, samples.get(g.uuid) is not None) for g in running]

    def _set(self, guest: SimulatedGuest, target_kib: int) -> bool:
        """Set a target that is another; tell whether the guest moves."""
        if abs(target_kib - guest.target_kib) >= _LEAST_CHANGE_KIB:
            try:
                self._host.set_target(guest.domain(), target_kib)
            except exception.HypervisorError:
                return False
        return abs(guest.gap_kib) > MIB

    def granted_kib(self, waiting: Waiting) -> int:
        """Let a guest start as soon as its least is free."""
        enough_kib = waiting.least_kib + START_SLACK_KIB
        return waiting.least_kib if enough_kib <= self._host.free_kib else 0

    def started(self, waiting: Waiting) -> None:
        """Nothing is remembered of starts."""


def _donors_first(
    guests: Sequence[View], targets: Mapping[str, int]
) -> list[str]:
    changes = [
        (targets[guest.uuid] - guest.target_kib, guest.uuid)
        for guest in guests
        if guest.uuid in targets
    ]
    return [uuid for _change_kib, uuid in sorted(changes)]


def _view(guest: SimulatedGuest, speaks: bool) -> View:
    said = guest.said
    total_kib = said.mem_total_kib if said else 0
    available_kib = said.mem_available_kib if said else 0
    return View(
        uuid=guest.uuid,
        flavor_kib=guest.flavor_kib,
        floor_kib=floor.floor_kib(guest.flavor_kib, _FLOOR_SHARE),
        actual_kib=guest.actual_kib,
        target_kib=guest.target_kib,
        speaks=speaks and said is not None,
        used_kib=total_kib - available_kib,
        free_kib=guest.said_free_kib,
        committed_kib=guest.said_committed_kib,
        swapped_kib=said.swap_used_kib if said else 0,
    )
