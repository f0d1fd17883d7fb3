# SPDX-License-Identifier: Apache-2.0
"""The agent's status as a document for people and programs; pure.

Its form is promised to programs: within one ``version`` fields are only
added. The documentation lists them all. Sizes are MiB, times seconds.
"""

from collections.abc import Mapping
from typing import Any

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import status
from nova_xen_overcommit.cli import wording

VERSION = 1
_PASSES = (
    "passes",
    "failures",
    "complaint",
    "pass_s",
    "heartbeat_age_s",
    "pass_ago_s",
    "under_way_s",
    "whole",
    "refused_starts",
)
_REPORT = (
    "mode",
    "state",
    "physical_mib",
    "usable_mib",
    "free_mib",
    "reserve_mib",
    "committed_mib",
    "promise_mib",
    "floors_mib",
    "demand_mib",
    "peak_mib",
    "idle_mib",
    "reclaimable_mib",
    "swap_mib",
    "max_ratio",
    "uncooperative",
)
_HOST = (
    "hypervisor",
    "promise_bound",
    "predictor",
    "past_s",
    "short_mib",
    "wanted_mib",
    "moves",
    "errors",
    "failing_sensors",
)
GUEST = (
    "name",
    "uuid",
    "state",
    "flavor_mib",
    "floor_mib",
    "actual_mib",
    "target_mib",
    "demand_mib",
    "idle_mib",
    "used_mib",
    "left_mib",
    "swap_used_mib",
    "swap_total_mib",
    "swap_disk_mib",
    "starved",
    "starved_s",
    "weight",
    "status",
    "silent",
    "sample_age_s",
    "sensor",
    "known_s",
    "balloons_itself",
    "probed",
    "exempt",
    "foreign",
    "hands_off",
    "in_full",
    "reason",
)
# What agents of earlier releases don't tell of a guest, and what it is then.
_LATER = {"foreign": False}
_START = ("name", "uuid", "flavor_mib", "granted_mib", "for_s", "restart")


def document(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Give the document of an agent's answer to ``status``.

    ``host`` is None until a pass has succeeded. ``ratio`` is the promise as
    multiple of what guests can have in all.

    :raises UnknownMethod: the agent is of another release.
    :raises KeyError: the answer is none.
    """
    if answer.get("version") != status.VERSION:
        raise exception.UnknownMethod(
            f"the agent's status is of version {answer.get('version')}, not "
            f"{status.VERSION}"
        )
    seen: dict[str, Any] = wording.in_mib(dict(answer))
    return {
        "version": VERSION,
        "agent": {
            "versions": seen["versions"],
            **{name: seen[name] for name in _PASSES},
        },
        "host": _host(seen) if "report" in seen else None,
        "starts": [
            {name: one[name] for name in _START} for one in seen["starts"]
        ],
        "guests": [
            {name: ({**_LATER, **one})[name] for name in GUEST}
            for one in seen["guests"]
        ],
    }


def _host(seen: Mapping[str, Any]) -> dict[str, Any]:
    report, pressure = seen["report"], seen["pressure"] or {}
    usable_mib = report["usable_mib"]
    return {
        "report_time_s": report["time_s"],
        **{name: report[name] for name in _REPORT},
        "foreign_mib": wording.foreign_of(report),
        "ratio": (
            round(report["promise_mib"] / usable_mib, 2) if usable_mib else 0.0
        ),
        **{name: seen[name] for name in _HOST},
        "psi_some_avg10_percent": pressure.get("some_avg10_percent"),
        "psi_full_avg10_percent": pressure.get("full_avg10_percent"),
        "guests": len(seen["guests"]),
    }


def lines(told: Mapping[str, Any]) -> list[str]:
    """Say how the host and its agent are, line by line."""
    agent, host = told["agent"], told["host"]
    if host is None:
        return [_passes(agent), *_troubles(agent)]
    foreign = [one["name"] for one in told["guests"] if one["foreign"]]
    return [
        "Host {state}, mode {mode} on {hypervisor}: {physical_mib} MiB, "
        "{usable_mib} for guests, {free_mib} free, reserve "
        "{reserve_mib}".format(**host),
        "{guests} guests of {0} MiB in all need {demand_mib}, "
        "{idle_mib} are idle, {reclaimable_mib} could be taken; guests lack "
        "{short_mib}, starts wait for {wanted_mib}".format(
            host["committed_mib"] + host["foreign_mib"], **host
        ),
        *wording.foreign(host["foreign_mib"], foreign),
        "Promise {promise_mib} MiB, ratio {ratio:.2f}, limited by "
        "{promise_bound}".format(**host)
        + _pressure(host),
        _passes(agent),
        *[_start(start) for start in told["starts"]],
        *_troubles(agent),
        *_sensors(host),
    ]


def _passes(agent: Mapping[str, Any]) -> str:
    if agent["heartbeat_age_s"] is None:
        return "Heartbeat: none yet, no pass has ended"
    text = "Heartbeat {heartbeat_age_s} s ago, passes take {0} ms".format(
        round(1000 * agent["pass_s"]), **agent
    )
    if agent["pass_ago_s"] is None:
        return f"{text}, none has succeeded"
    return text + ", the last good one {pass_ago_s} s ago".format(**agent)


def _troubles(agent: Mapping[str, Any]) -> list[str]:
    found = []
    if agent["complaint"]:
        found.append(f"The last pass failed: {agent['complaint']}")
    if agent["under_way_s"] >= 1:
        found.append(f"A pass is under way for {agent['under_way_s']:.0f} s")
    if not agent["whole"]:
        found.append("Some guests are as that pass has found them already")
    return found


def _pressure(host: Mapping[str, Any]) -> str:
    if host["psi_some_avg10_percent"] is None:
        return ""
    return (
        "; host's own PSI: some {psi_some_avg10_percent:.1f} %, full "
        "{psi_full_avg10_percent:.1f} %".format(**host)
    )


def _start(start: Mapping[str, Any]) -> str:
    what = "may be rebooting" if start["restart"] else "starts"
    granted = start["granted_mib"]
    got = "waits for memory" if granted is None else f"has {granted} MiB kept"
    return "{name}, flavor {flavor_mib} MiB, {0} since {for_s} s, {1}".format(
        what, got, **start
    )


def _sensors(host: Mapping[str, Any]) -> list[str]:
    names = ", ".join(host["failing_sensors"])
    return [f"Sensors fail: {names}"] if names else []
