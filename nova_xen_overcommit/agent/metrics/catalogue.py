# SPDX-License-Identifier: Apache-2.0
"""Every metric: its name, what it means, and where it is in the picture.

Names and units are as Prometheus has them: base units (bytes, seconds,
ratios), ``_total`` for what only rises while one agent lives. All begin with
:data:`PREFIX`.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from nova_xen_overcommit import report
from nova_xen_overcommit.agent.status import (
    STATES,
    AgentStatus,
    GuestStatus,
    HostStatus,
    Passes,
    versions,
)
from nova_xen_overcommit.policy.progress import Status

T = TypeVar("T")

PREFIX = "nova_xen_overcommit_"
GAUGE, COUNTER, HISTOGRAM = "gauge", "counter", "histogram"
GUEST_LABELS = ("uuid", "name")

_KIB = 1024
_MIB = 1024 * 1024
# What a family has beside its labels' values.
Labelled = Mapping[tuple[str, ...], float]


@dataclasses.dataclass(frozen=True, slots=True)
class Metric(Generic[T]):
    """One metric; ``value`` reads it, None where there is none to show."""

    name: str
    kind: str
    help: str
    value: Callable[[T], float | None]


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """A metric of the host with labels; ``values`` reads all of them."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    values: Callable[[AgentStatus], Labelled]


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A line of the documentation's table."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


# Ages that aren't known yet are counted from the agent's start.
PASSES: tuple[Metric[Passes], ...] = (
    Metric(
        "passes_total",
        COUNTER,
        "Passes of the balancer that have ended, failed ones included.",
        lambda passes: passes.passes,
    ),
    Metric(
        "pass_failures_total",
        COUNTER,
        "Passes that failed; guests kept what they had.",
        lambda passes: passes.failures,
    ),
    Metric(
        "pass_under_way_seconds",
        GAUGE,
        "How long the pass under way has taken so far, 0 between passes.",
        lambda passes: passes.under_way_s,
    ),
    Metric(
        "reservations_refused_total",
        COUNTER,
        "Starts of guests that were refused, for want of room or of an "
        "answer.",
        lambda passes: passes.refused_starts,
    ),
    Metric(
        "reports_sent_total",
        COUNTER,
        "How often somebody has taken the report; nova-compute does so once "
        "a minute and more.",
        lambda passes: passes.reports_sent,
    ),
)
AGES: tuple[Metric[Passes], ...] = (
    Metric(
        "heartbeat_age_seconds",
        GAUGE,
        "Since the last pass has ended, failed or not.",
        lambda passes: passes.heartbeat_age_s,
    ),
    Metric(
        "report_age_seconds",
        GAUGE,
        "Since the last pass that succeeded. The host's and the guests' "
        "figures are as old.",
        lambda passes: passes.pass_ago_s,
    ),
    Metric(
        "report_sent_age_seconds",
        GAUGE,
        "Since somebody, usually nova-compute, has taken the report.",
        lambda passes: passes.report_sent_ago_s,
    ),
)


def _reported(
    name: str, field: str, text: str
) -> tuple[str, str, str, Callable[[HostStatus], float]]:
    def value(host: HostStatus) -> float:
        return float(getattr(host.report, field)) * _MIB

    return name, GAUGE, text, value


HOST: tuple[Metric[HostStatus], ...] = (
    Metric(
        *_reported("host_physical_bytes", "physical_mib", "The host's memory.")
    ),
    Metric(
        *_reported(
            "host_usable_bytes",
            "usable_mib",
            "What guests may have in all: the host's memory less what host "
            "and hypervisor keep.",
        )
    ),
    Metric(*_reported("host_free_bytes", "free_mib", "Measured free memory.")),
    Metric(
        *_reported(
            "host_reserve_bytes",
            "reserve_mib",
            "What is to be kept free for needs and starts (reserve_mib).",
        )
    ),
    Metric(
        *_reported(
            "host_committed_bytes",
            "committed_mib",
            "Sum of the flavors of Nova's guests and starts.",
        )
    ),
    Metric(
        *_reported(
            "host_foreign_bytes",
            "foreign_mib",
            "Sum of the flavors of guests that aren't Nova's.",
        )
    ),
    Metric(
        *_reported(
            "host_promise_bytes",
            "promise_mib",
            "What the agent would have Placement hand out in all.",
        )
    ),
    Metric(
        *_reported(
            "host_floors_bytes",
            "floors_mib",
            "Sum of the least that guests can be squeezed to.",
        )
    ),
    Metric(
        *_reported(
            "host_demand_bytes", "demand_mib", "Sum of the guests' demands."
        )
    ),
    Metric(
        *_reported(
            "host_predicted_peak_bytes",
            "peak_mib",
            "The foretold peak of the guests' summed demand.",
        )
    ),
    Metric(
        *_reported(
            "host_idle_bytes",
            "idle_mib",
            "What guests have above their demands.",
        )
    ),
    Metric(
        *_reported(
            "host_reclaimable_bytes",
            "reclaimable_mib",
            "What guests could yield to a start.",
        )
    ),
    Metric(
        *_reported(
            "host_guest_swap_bytes",
            "swap_mib",
            "Sum of the guests' own swap, of each as much as its flavor.",
        )
    ),
    Metric(
        "host_short_bytes",
        GAUGE,
        "What guests lack to their needs.",
        lambda host: host.short_kib * _KIB,
    ),
    Metric(
        "host_wanted_bytes",
        GAUGE,
        "What starts still wait for.",
        lambda host: host.wanted_kib * _KIB,
    ),
    Metric(
        "history_seconds",
        GAUGE,
        "How much of the past the predictor knows.",
        lambda host: host.past_s,
    ),
    Metric(
        "moves_total",
        COUNTER,
        "Changes of guests' targets.",
        lambda host: host.moves,
    ),
    Metric(
        "errors_total",
        COUNTER,
        "Calls of the hypervisor and readings of sensors that failed.",
        lambda host: host.errors,
    ),
)

GUEST: tuple[Metric[GuestStatus], ...] = (
    Metric(
        "guest_flavor_bytes",
        GAUGE,
        "The most that the guest may have.",
        lambda guest: guest.flavor_kib * _KIB,
    ),
    Metric(
        "guest_floor_bytes",
        GAUGE,
        "The least that the guest is squeezed to.",
        lambda guest: guest.floor_kib * _KIB,
    ),
    Metric(
        "guest_actual_bytes",
        GAUGE,
        "What the guest has.",
        lambda guest: guest.actual_kib * _KIB,
    ),
    Metric(
        "guest_target_bytes",
        GAUGE,
        "What its balloon was asked for.",
        lambda guest: guest.target_kib * _KIB,
    ),
    Metric(
        "guest_demand_bytes",
        GAUGE,
        "What it needs to run unharmed; its flavor where that isn't known.",
        lambda guest: guest.demand_kib * _KIB,
    ),
    Metric(
        "guest_used_bytes",
        GAUGE,
        "What it was last seen to use; not there for who never said.",
        lambda guest: _bytes(guest.used_kib),
    ),
    Metric(
        "guest_swap_used_bytes",
        GAUGE,
        "Its own swap in use; not there for who never said.",
        lambda guest: _bytes(guest.swap_used_kib),
    ),
    Metric(
        "guest_sample_age_seconds",
        GAUGE,
        "Age of what it says of itself, at the last pass; not there for who "
        "never did.",
        lambda guest: guest.sample_age_s,
    ),
    Metric(
        "guest_starved_seconds_total",
        COUNTER,
        "How long it has been starved since this agent found it.",
        lambda guest: guest.starved_s,
    ),
    Metric(
        "guest_starved",
        GAUGE,
        "1 while it swaps or stalls for want of memory.",
        lambda guest: guest.starved,
    ),
    Metric(
        "guest_silent",
        GAUGE,
        "1 while nothing it says of its memory can be believed.",
        lambda guest: guest.silent,
    ),
    Metric(
        "guest_stuck",
        GAUGE,
        "1 while its balloon has stopped short of its target (stuck_after_s).",
        lambda guest: guest.status == Status.STUCK.value,
    ),
    Metric(
        "guest_uncooperative",
        GAUGE,
        "1 while its balloon isn't moved, since it didn't follow "
        "(uncooperative_after_s).",
        lambda guest: guest.status == Status.UNCOOPERATIVE.value,
    ),
)


def _bytes(kib: int | None) -> float | None:
    return None if kib is None else kib * _KIB


def _one_of(names: tuple[str, ...], name: str) -> Labelled:
    return {(one,): float(one == name) for one in names}


def _host_state(status: AgentStatus) -> Labelled:
    host = status.host
    return {} if host is None else _one_of(report.STATES, host.report.state)


def _mode(status: AgentStatus) -> Labelled:
    host = status.host
    return {} if host is None else _one_of(report.MODES, host.report.mode)


def _guests(status: AgentStatus) -> Labelled:
    counts = Counter(guest.state for guest in status.guests)
    return {(state,): counts[state] for state in STATES}


def _reservations(status: AgentStatus) -> Labelled:
    waiting = sum(start.granted_kib is None for start in status.starts)
    granted = len(status.starts) - waiting
    return {("waiting",): waiting, ("granted",): granted}


def _failing(status: AgentStatus) -> Labelled:
    host = status.host
    return {} if host is None else {(s,): 1 for s in host.failing_sensors}


def _sensor_ages(status: AgentStatus) -> Labelled:
    ages: dict[tuple[str, ...], float] = {}
    for guest in status.guests:
        if guest.sample_age_s is not None:
            key = (guest.sensor,)
            ages[key] = min(guest.sample_age_s, ages.get(key, 1e9))
    return ages


def _pressure(status: AgentStatus) -> Labelled:
    pressure = status.pressure
    if pressure is None:
        return {}
    return {
        ("some",): pressure.some_avg10_percent / 100,
        ("full",): pressure.full_avg10_percent / 100,
    }


def _build(status: AgentStatus) -> Labelled:
    known = versions()
    names = ("nova_xen_overcommit", "python", "libvirt-python")
    hypervisor = status.host.hypervisor if status.host else ""
    return {(*(known.get(name, "") for name in names), hypervisor): 1}


FAMILIES: tuple[Family, ...] = (
    Family(
        "host_state",
        GAUGE,
        "1 for the state that the scheduler is told, 0 for the others.",
        ("state",),
        _host_state,
    ),
    Family(
        "mode",
        GAUGE,
        "1 for the mode that the agent runs in, 0 for the others.",
        ("mode",),
        _mode,
    ),
    Family(
        "guests",
        GAUGE,
        "How many guests are in each state.",
        ("state",),
        _guests,
    ),
    Family(
        "reservations",
        GAUGE,
        "Starts that wait for memory, and those that were granted it and "
        "don't run yet.",
        ("phase",),
        _reservations,
    ),
    Family(
        "sensor_failing",
        GAUGE,
        "1 for a sensor that could not be read in the last pass; not there "
        "for the others.",
        ("sensor",),
        _failing,
    ),
    Family(
        "sensor_age_seconds",
        GAUGE,
        "Age of the newest figures that a sensor has of any guest.",
        ("sensor",),
        _sensor_ages,
    ),
    Family(
        "host_pressure_ratio",
        GAUGE,
        "Share of the last ten seconds in which some, or all, of the host's "
        "own processes waited for memory (dom0's on Xen).",
        ("kind",),
        _pressure,
    ),
    Family(
        "build_info",
        GAUGE,
        "Always 1; its labels tell the versions.",
        ("version", "python", "libvirt_python", "hypervisor"),
        _build,
    ),
)

DURATION = "pass_duration_seconds"
DURATION_HELP = "How long passes took."
# A pass over ten guests takes a millisecond, one over thousands a tenth of
# a second, one in which libvirt hangs seconds.
DURATION_BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)


def lines() -> Iterator[Line]:
    """Give each metric by its full name, in the order of the tables."""
    for metric in (*PASSES, *AGES):
        yield Line(PREFIX + metric.name, metric.kind, (), metric.help)
    yield Line(PREFIX + DURATION, HISTOGRAM, (), DURATION_HELP)
    for told in HOST:
        yield Line(PREFIX + told.name, told.kind, (), told.help)
    for family in FAMILIES:
        name = PREFIX + family.name
        yield Line(name, family.kind, family.labels, family.help)
    for guest in GUEST:
        name = PREFIX + guest.name
        yield Line(name, guest.kind, GUEST_LABELS, guest.help)
