# SPDX-License-Identifier: Apache-2.0
"""What a replay comes to, in figures; MiB, seconds and shares.

A guest is short while it uses more than it has, by more than 1 MiB; a host
is short while one of its guests is. What is missing to a guest is in its
own swap meanwhile, if it has so much.
"""

import dataclasses
import datetime
from typing import Any

import numpy as np

from nova_xen_overcommit.whatif.fleet import Fleet, Shape
from nova_xen_overcommit.whatif.replay import Played
from nova_xen_overcommit.whatif.tally import Tally
from nova_xen_overcommit.whatif.trace import Trace

_MIB = 1024
_HOUR_S = 3600.0
_DAY_S = 86400.0
# Earlier than any cloud: such a trace counts from its own begin.
_EPOCH_S = 100_000_000


@dataclasses.dataclass(frozen=True)
class Shortage:
    """One time without interruption in which a host was short."""

    host: int
    begin: str
    length_s: float
    depth_mib: int
    depth_share: float
    mib_s: int
    guests: int


@dataclasses.dataclass(frozen=True)
class Harm:
    """What one guest suffered; ``time_share`` is of its time on hosts."""

    vm: str
    size_mib: int
    short_s: float
    time_share: float
    mib_s: int
    worst_mib: int
    worst_share: float
    beyond_swap_mib: int


def moment(trace: Trace, step: int) -> str:
    """Say when a step begins, for people."""
    at_s = trace.begin_s + step * trace.step_s
    if trace.begin_s >= _EPOCH_S:
        when = datetime.datetime.fromtimestamp(at_s, tz=datetime.UTC)
        return when.strftime("%Y-%m-%d %H:%M:%S")
    day, rest_s = divmod(int(step * trace.step_s), int(_DAY_S))
    return f"day {day + 1}, {datetime.timedelta(seconds=rest_s)}"


def figures(
    trace: Trace, fleet: Fleet, shape: Shape, played: Played
) -> dict[str, Any]:
    """Give all figures as plain values, ready for JSON."""
    tally = played.tally
    usable_mib = shape.usable_kib // _MIB
    harms = _harms(fleet, tally)
    return {
        "trace": {
            "vms": len(trace.names),
            "steps": trace.steps,
            "step_s": trace.step_s,
            "days": round(trace.steps * trace.step_s / _DAY_S, 3),
            "begin": moment(trace, 0),
            "bad_rows": trace.skipped,
            "complaints": list(trace.complaints),
        },
        "hosts": _hosts(played, trace.step_s),
        "promise": _promise(tally, usable_mib),
        "shortage": _shortage(trace, tally, usable_mib),
        "guests": {
            "harmed": len(harms),
            "time_share": _share(tally.short_steps.sum(), tally.lived.sum()),
            "beyond_swap": sum(harm.beyond_swap_mib > 0 for harm in harms),
            "harms": [dataclasses.asdict(harm) for harm in harms],
        },
        "refusals": dataclasses.asdict(played.refusals),
        "decisions": {
            "predictions": played.predictions,
            "plans": played.plans,
        },
    }


def _hosts(played: Played, step_s: float) -> dict[str, Any]:
    tally = played.tally
    saved = played.stock_hosts - played.hosts
    return {
        "stock": played.stock_hosts,
        "overcommit": played.hosts,
        "saved": saved,
        "saved_share": _share(saved, played.stock_hosts),
        "stock_host_h": round(
            float(tally.stock_hosts.sum()) * step_s / _HOUR_S, 1
        ),
        "overcommit_host_h": round(
            float(tally.hosts.sum()) * step_s / _HOUR_S, 1
        ),
    }


def _promise(tally: Tally, usable_mib: int) -> dict[str, Any]:
    """Give the sums over all hosts at each step in which they promised."""
    rows: dict[int, list[int]] = {}
    for step, _host, promised_kib, committed_kib in tally.promises:
        row = rows.setdefault(step, [0, 0, 0])
        row[0] += 1
        row[1] += promised_kib // _MIB
        row[2] += committed_kib // _MIB
    steps = sorted(rows)
    hosts, promised, committed = (
        [rows[step][column] for step in steps] for column in range(3)
    )
    ratios = [
        promised_mib / (count * usable_mib)
        for promised_mib, count in zip(promised, hosts, strict=True)
    ]
    return {
        "usable_mib_per_host": usable_mib,
        "mean_ratio": round(sum(ratios) / len(ratios), 4) if ratios else 0.0,
        "least_ratio": round(min(ratios, default=0.0), 4),
        "most_ratio": round(max(ratios, default=0.0), 4),
        "over_time": {
            "time_s": [step * tally.step_s for step in steps],
            "hosts": hosts,
            "promise_mib": promised,
            "committed_mib": committed,
            "used_mib": (tally.used_kib[steps] // _MIB).tolist(),
            "demand_mib": (tally.demand_kib[steps] // _MIB).tolist(),
            "stock_hosts": tally.stock_hosts[steps].tolist(),
        },
        "by_host": _by_host(tally),
    }


def _by_host(tally: Tally) -> list[dict[str, list[float]]]:
    hosts: dict[int, dict[str, list[float]]] = {}
    for step, host, promised_kib, committed_kib in tally.promises:
        columns = hosts.setdefault(
            host, {"time_s": [], "promise_mib": [], "committed_mib": []}
        )
        columns["time_s"].append(step * tally.step_s)
        columns["promise_mib"].append(promised_kib // _MIB)
        columns["committed_mib"].append(committed_kib // _MIB)
    return [hosts[host] for host in sorted(hosts)]


def _shortage(trace: Trace, tally: Tally, usable_mib: int) -> dict[str, Any]:
    found = shortages(trace, tally, usable_mib)
    short = sum(int((series > 0).sum()) for series in tally.short_kib.values())
    served = sum(tally.served.values())
    return {
        "host_time_share": _share(short, served),
        "host_h": round(short * tally.step_s / _HOUR_S, 2),
        "of_host_h": round(served * tally.step_s / _HOUR_S, 1),
        "count": len(found),
        "deepest_mib": max((one.depth_mib for one in found), default=0),
        "deepest_share_of_host": max(
            (one.depth_share for one in found), default=0.0
        ),
        "longest_s": max((one.length_s for one in found), default=0.0),
        "shortages": [dataclasses.asdict(one) for one in found],
    }


def shortages(trace: Trace, tally: Tally, usable_mib: int) -> list[Shortage]:
    """Give all shortages, the deepest first."""
    found = []
    for host, series_kib in tally.short_kib.items():
        edges = np.diff(np.concatenate(([0], series_kib > 0, [0])).astype(int))
        begins, ends = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            depth_mib = int(series_kib[begin:end].max()) // _MIB
            missed_kib = float(series_kib[begin:end].sum())
            found.append(
                Shortage(
                    host=host,
                    begin=moment(trace, begin),
                    length_s=(end - begin) * tally.step_s,
                    depth_mib=depth_mib,
                    depth_share=_share(depth_mib, usable_mib),
                    mib_s=round(missed_kib * tally.step_s / _MIB),
                    guests=int(tally.short_guests[host][begin:end].max()),
                )
            )
    return sorted(found, key=lambda s: (-s.depth_mib, s.host, s.begin))


def _harms(fleet: Fleet, tally: Tally) -> list[Harm]:
    """Give who was harmed, those with most MiB × s first."""
    harms = [
        Harm(
            vm=fleet.names[guest],
            size_mib=int(fleet.sizes_kib[guest]) // _MIB,
            short_s=int(tally.short_steps[guest]) * tally.step_s,
            time_share=_share(tally.short_steps[guest], tally.lived[guest]),
            mib_s=round(float(tally.missed_kib[guest]) * tally.step_s / _MIB),
            worst_mib=int(tally.worst_kib[guest]) // _MIB,
            worst_share=_share(tally.worst_kib[guest], fleet.sizes_kib[guest]),
            beyond_swap_mib=max(
                0,
                int(tally.worst_kib[guest] - fleet.swaps_kib[guest]) // _MIB,
            ),
        )
        for guest in np.flatnonzero(tally.short_steps).tolist()
    ]
    return sorted(harms, key=lambda harm: (-harm.mib_s, harm.vm))


def _share(part: Any, whole: Any) -> float:
    return round(float(part) / float(whole), 6) if whole else 0.0
