# SPDX-License-Identifier: Apache-2.0
"""Whether a host may take one more guest: the filter's decision, pure.

No I/O, no clock, no options, no Nova. Sizes are MiB.
"""

import dataclasses

from nova_xen_overcommit import report as report_module
from nova_xen_overcommit.policy import floor
from nova_xen_overcommit.report import HostReport

_KIB = 1024
_NO_REPORT = "it has no report"
# A start may spend the reserve, but not the hypervisor's slack in it. The
# report doesn't say the slack; by default it is this part of the reserve.
_SLACK_PART = 8


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


@dataclasses.dataclass(frozen=True, slots=True)
class HostFigures:
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


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a host passes; why not, where it doesn't."""

    passes: bool
    reason: str = ""


PASSES = Verdict(True)


@dataclasses.dataclass(frozen=True, slots=True)
class Claims:
    """What Nova has placed on a host that its report doesn't know of.

    Shut-off instances are among them: they may be started at any time.
    """

    memory_mib: int
    guests: int

    @classmethod
    def since(cls, report: HostReport, host: HostFigures) -> "Claims":
        """Give what Nova counts beyond what the report counts."""
        memory_mib = max(0, host.flavors_mib - report.committed_mib)
        if not memory_mib:
            return cls(0, 0)
        guests = max(1, host.instances - report.guests)
        return cls(memory_mib, min(guests, memory_mib))

    def least_mib(self, report: HostReport) -> tuple[int, int]:
        """Give the floors and the starts of these guests, each summed.

        Only their number and sum are known: taken as equally large.
        """
        if not self.guests:
            return 0, 0
        mean = Request(-(-self.memory_mib // self.guests))
        floor_mib, start_mib = _least_mib(mean, report)
        return self.guests * floor_mib, self.guests * start_mib


def trouble_of(report: HostReport, now_s: float, limits: Limits) -> str:
    """Say why a report can't be believed any more; empty when it can.

    ``now_s`` is the wall clock in seconds since the epoch.
    """
    age_s = report.age_s(now_s)
    if age_s > limits.max_age_s:
        return f"its report is {age_s:.0f} s old"
    if age_s < -limits.clock_skew_s:
        return f"its report is {-age_s:.0f} s ahead of this clock"
    return ""


def decide(
    report: HostReport | None,
    request: Request,
    host: HostFigures,
    now_s: float,
    limits: Limits,
    why_no_report: str = _NO_REPORT,
) -> Verdict:
    """Tell whether a host may take ``request``.

    Without a believable report only what is physically there counts. In
    observe mode Nova's own rules hold, so everything passes.
    """
    if report is None:
        return _physical(request, host.free_mib, why_no_report)
    trouble = trouble_of(report, now_s, limits)
    if trouble:
        return _physical(request, _unused_mib(report, host), trouble)
    mode = report.mode
    if mode == "observe":
        return PASSES
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
) -> Verdict:
    verdict = _physical(request, _unused_mib(report, host), "it only balances")
    if not verdict.passes:
        return verdict
    floor_mib, _start_mib = _least_mib(request, report)
    flying_mib, _starts_mib = claims.least_mib(report)
    return _floors(report, floor_mib, flying_mib) or PASSES


def _overcommitted(
    report: HostReport, request: Request, claims: Claims
) -> Verdict:
    if report.state in (report_module.PRESSURE, report_module.EMERGENCY):
        return Verdict(False, f"its state is {report.state}")
    floor_mib, start_mib = _least_mib(request, report)
    flying_floors_mib, flying_starts_mib = claims.least_mib(report)
    return (
        _promise(report, request, claims)
        or _guest_swap(report, request, claims)
        or _floors(report, floor_mib, flying_floors_mib)
        or _start(report, start_mib, flying_starts_mib)
        or PASSES
    )


def _physical(request: Request, unused_mib: int, why: str) -> Verdict:
    if request.memory_mib <= unused_mib:
        return PASSES
    return Verdict(
        False,
        f"{why}, so only physical memory counts: asked for "
        f"{request.memory_mib} MiB, {unused_mib} MiB not yet given away",
    )


def _unused_mib(report: HostReport, host: HostFigures) -> int:
    # Nova's total knows nothing of what the hypervisor itself needs.
    return min(host.free_mib, report.usable_mib - host.flavors_mib)


def _promise(
    report: HostReport, request: Request, claims: Claims
) -> Verdict | None:
    bound_mib = int(report.usable_mib * report.max_ratio)
    promise_mib = min(report.promise_mib, max(bound_mib, report.committed_mib))
    placed_mib = report.committed_mib + claims.memory_mib
    if placed_mib + request.memory_mib <= promise_mib:
        return None
    return Verdict(
        False,
        f"it promises {promise_mib} MiB: {placed_mib} MiB are placed, "
        f"asked for {request.memory_mib} MiB",
    )


def _guest_swap(
    report: HostReport, request: Request, claims: Claims
) -> Verdict | None:
    if not report.require_guest_swap:
        return None
    flavors_mib = report.committed_mib + claims.memory_mib + request.memory_mib
    backed_mib = report.usable_mib + report.swap_mib + request.swap_mib
    if flavors_mib <= backed_mib:
        return None
    return Verdict(
        False,
        f"flavors would be {flavors_mib} MiB, more than its memory and "
        f"all guests' swap, {backed_mib} MiB",
    )


def _floors(
    report: HostReport, floor_mib: int, flying_mib: int
) -> Verdict | None:
    floors_mib = report.floors_mib + flying_mib + floor_mib
    if floors_mib + report.reserve_mib <= report.usable_mib:
        return None
    return Verdict(
        False,
        f"floors would be {floors_mib} MiB, with the reserve of "
        f"{report.reserve_mib} MiB more than its {report.usable_mib} MiB",
    )


def _start(
    report: HostReport, start_mib: int, flying_mib: int
) -> Verdict | None:
    slack_mib = report.reserve_mib // _SLACK_PART
    reachable_mib = report.free_mib + report.reclaimable_mib - slack_mib
    if flying_mib + start_mib <= reachable_mib:
        return None
    return Verdict(
        False,
        f"a start needs {start_mib} MiB and those under way {flying_mib} "
        f"MiB, but only {reachable_mib} MiB are free or can be freed",
    )


def _least_mib(request: Request, report: HostReport) -> tuple[int, int]:
    """Give a guest's floor and the least it starts with."""
    if not request.overcommit:
        return request.memory_mib, request.memory_mib
    flavor_kib = request.memory_mib * _KIB
    floor_kib = floor.floor_kib(
        flavor_kib, report.floor_share, request.floor_mib * _KIB
    )
    start_kib = floor.start_kib(flavor_kib, floor_kib, report.start_share)
    return -(-floor_kib // _KIB), -(-start_kib // _KIB)
