# SPDX-License-Identifier: Apache-2.0
"""Looks from outside at guests that never said anything of their memory.

The decisions are in :mod:`nova_xen_overcommit.policy.probe`. Nothing is
read here unless ``probe_silent_guests`` is set, and only of guests that are
silent: each at most once a second, and less often where it takes long.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import news
from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.agent.hypervisor.base import Domain, Hypervisor
from nova_xen_overcommit.policy.probe import Phase, Probe
from nova_xen_overcommit.policy.traffic import DiskCounters

LOOK_EVERY_S = 1.0
# Where so many guests are silent that a look takes long, looks take a tenth
# of the time; but never are counters so old that no step is taken any more.
_LOOKS_SHARE = 10
_LOOK_AT_LEAST_EVERY_S = 4.0
_KIB_PER_MIB = 1024


class Outside:
    """Reads the disks of silent guests, all together."""

    def __init__(
        self, hypervisor: Hypervisor, monotonic_s: Callable[[], float]
    ) -> None:
        self._hypervisor = hypervisor
        self._monotonic_s = monotonic_s
        self._look_at_s = -math.inf
        self._complaint = news.Complaint(
            "Silent guests can't be seen from outside"
        )

    def look(
        self,
        guests: Mapping[str, TrackedGuest],
        domains: Sequence[Domain],
    ) -> Mapping[str, DiskCounters]:
        """Give the counters that are due, by UUID.

        ``guests`` are those of the last pass, ``domains`` those of this. A
        failure is no reason to fail a pass: who isn't seen isn't touched.
        """
        now_s = self._monotonic_s()
        if now_s < self._look_at_s:
            return {}
        silent = [one for one in domains if _watches(guests, one)]
        if not silent:
            return {}
        try:
            found = self._hypervisor.disk_counters(silent)
            self._complaint.over()
        except Exception as error:  # noqa: BLE001
            expected = isinstance(error, exception.OvercommitError)
            self._complaint.say(error, traced=not expected)
            found = {}
        self._look_at_s = now_s + _rest_s(self._monotonic_s() - now_s)
        return found


def _rest_s(took_s: float) -> float:
    """Give when to look again after a look that took so long."""
    return max(
        LOOK_EVERY_S, min(_LOOK_AT_LEAST_EVERY_S, took_s * _LOOKS_SHARE)
    )


def _watches(guests: Mapping[str, TrackedGuest], domain: Domain) -> bool:
    guest = guests.get(domain.uuid)
    if guest is None or guest.domain.domain_id != domain.domain_id:
        return False
    return guest.may_be_watched and not (domain.busy or guest.held)


def seen(probe: Probe, now_s: float) -> dict[str, Any]:
    """Give what was seen of a guest, for people; KiB per second."""
    disks = probe.disks
    rates = disks.rates
    return {
        "sensor": "its disks, from outside",
        "age_s": round(now_s - disks.seen_s, 1),
        "swap_read_kib_s": round(rates.swap_read) if rates else None,
        "swap_written_kib_s": round(rates.swap_written) if rates else None,
        "file_read_kib_s": round(rates.file_read) if rates else None,
        "usual_file_read_kib_s": round(disks.usual_kib_s or 0),
    }


def wanted(guest: TrackedGuest, probe: Probe) -> dict[str, Any]:
    """Give its demand and where that comes from, for people."""
    causes = [_CAUSES[probe.phase]]
    if probe.signs and probe.phase in (Phase.HELD_OFF, Phase.UNKNOWN):
        causes += probe.signs
    return {
        "demand_kib": guest.demand_kib,
        "causes": causes,
        "comfort_kib": probe.comfort_kib,
        "probe_floor_kib": probe.least_kib,
        "pains": probe.pains,
    }


_CAUSES = {
    Phase.UNKNOWN: "not known to be calm: its whole flavor",
    Phase.WATCHED: "says nothing, is watched: what it has",
    Phase.OPEN: "says nothing, is calm: one step less than it has",
    Phase.FLOOR: "says nothing, is at the floor of such guests",
    Phase.HELD_OFF: "it hurt: more than it was comfortable with",
    Phase.BLIND: "says nothing, and its disks can't be read",
}


def holds(probe: Probe, now_s: float) -> str:
    """Say what keeps a step from being taken, and for how long."""
    left_s = max(0.0, probe.until_s - now_s)
    if probe.phase is Phase.FLOOR:
        return f"{probe.phase.value}, {probe.least_kib // _KIB_PER_MIB} MiB"
    if probe.phase is Phase.HELD_OFF:
        return f"held off for {left_s:.0f} s after {'; '.join(probe.signs)}"
    if probe.phase in (Phase.WATCHED, Phase.UNKNOWN):
        return f"{probe.phase.value}, for {left_s:.0f} s at least"
    return str(probe.phase.value)
