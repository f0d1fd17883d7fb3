# SPDX-License-Identifier: Apache-2.0
"""Plays a trace back on imagined hosts, step by step.

In each step guests that ended leave, guests that come are placed by what
hosts promised at its begin, all are observed, the balancer of each host does
its passes, and what then is missing to a guest's use is shortage.
"""

import collections
import dataclasses
from collections.abc import Callable

import numpy as np

from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy.predictors import Predictor
from nova_xen_overcommit.scheduler import admission
from nova_xen_overcommit.whatif.arrays import Ints
from nova_xen_overcommit.whatif.balancing import Balancer
from nova_xen_overcommit.whatif.fleet import NOWHERE, Fleet, Shape
from nova_xen_overcommit.whatif.history import History
from nova_xen_overcommit.whatif.hosts import Reporter
from nova_xen_overcommit.whatif.placing import Placer, Refusals, Stock
from nova_xen_overcommit.whatif.tally import Tally
from nova_xen_overcommit.whatif.trace import GAP, Trace

_HOUR_S = 3600.0
# A publisher that says that its guest is starved says it again so soon.
_SPEAKS_AGAIN_S = 5.0
# So often: at the second time in a row it is raised to its flavor.
_STARVED_ROUNDS = 2


@dataclasses.dataclass(frozen=True)
class Wishes:
    """How a trace is to be played; see the options of the command."""

    fill_s: float
    seed: int
    swap_share: float
    promise_every_s: float = _HOUR_S


@dataclasses.dataclass(frozen=True)
class Played:
    """What came of a replay."""

    tally: Tally
    refusals: Refusals
    hosts: int
    stock_hosts: int
    predictions: int
    plans: int


def arrivals(trace: Trace, wishes: Wishes) -> Ints:
    """Give the step in which each guest arrives.

    Guests that are there when the trace begins have begun long before: they
    come one after another over ``fill_s``, in an order by chance, since no
    host knows anything of them and all would count in full at once. All
    others come when they are first seen.
    """
    known = trace.known
    first: Ints = known.argmax(axis=1)
    last = trace.steps - 1 - known[:, ::-1].argmax(axis=1)
    there = np.flatnonzero(first == 0)
    order = np.random.default_rng(wishes.seed).permutation(there)
    span = min(trace.steps, int(wishes.fill_s // trace.step_s))
    first[order] = np.arange(len(order)) * span // max(1, len(order))
    return np.minimum(first, last)


def departures(trace: Trace) -> Ints:
    """Give the step in which each guest is gone: after its last sample."""
    known = trace.known
    ends: Ints = trace.steps - known[:, ::-1].argmax(axis=1)
    return ends


class Replay:
    """One trace on hosts of one shape.

    ``screened`` False asks the planner in every step, also where nothing
    could change; the outcome is the same.
    """

    def __init__(
        self,
        trace: Trace,
        shape: Shape,
        settings: Settings,
        predictor: Predictor,
        limits: admission.Limits,
        wishes: Wishes,
        screened: bool = True,
    ) -> None:
        self._trace = trace
        self._settings = settings
        self._screened = screened
        self._fleet = Fleet(trace, shape, settings, wishes.swap_share)
        self._balancer = Balancer(self._fleet, shape, settings)
        history = History(
            trace.sizes_kib,
            trace.steps,
            trace.step_s,
            trace.begin_s,
            settings.history_s,
        )
        self._reporter = Reporter(
            self._fleet, shape, settings, predictor, history, self._balancer
        )
        self._placer = Placer(
            self._fleet,
            shape,
            settings,
            limits,
            self._reporter,
            self._balancer,
        )
        self._stock = Stock(trace.sizes_kib, shape)
        self._tally = Tally(self._fleet, trace.steps, trace.step_s)
        self._arrive = arrivals(trace, wishes)
        self._told = self._told_steps(wishes)

    def _told_steps(self, wishes: Wishes) -> frozenset[int]:
        """Give the steps after which promises must be known.

        Those before arrivals and one an hour or so for the picture, and
        before each as many as a higher promise has to hold.
        """
        step_s, steps = self._trace.step_s, self._trace.steps
        held = int(-(-self._settings.promise_raise_delay_s // step_s))
        every = max(1, int(wishes.promise_every_s // step_s))
        wanted = {step - 1 for step in self._arrive.tolist()}
        wanted.update(range(0, steps, every))
        return frozenset(
            step - back for step in wanted for back in range(held + 1)
        )

    @property
    def fleet(self) -> Fleet:
        """All guests, as the replay left them."""
        return self._fleet

    def run(
        self, progress: Callable[[int], object] = lambda _: None
    ) -> Played:
        """Play all of it; ``progress`` is told how many steps are done.

        :raises CannotReplay: a guest is too large for any host.
        """
        arriving, leaving = (
            _by_step(self._arrive),
            _by_step(departures(self._trace)),
        )
        for step in range(self._trace.steps):
            for guest in leaving.get(step, ()):
                self._leave(guest)
            self._place(arriving.get(step, ()), step)
            self._observe(step)
            self._reporter.remember(step, step * self._trace.step_s)
            if step in self._told:
                self._promise(step)
            self._tally.step(step, self._stock.in_use, self._placer.hosts)
            progress(step + 1)
        return Played(
            tally=self._tally,
            refusals=self._placer.refusals,
            hosts=len(self._placer.hosts),
            stock_hosts=len(self._stock.left_kib),
            predictions=self._reporter.predictions,
            plans=self._balancer.plans,
        )

    def _leave(self, guest: int) -> None:
        host = self._placer.hosts[self._fleet.host[guest]]
        host.drop(guest)
        self._fleet.leave(guest)
        self._stock.leave(guest)

    def _place(self, guests: collections.abc.Iterable[int], step: int) -> None:
        now_s = step * self._trace.step_s
        for guest in guests:
            self._placer.place(guest, now_s, self._trace.begin_s + now_s)
            self._stock.place(guest)

    def _observe(self, step: int) -> None:
        """Let guests speak and balancers do their passes."""
        fleet, needs, now_s = self._fleet, self._fleet.needs, self._now(step)
        placed = np.flatnonzero(fleet.host != NOWHERE)
        used_kib = self._trace.used_kib[placed, step]
        silent = used_kib == GAP
        needs.silence(placed[silent])
        speaking, used_kib = placed[~silent], used_kib[~silent]
        # Within the step it will have what it needs, if that is to be had.
        needs.observe(speaking, used_kib, fleet.sizes_kib[speaking], now_s)
        self._balance(self._may_move())
        for again in range(1, _STARVED_ROUNDS + 1):
            starving = self._starving(speaking)
            if not len(starving):
                break
            needs.observe(
                starving,
                self._trace.used_kib[starving, step],
                fleet.target_kib[starving],
                now_s + again * _SPEAKS_AGAIN_S,
            )
            self._balance(np.unique(fleet.host[starving]))

    def _now(self, step: int) -> float:
        return step * self._trace.step_s

    def _starving(self, speaking: Ints) -> Ints:
        """Give who has less than its last head room though it could more."""
        fleet, needs = self._fleet, self._fleet.needs
        left_kib = fleet.target_kib[speaking] - needs.used_kib[speaking]
        lacks = left_kib < needs.last_room_kib(speaking)
        below = fleet.target_kib[speaking] < fleet.sizes_kib[speaking]
        starving: Ints = speaking[lacks & below]
        return starving

    def _may_move(self) -> Ints:
        hosts = len(self._placer.hosts)
        if not self._screened:
            return np.arange(hosts)
        return np.flatnonzero(self._balancer.would_move(hosts))

    def _balance(self, hosts: Ints) -> None:
        for index in hosts.tolist():
            members = self._placer.hosts[index].members
            if len(members):
                self._balancer.settle(members)

    def _promise(self, step: int) -> None:
        end_s = self._now(step + 1)
        for host in self._placer.hosts:
            self._reporter.foretell(host, step)
            self._reporter.publish(host, end_s)
            self._tally.promise(step, host)


def _by_step(steps: Ints) -> dict[int, list[int]]:
    by_step: dict[int, list[int]] = collections.defaultdict(list)
    for guest, step in enumerate(steps.tolist()):
        by_step[step].append(guest)
    return by_step
