# SPDX-License-Identifier: Apache-2.0
"""A past as rows and as a document; pure. Sizes are MiB, times UTC."""

import datetime
from collections.abc import Mapping
from typing import Any

from nova_xen_overcommit.cli import past

VERSION = 1
NAMES = ("time", "guests", "size_mib", "demand_mib", "used_mib")
_KIB_PER_MIB = 1024


def when(time_s: float) -> str:
    """Give a time in ISO 8601, UTC."""
    moment = datetime.datetime.fromtimestamp(time_s, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def points(told: past.Past, uuid: str) -> Mapping[int, past.Point]:
    """Give the points of a guest; "": of the host."""
    return told.guests[uuid] if uuid else told.host


def rows(told: past.Past, uuid: str) -> list[tuple[Any, ...]]:
    """Give a row for each step, as in :data:`NAMES`; None: unknown."""
    return [
        (
            when(time_s),
            one.guests,
            _mib(one.size_kib),
            _mib(one.demand_kib),
            _mib(one.used_kib),
        )
        for time_s, one in sorted(points(told, uuid).items())
    ]


def summary(told: past.Past, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Give what each guest had and needed most, most needy first."""
    found = [
        _summed(uuid, names.get(uuid, ""), points)
        for uuid, points in told.guests.items()
    ]
    return sorted(
        found, key=lambda one: (-(one["demand_max_mib"] or 0), one["uuid"])
    )


def _summed(
    uuid: str, name: str, points: Mapping[int, past.Point]
) -> dict[str, Any]:
    known = [one.used_kib for one in points.values() if one.used_kib]
    return {
        "uuid": uuid,
        "name": name,
        "size_mib": _mib(points[max(points)].size_kib),
        "demand_max_mib": _mib(max(p.demand_kib for p in points.values())),
        "used_max_mib": _mib(max(known, default=0)),
        "used_mean_mib": _mib(sum(known) // len(known) if known else 0),
    }


def document(
    told: past.Past, uuid: str, names: Mapping[str, str]
) -> dict[str, Any]:
    """Give all of it in a form that is promised to programs."""
    shown = told.span
    summed = summary(told, names)
    return {
        "version": VERSION,
        "guest": uuid or None,
        "since": when(shown.since_s),
        "until": when(shown.until_s),
        "step_s": shown.step_s,
        "points": [
            dict(zip(NAMES, row, strict=True)) for row in rows(told, uuid)
        ],
        "guests": [one for one in summed if uuid in ("", one["uuid"])],
    }


def _mib(kib: int) -> int | None:
    return round(kib / _KIB_PER_MIB) if kib else None
