# SPDX-License-Identifier: Apache-2.0
"""From a pass to the host's report and the status for people."""

import dataclasses
import logging
from collections.abc import Mapping

from nova_xen_overcommit import report
from nova_xen_overcommit.agent import starts
from nova_xen_overcommit.agent.balancer import PassResult
from nova_xen_overcommit.agent.guests import Reckoning, TrackedGuest
from nova_xen_overcommit.agent.history import DemandHistory, Seen
from nova_xen_overcommit.agent.reservations import Reservation
from nova_xen_overcommit.agent.room import RoomWatch
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy import promise
from nova_xen_overcommit.policy.predictors import Predictor

LOG = logging.getLogger(__name__)

_KIB_PER_MIB = 1024
_PREDICT_EVERY_S = 5.0
# Where there are no guests, their sums are these.
_NO_GUEST = (0,) * len(Reckoning._fields)
# A host state is left for a calmer one only after it hasn't been seen for
# this long, so that the scheduler isn't told of every breath.
_CALM_AFTER_S = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Sums:
    """The host's guests and starts in flight, added up; KiB.

    ``left_kib`` is measured free, but is what guests that move their own
    balloons may take back at any time. ``swap_kib`` is what of the guests'
    swap backs their flavors. ``floor_share`` is the share of their flavors
    that the floors of its ballooned guests take. ``foreign_kib`` is the part
    of ``committed_kib`` that isn't Nova's, ``foreign_guests`` how many of the
    running guests aren't, ``uncooperative`` how many of them don't follow.
    """

    committed_kib: int
    foreign_kib: int
    foreign_guests: int
    floors_kib: int
    demand_kib: int
    full_kib: int
    idle_kib: int
    reclaimable_kib: int
    swap_kib: int
    overhead_kib: int
    left_kib: int
    floor_share: float
    uncooperative: int

    @classmethod
    def of(
        cls,
        guests: Mapping[str, TrackedGuest],
        starting: list[Reservation],
        settings: Settings,
    ) -> "Sums":
        """Add up."""
        requests = [reservation.request for reservation in starting]
        flying_kib = sum(request.flavor_kib for request in requests)
        rows = [one.reckoned(settings.warm_up_s) for one in guests.values()]
        # Column by column: there may be thousands, in each pass.
        total = Reckoning(*map(sum, zip(_NO_GUEST, *rows, strict=True)))
        ballooned_kib = total.flavor_kib - total.exempt_kib
        return cls(
            committed_kib=flying_kib + total.flavor_kib,
            foreign_kib=total.foreign_kib
            + sum(one.request.flavor_kib for one in starting if one.foreign),
            foreign_guests=total.foreign,
            # Who is never ballooned keeps its flavor.
            floors_kib=total.floor_kib
            + total.exempt_kib
            + sum(starts.floor_of(r, settings) for r in requests),
            demand_kib=total.demand_kib,
            full_kib=flying_kib + total.full_kib,
            idle_kib=total.idle_kib,
            reclaimable_kib=total.reclaimable_kib,
            swap_kib=total.swap_kib
            + sum(starts.swap_of(request) for request in requests),
            overhead_kib=total.overhead_kib
            + sum(one.overhead_kib for one in starting),
            left_kib=total.left_kib,
            floor_share=(
                total.floor_kib / ballooned_kib
                if ballooned_kib
                else settings.floor_share
            ),
            uncooperative=total.uncooperative,
        )


def _seen(guest: TrackedGuest, warm_up_s: float) -> Seen:
    told = guest.reckoned(warm_up_s)
    return Seen(
        told.flavor_kib, told.known_kib, told.used_kib, told.full_kib > 0
    )


class HostStateWatch:
    """Names the host's state, worse at once and better after a while."""

    def __init__(self) -> None:
        self._state = report.NORMAL
        self._seen_s = 0.0

    def observe(
        self, result: PassResult, settings: Settings, now_s: float
    ) -> str:
        """Give the state to report after a pass."""
        seen = _state_of(result, settings)
        worse = report.STATES.index(seen) >= report.STATES.index(self._state)
        if worse or now_s - self._seen_s >= _CALM_AFTER_S:
            if seen != self._state:
                alarming = seen in (report.PRESSURE, report.EMERGENCY)
                level = logging.WARNING if alarming else logging.INFO
                LOG.log(level, "Host state: %s -> %s", self._state, seen)
            self._state, self._seen_s = seen, now_s
        return self._state


def _state_of(result: PassResult, settings: Settings) -> str:
    coming_kib = max(0, result.host.expected_free_kib)
    if result.short_kib > coming_kib:
        return report.EMERGENCY if result.starved else report.PRESSURE
    # What starts and growing guests were granted is free no more.
    free_kib = result.host.spendable_kib + settings.slack_kib
    if result.wanted_kib or free_kib < settings.reserve_kib:
        return report.RECLAIMING
    return report.NORMAL


class Reporter:
    """Keeps history and makes the report of each pass."""

    def __init__(self, predictor: Predictor, history: DemandHistory) -> None:
        self._predictor = predictor
        self._history = history
        self._rise: promise.SlowRise | None = None
        self._state = HostStateWatch()
        self._room = RoomWatch()
        self._known_peak_kib = 0
        self._known: frozenset[str] = frozenset()
        self._predicted_s = -_PREDICT_EVERY_S
        self.bound = ""
        self.past_s = 0.0

    def close(self) -> None:
        """Let the next agent know what this one knew."""
        self._history.close()

    def make(
        self,
        result: PassResult,
        guests: Mapping[str, TrackedGuest],
        starting: list[Reservation],
        settings: Settings,
        *,
        now_s: float,
        wall_s: float,
    ) -> report.HostReport:
        """Give the report of a pass made at ``now_s`` (monotonic).

        ``starting`` are the starts whose guests don't run yet.
        """
        sums = Sums.of(guests, starting, settings)
        self._remember(guests, settings, now_s, wall_s)
        peak_kib = sums.overhead_kib + min(
            sums.committed_kib, sums.full_kib + self._known_peak_kib
        )
        promise_kib = self._promise_kib(
            result, sums, peak_kib, settings, now_s
        )
        state = self._state.observe(result, settings, now_s)
        self._room.observe(result.host.usable_kib, settings.reserve_kib)
        memory = result.host.memory
        physical_mib = memory.physical_kib // _KIB_PER_MIB
        free_mib = max(0, memory.free_kib - sums.left_kib) // _KIB_PER_MIB
        return report.HostReport(
            time_s=wall_s,
            mode=settings.mode,
            state=state,
            physical_mib=physical_mib,
            usable_mib=max(0, result.host.usable_kib) // _KIB_PER_MIB,
            reserve_mib=_mib_up(settings.reserve_kib),
            free_mib=free_mib,
            committed_mib=_mib_up(sums.committed_kib - sums.foreign_kib),
            promise_mib=promise_kib // _KIB_PER_MIB,
            floors_mib=_mib_up(sums.floors_kib + sums.overhead_kib),
            demand_mib=_mib_up(sums.demand_kib),
            peak_mib=_mib_up(peak_kib),
            idle_mib=sums.idle_kib // _KIB_PER_MIB,
            reclaimable_mib=_reclaimable_mib(sums, physical_mib - free_mib),
            swap_mib=sums.swap_kib // _KIB_PER_MIB,
            max_ratio=settings.max_ratio,
            floor_share=settings.floor_share,
            start_share=settings.start_share,
            require_guest_swap=settings.require_guest_swap,
            overhead_mib=_mib_up(sums.overhead_kib),
            guests=len(guests) - sums.foreign_guests,
            uncooperative=sums.uncooperative,
            foreign_mib=_mib_up(sums.foreign_kib),
        )

    def _remember(
        self,
        guests: Mapping[str, TrackedGuest],
        settings: Settings,
        now_s: float,
        wall_s: float,
    ) -> None:
        seen = {
            uuid: _seen(guest, settings.warm_up_s)
            for uuid, guest in guests.items()
        }
        self._history.add(seen, now_s, wall_s)
        demands = {
            uuid: figures.demand_kib
            for uuid, figures in seen.items()
            if not figures.in_full
        }
        known = frozenset(demands)
        current_kib = sum(demands.values())
        due = now_s - self._predicted_s >= _PREDICT_EVERY_S
        if due or known != self._known:
            flavors_kib = {
                uuid: guests[uuid].domain.flavor_kib for uuid in sorted(known)
            }
            past = self._history.past(flavors_kib)
            self.past_s = len(past.sum_kib) * past.step_s
            self._known_peak_kib = self._predictor.peak_kib(past)
            self._known, self._predicted_s = known, now_s
        # What is needed now is no prediction: it counts at once.
        self._known_peak_kib = max(self._known_peak_kib, current_kib)

    def _promise_kib(
        self,
        result: PassResult,
        sums: Sums,
        peak_kib: int,
        settings: Settings,
        now_s: float,
    ) -> int:
        """Give what Nova's instances may have in all.

        The account is of all guests. What isn't Nova's takes its part of
        the memory, and what was promised for it would be given away twice:
        Placement doesn't know that it is taken.
        """
        account = promise.Account(
            usable_kib=result.host.usable_kib,
            reserve_kib=settings.reserve_kib,
            committed_kib=sums.committed_kib,
            peak_kib=peak_kib,
            floors_kib=sums.floors_kib + sums.overhead_kib,
            overhead_kib=sums.overhead_kib,
            floor_share=sums.floor_share,
            max_ratio=settings.max_ratio,
            swap_kib=sums.swap_kib if settings.require_guest_swap else None,
        )
        made = promise.promise(account)
        self.bound = made.bound
        if self._rise is None:
            self._rise = promise.SlowRise(settings.promise_raise_delay_s)
            first_kib = min(made.promise_kib, promise.unmoved_kib(account))
            self._rise.publish(first_kib - sums.foreign_kib, now_s)
        self._rise.delay_s = settings.promise_raise_delay_s
        novas_kib = made.promise_kib - sums.foreign_kib
        return self._rise.publish(novas_kib, now_s)


def _reclaimable_mib(sums: Sums, others_mib: int) -> int:
    """Give what starts could take, of what isn't free: ``others_mib``.

    A guest that moves its own balloon could yield what it left; where others
    have that by now, it is counted with them, too.
    """
    return max(0, min(sums.reclaimable_kib // _KIB_PER_MIB, others_mib))


def _mib_up(kib: int) -> int:
    # Rounded so that a figure errs on the careful side.
    return -(-kib // _KIB_PER_MIB)
