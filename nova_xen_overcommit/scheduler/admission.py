# SPDX-License-Identifier: Apache-2.0
"""Whether a host may take one more guest: the filter's decision, pure.

No I/O, no clock, no options, no Nova. Sizes are MiB.
"""

import dataclasses
import enum
import functools
from typing import Any, NamedTuple

from nova_xen_overcommit import exception
from nova_xen_overcommit import report as report_module
from nova_xen_overcommit.policy import floor
from nova_xen_overcommit.report import HostReport

_KIB = 1024
# A start may spend the reserve, but not the hypervisor's slack in it. The
# report doesn't say the slack; by default it is this part of the reserve.
_SLACK_PART = 8


class Reason(enum.StrEnum):
    """Why a host is refused, by a name that stays.

    The first group says why only physical memory counted, of which there
    was too little; the second what else lacked.
    """

    NO_REPORT = "no_report"
    OLD_REPORT = "old_report"
    CLOCK_AHEAD = "clock_ahead"
    NEWER_VERSION = "newer_version"
    UNREADABLE = "unreadable"
    ABSURD = "absurd"
    ONLY_BALANCES = "only_balances"

    PRESSURE = "pressure"
    PROMISE = "promise"
    GUEST_SWAP = "guest_swap"
    FLOORS = "floors"
    START = "start"


class Why(NamedTuple):
    """A reason and its figures, worded only where somebody reads it."""

    reason: Reason
    words: str
    figures: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return self.words % self.figures


NO_REPORT = Why(Reason.NO_REPORT, "it has no report")
_ONLY_BALANCES = Why(Reason.ONLY_BALANCES, "it only balances")


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What is asked for: a guest of ``memory_mib``, its flavor's size.

    ``floor_mib`` 0 means the host's rule. ``overcommit`` False: the guest
    needs all of its flavor from its start on.
    """

    memory_mib: int
    floor_mib: int = 0
    swap_mib: int = 0
    overcommit: bool = True

    @property
    def counted_swap_mib(self) -> int:
        """How much of its swap backs its flavor."""
        flavor_kib, swap_kib = self.memory_mib * _KIB, self.swap_mib * _KIB
        return floor.counted_swap_kib(flavor_kib, swap_kib) // _KIB


class HostFigures(NamedTuple):
    """What Nova counts for a host, claims up to this moment included.

    ``free_mib`` is total less reserved less the flavors of all instances,
    running or not; it is negative on an overcommitted host.
    """

    total_mib: int
    free_mib: int
    reserved_mib: int
    instances: int

    @property
    def flavors_mib(self) -> int:
        """Sum of the flavors of all instances."""
        return max(0, self.total_mib - self.reserved_mib - self.free_mib)


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How old a report may be, and how far ahead its clock; seconds."""

    max_age_s: float
    clock_skew_s: float


class Claims(NamedTuple):
    """What Nova has placed on a host that its report doesn't know of.

    Shut-off instances are among them: they may be started at any time. So
    is the old flavor of an instance that is resized on its own host, until
    that is confirmed.
    """

    memory_mib: int
    guests: int

    @classmethod
    def since(cls, report: HostReport, host: HostFigures) -> "Claims":
        """Give what Nova counts beyond what the report counts."""
        memory_mib = host.flavors_mib - report.committed_mib
        if memory_mib <= 0:
            return _NO_CLAIMS
        guests = max(1, host.instances - report.guests)
        return cls(memory_mib, min(guests, memory_mib))

    def least_mib(self, report: HostReport) -> tuple[int, int]:
        """Give the floors and the starts of these guests, each summed.

        Only their number and sum are known: taken as equally large, with
        as much swap as memory. That they may have none counts where swap
        is summed up; how much they have the agent knows, when they start.
        """
        if not self.guests:
            return 0, 0
        mean_mib = -(-self.memory_mib // self.guests)
        floor_mib, start_mib = _least_mib(
            mean_mib, mean_mib, 0, _floor_rule(report), report.start_share
        )
        return self.guests * floor_mib, self.guests * start_mib


_NO_CLAIMS = Claims(0, 0)


def why_invalid(error: exception.InvalidReport) -> Why:
    """Say why a report that can't be read is not believed."""
    reason = Reason.ABSURD
    if isinstance(error, exception.NewerReport):
        reason = Reason.NEWER_VERSION
    elif isinstance(error, exception.UnreadableReport):
        reason = Reason.UNREADABLE
    return Why(reason, "its report is not valid (%s)", (error,))


def doubt_of(
    report: HostReport, host: HostFigures, now_s: float, limits: Limits
) -> Why | None:
    """Say why a valid report can't be believed; None when it can.

    ``now_s`` is the wall clock in seconds since the epoch.
    """
    age_s = now_s - report.time_s
    if age_s > limits.max_age_s:
        return Why(Reason.OLD_REPORT, "its report is %.0f s old", (age_s,))
    if age_s < -limits.clock_skew_s:
        return Why(
            Reason.CLOCK_AHEAD,
            "its report is %.0f s ahead of this clock",
            (-age_s,),
        )
    # A start may have what is free and what can be freed.
    most_mib = max(report.usable_mib, report.free_mib + report.reclaimable_mib)
    if most_mib > host.total_mib:
        return Why(
            Reason.ABSURD,
            "its report speaks of %d MiB, but it has %d MiB",
            (most_mib, host.total_mib),
        )
    return None


def decide(
    report: HostReport | None,
    request: Request,
    host: HostFigures,
    now_s: float,
    limits: Limits,
    why_no_report: Why = NO_REPORT,
) -> Why | None:
    """Tell why a host may not take ``request``; None where it may.

    Without a believable report only what is physically there counts. In
    observe mode Nova's own rules hold, so everything passes.
    """
    if report is None:
        return _physical(request, host.free_mib, why_no_report)
    doubt = doubt_of(report, host, now_s, limits)
    if doubt is not None:
        return _physical(request, _unused_mib(report, host), doubt)
    mode = report.mode
    if mode == "observe":
        return None
    claims = Claims.since(report, host)
    if mode == "balance":
        return _balanced(report, request, host, claims)
    return _overcommitted(report, request, claims)


def room_mib(report: HostReport, host: HostFigures) -> int:
    """Give the memory of a host that nobody needs.

    Free memory and what guests leave idle, less what was placed there
    since the report, counted in full as nothing is known of it.
    """
    claims = Claims.since(report, host)
    return report.free_mib + report.idle_mib - claims.memory_mib


def _balanced(
    report: HostReport, request: Request, host: HostFigures, claims: Claims
) -> Why | None:
    unused_mib = _unused_mib(report, host)
    why = _physical(request, unused_mib, _ONLY_BALANCES)
    if why is not None:
        return why
    floor_mib, _start_mib = _least_of(request, report)
    flying_mib, _starts_mib = claims.least_mib(report)
    return _floors(report, floor_mib, flying_mib)


def _overcommitted(
    report: HostReport, request: Request, claims: Claims
) -> Why | None:
    if report.state in (report_module.PRESSURE, report_module.EMERGENCY):
        return Why(Reason.PRESSURE, "its state is %s", (report.state,))
    floor_mib, start_mib = _least_of(request, report)
    flying_floors_mib, flying_starts_mib = claims.least_mib(report)
    return (
        _promise(report, request, claims)
        or _guest_swap(report, request, claims)
        or _floors(report, floor_mib, flying_floors_mib)
        or _start(report, start_mib, flying_starts_mib)
    )


def _physical(request: Request, unused_mib: int, why: Why) -> Why | None:
    if request.memory_mib <= unused_mib:
        return None
    return Why(
        why.reason,
        f"{why.words}, so only physical memory counts: asked for "
        "%d MiB, %d MiB not yet given away",
        (*why.figures, request.memory_mib, unused_mib),
    )


def _unused_mib(report: HostReport, host: HostFigures) -> int:
    # Nova's total knows nothing of what the hypervisor itself needs,
    # or of guests that aren't Nova's.
    novas_mib = report.usable_mib - report.foreign_mib
    return min(host.free_mib, novas_mib - host.flavors_mib)


def _promise(
    report: HostReport, request: Request, claims: Claims
) -> Why | None:
    bound_mib = max(report.bound_mib, report.committed_mib)
    promise_mib = min(report.promise_mib, bound_mib)
    placed_mib = report.committed_mib + claims.memory_mib
    if placed_mib + request.memory_mib <= promise_mib:
        return None
    return Why(
        Reason.PROMISE,
        "it promises %d MiB: %d MiB are placed, asked for %d MiB",
        (promise_mib, placed_mib, request.memory_mib),
    )


def _guest_swap(
    report: HostReport, request: Request, claims: Claims
) -> Why | None:
    if not report.require_guest_swap:
        return None
    flavors_mib = report.committed_mib + claims.memory_mib + request.memory_mib
    flavors_mib += report.foreign_mib
    backed_mib = report.usable_mib - report.overhead_mib
    backed_mib += report.swap_mib + request.counted_swap_mib
    if flavors_mib <= backed_mib:
        return None
    return Why(
        Reason.GUEST_SWAP,
        "flavors would be %d MiB, more than its memory and all guests' "
        "swap, %d MiB",
        (flavors_mib, backed_mib),
    )


def _floors(report: HostReport, floor_mib: int, flying_mib: int) -> Why | None:
    floors_mib = report.floors_mib + flying_mib + floor_mib
    if floors_mib + report.reserve_mib <= report.usable_mib:
        return None
    return Why(
        Reason.FLOORS,
        "floors would be %d MiB, with the reserve of %d MiB more than its "
        "%d MiB",
        (floors_mib, report.reserve_mib, report.usable_mib),
    )


def _start(report: HostReport, start_mib: int, flying_mib: int) -> Why | None:
    slack_mib = report.reserve_mib // _SLACK_PART
    reachable_mib = report.free_mib + report.reclaimable_mib - slack_mib
    if flying_mib + start_mib <= reachable_mib:
        return None
    return Why(
        Reason.START,
        "a start needs %d MiB and those under way %d MiB, but only %d MiB "
        "are free or can be freed",
        (start_mib, flying_mib, reachable_mib),
    )


def _least_of(request: Request, report: HostReport) -> tuple[int, int]:
    """Give a guest's floor and the least it starts with."""
    if not request.overcommit:
        return request.memory_mib, request.memory_mib
    return _least_mib(
        request.memory_mib,
        request.swap_mib,
        request.floor_mib,
        _floor_rule(report),
        report.start_share,
    )


def _floor_rule(report: HostReport) -> floor.FloorRule:
    return floor.FloorRule(report.floor_share, report.require_guest_swap)


@functools.lru_cache(maxsize=1024)
def _least_mib(
    flavor_mib: int,
    swap_mib: int,
    asked_floor_mib: int,
    rule: floor.FloorRule,
    start_share: float,
) -> tuple[int, int]:
    # Most hosts of a cloud have the same shares, and are asked for few
    # flavors.
    flavor_kib = flavor_mib * _KIB
    floor_kib = rule.floor_kib(
        flavor_kib, swap_mib * _KIB, asked_floor_mib * _KIB
    )
    start_kib = floor.start_kib(flavor_kib, floor_kib, start_share)
    return -(-floor_kib // _KIB), -(-start_kib // _KIB)
