# SPDX-License-Identifier: Apache-2.0
"""How a host and its guests stand, in one frozen picture.

Made when somebody asks (see :mod:`picture`), never in a pass. All that tells
of the agent outwards is taken from here: the tool's ``status`` and ``check``,
and whatever exports figures. Sizes are KiB, times seconds.
"""

import dataclasses
import functools
import importlib.metadata
import platform
from collections.abc import Mapping
from typing import Any

from nova_xen_overcommit import report
from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.agent.pressure import Pressure
from nova_xen_overcommit.agent.reservations import Reservation
from nova_xen_overcommit.policy.progress import Status

# Of the answer on the socket; later fields don't change it.
VERSION = 1

EXEMPT = "exempt"
FROZEN = "frozen"
SILENT = "silent"
PROBED = "probed"
STARVED = "starved"
SELF_BALLOONING = "self-ballooning"
# In words that people know, the gravest first. The others are Status's.
STATES = (
    EXEMPT,
    FROZEN,
    Status.UNCOOPERATIVE.value,
    Status.STUCK.value,
    SILENT,
    STARVED,
    PROBED,
    SELF_BALLOONING,
    Status.MOVING.value,
    Status.SETTLED.value,
)
_DISTRIBUTIONS = ("nova_xen_overcommit", "libvirt-python", "oslo.service")


@dataclasses.dataclass(frozen=True, slots=True)
class GuestStatus:
    """One running guest.

    ``state`` is one of :data:`STATES`, ``hands_off`` why it must not be
    touched, "" when it may, and ``exempt`` why that is so for ever;
    ``status`` is how it follows its target. ``idle_kib`` is what it has
    above its demand, 0 where its demand isn't known; ``left_kib`` what it
    leaves free by itself. ``used_kib``, ``swap_total_kib``,
    ``swap_used_kib`` and ``sample_age_s`` are what it says of itself, None
    for who never did; ``swap_disk_kib`` is the size of its flavor's swap
    disk. ``silent`` says that nothing it says is believed now, ``foreign``
    that it isn't Nova's.
    """

    uuid: str
    name: str
    flavor_kib: int
    floor_kib: int
    actual_kib: int
    target_kib: int
    demand_kib: int
    idle_kib: int
    left_kib: int
    used_kib: int | None
    swap_total_kib: int | None
    swap_used_kib: int | None
    swap_disk_kib: int
    weight: float
    state: str
    status: str
    silent: bool
    starved: bool
    starved_s: float
    balloons_itself: bool
    probed: bool
    exempt: str
    foreign: bool
    hands_off: str
    in_full: str
    sensor: str
    sample_age_s: float | None
    known_s: float
    reason: str
    demand_reasons: tuple[str, ...]

    @classmethod
    def of(cls, guest: TrackedGuest, warm_up_s: float) -> "GuestStatus":
        """Give how a guest stood at the end of the last pass."""
        known, sample, domain = guest.demand, guest.sample, guest.domain
        return cls(
            uuid=domain.uuid,
            name=domain.name,
            flavor_kib=domain.flavor_kib,
            floor_kib=guest.floor_kib,
            actual_kib=domain.actual_kib,
            target_kib=guest.target_kib,
            demand_kib=guest.demand_kib,
            idle_kib=0 if guest.frozen else guest.idle_kib,
            left_kib=guest.left_kib,
            used_kib=known.used_kib if known else None,
            swap_total_kib=sample.swap_total_kib if sample else None,
            swap_used_kib=sample.swap_used_kib if sample else None,
            swap_disk_kib=domain.metadata.swap_kib,
            weight=domain.metadata.weight,
            state=_state(guest),
            status=guest.progress.status.value,
            silent=not guest.speaks,
            starved=guest.starved,
            starved_s=round(guest.starved_s, 1),
            balloons_itself=guest.balloons_itself,
            probed=guest.probed is not None,
            exempt=domain.exempt,
            foreign=domain.foreign,
            hands_off=guest.hands_off,
            in_full=guest.in_full(warm_up_s),
            sensor=guest.sensor,
            sample_age_s=(
                round(guest.now_s - sample.time_s, 1) if sample else None
            ),
            known_s=round(guest.now_s - guest.first_seen_s, 1),
            reason=guest.reason,
            demand_reasons=known.reasons if known else (),
        )


def _state(guest: TrackedGuest) -> str:
    follows = guest.progress.status
    if guest.domain.exempt:
        return EXEMPT
    if guest.domain.busy or guest.held:
        return FROZEN
    if not guest.progress.cooperates:
        return follows.value
    if guest.probed is None and not guest.speaks:
        return SILENT
    if guest.starved:
        return STARVED
    if guest.probed is not None:
        return PROBED
    return SELF_BALLOONING if guest.balloons_itself else follows.value


@dataclasses.dataclass(frozen=True, slots=True)
class StartStatus:
    """A start that waits or is under way.

    ``granted_kib`` is None while it waits; ``restart``: nobody asked for
    it, but the guest may be rebooting.
    """

    uuid: str
    name: str
    flavor_kib: int
    granted_kib: int | None
    for_s: float
    restart: bool

    @classmethod
    def of(cls, reservation: Reservation, now_s: float) -> "StartStatus":
        """Give how a start stands at ``now_s``."""
        return cls(
            uuid=reservation.request.uuid,
            name=reservation.request.name,
            flavor_kib=reservation.request.flavor_kib,
            granted_kib=reservation.granted_kib,
            for_s=round(now_s - reservation.asked_at_s, 1),
            restart=reservation.restart,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class HostStatus:
    """What is known of the host once a pass has succeeded.

    ``report`` is what the scheduler is told, in MiB. ``short_kib`` is what
    guests lack to their needs, ``wanted_kib`` what starts wait for,
    ``past_s`` how much history the predictor has.
    """

    report: report.HostReport
    hypervisor: str
    promise_bound: str
    predictor: str
    past_s: float
    slack_mib: int
    short_kib: int
    wanted_kib: int
    moves: int
    errors: int
    failing_sensors: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, ready for JSON."""
        return _plain(self) | {
            "report": self.report.to_dict(),
            "failing_sensors": list(self.failing_sensors),
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Passes:
    """How passes go.

    ``failures`` of ``passes`` failed, with ``complaint`` if the last one
    did; the last took ``pass_s``. ``heartbeat_age_s`` is since the last one
    ended, ``pass_ago_s`` since the last that succeeded (None: none has),
    ``under_way_s`` since one began that hasn't ended (0: none).
    ``refused_starts`` counts the starts that had no room, ``reports_sent``
    how often somebody asked for the report, last ``report_sent_ago_s``.
    """

    passes: int
    failures: int
    complaint: str
    pass_s: float
    heartbeat_age_s: float | None
    pass_ago_s: float | None
    under_way_s: float
    refused_starts: int
    reports_sent: int = 0
    report_sent_ago_s: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, ready for JSON."""
        return _plain(self)


@dataclasses.dataclass(frozen=True, slots=True)
class AgentStatus:
    """All there is to know; ``host`` is None until a pass has succeeded.

    ``whole``: host and guests are as one pass left them. Where a pass hangs
    and nobody asked before, some are of that pass already. ``pressure`` is
    of the host's own kernel (dom0's on Xen), None where it counts none.
    ``held`` has the reason by UUID of each guest that a client holds still.
    """

    passes: Passes
    host: HostStatus | None = None
    guests: tuple[GuestStatus, ...] = ()
    starts: tuple[StartStatus, ...] = ()
    held: Mapping[str, str] = dataclasses.field(default_factory=dict)
    pressure: Pressure | None = None
    whole: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, ready for JSON, in one flat level.

        A guest's figures are in ``guests``, the scheduler's in ``report``.
        """
        told = {
            "version": VERSION,
            "versions": dict(versions()),
            **self.passes.to_dict(),
            "whole": self.whole,
            "pressure": self.pressure and _plain(self.pressure),
            "starts": [_plain(start) for start in self.starts],
            "held": dict(self.held),
            "guests": [_plain(guest) for guest in self.guests],
        }
        if self.host is not None:
            told |= self.host.to_dict()
        return told


def _plain(one: Any) -> dict[str, Any]:
    # Not asdict, which copies all the way down, for thousands of guests.
    return {name: getattr(one, name) for name in one.__slots__}


@functools.cache
def versions() -> Mapping[str, str]:
    """Give the versions of what this process runs on, by name."""
    found = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = ""
    return found
