# SPDX-License-Identifier: Apache-2.0
"""What a host tells the scheduler, and how it travels.

The agent makes a :class:`HostReport`, the driver puts it into
``ComputeNode.stats`` (the one supported channel from a virt driver to a
filter), and filter and weigher read it back from ``HostState.stats``. All
sizes are MiB, as everywhere in Nova and Placement.
"""

import dataclasses
import functools
import json
import math
from collections.abc import Mapping
from typing import Any, Self

from nova_xen_overcommit import exception

VERSION = 1
STATS_KEY = "xen_overcommit"
# Beside the report: the host's reserved_host_memory_mb, which Nova counts as
# used and the report doesn't count as committed.
RESERVED_KEY = "xen_overcommit_reserved_mb"

# 1 PiB: more than any host has, so a figure above it is garbage.
MAX_MIB = 1 << 30
# The year 5138.
MAX_TIME_S = 1e11
# The most that max_overcommit_ratio can be.
MAX_RATIO = 64.0
# A report has less than 1,024. Nova keeps all stats of a node in one text
# column of 64 KiB.
MAX_TEXT_CHARS = 4096

NORMAL = "normal"
RECLAIMING = "reclaiming"
PRESSURE = "pressure"
EMERGENCY = "emergency"
STATES = (NORMAL, RECLAIMING, PRESSURE, EMERGENCY)

MODES = ("observe", "balance", "overcommit")


@dataclasses.dataclass(frozen=True, slots=True)
class HostReport:
    """One host at one moment; see the design's terms. Sizes in MiB.

    ``time_s`` is the wall clock (seconds since the epoch) of the pass that
    made the report. ``state`` is one of :data:`STATES`. ``peak_mib`` is the
    predicted peak of summed demand, guests in warm-up counted in full;
    ``reclaimable_mib`` what idle guests could yield now; ``swap_mib`` the
    sum of guest swap, of each no more than its flavor; ``floor_share`` and
    ``start_share`` are the host's rules for a new guest, as shares of its
    flavor, so that the scheduler needs no copy of the host's configuration.
    ``overhead_mib`` is what guests cost beside their memory; ``floors_mib``
    and ``peak_mib`` have it in them. The first reports of this version
    didn't say it.

    ``committed_mib``, ``promise_mib`` and ``guests`` are of Nova's guests,
    as Nova and Placement know of no others. ``foreign_mib`` is the sum of
    the flavors of all others, and the first reports of this version didn't
    say it either. All other sums are of all guests.
    """

    time_s: float
    mode: str
    state: str
    physical_mib: int
    usable_mib: int
    reserve_mib: int
    free_mib: int
    committed_mib: int
    promise_mib: int
    floors_mib: int
    demand_mib: int
    peak_mib: int
    idle_mib: int
    reclaimable_mib: int
    swap_mib: int
    max_ratio: float
    floor_share: float
    start_share: float
    require_guest_swap: bool
    guests: int
    uncooperative: int
    version: int = VERSION
    overhead_mib: int = 0
    foreign_mib: int = 0

    def __post_init__(self) -> None:
        _check(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Check and take what :meth:`to_dict` gave.

        Fields that a later version added are ignored only within the same
        version number.

        :raises InvalidReport: the version is later, a field is missing, of
            a wrong type or out of range, or more is promised than can be.
        """
        _check_version(values.get("version"))
        values = {**_LATER, **values}
        missing = [name for name in _NAMES if name not in values]
        if missing:
            raise exception.InvalidReport(f"no field {', '.join(missing)}")
        made = cls(**{name: values[name] for name in _NAMES})
        _check_promise(made)
        return made

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, ready for JSON.

        A field that came later is left out where it says nothing else than
        its absence.
        """
        values = {name: getattr(self, name) for name in _NAMES}
        return {k: v for k, v in values.items() if _LATER.get(k, ...) != v}

    @property
    def bound_mib(self) -> int:
        """What ``max_ratio`` leaves for Nova's guests; may be below 0."""
        return int(self.usable_mib * self.max_ratio) - self.foreign_mib

    def to_stats(self) -> dict[str, str]:
        """Give the entry for ``ComputeNode.stats``."""
        text = json.dumps(self.to_dict(), separators=(",", ":"))
        return {STATS_KEY: text}

    @staticmethod
    def from_stats(stats: Mapping[str, Any] | None) -> "HostReport | None":
        """Read ``HostState.stats``; None where there is no report.

        :raises InvalidReport: there is one, but it can't be believed.
        """
        found = read_stats(stats) if stats else None
        if isinstance(found, exception.InvalidReport):
            # Not the cached one: raising it would hang frames on it.
            raise type(found)(str(found))
        return found

    def age_s(self, now_s: float) -> float:
        """Give the report's age at the wall clock ``now_s``, in seconds.

        Negative when the reporting host's clock is ahead of ours.
        """
        return now_s - self.time_s


# What is checked how, found out once.
_FIELDS = dataclasses.fields(HostReport)
_NAMES = tuple(field.name for field in _FIELDS)
_INTEGERS = tuple(field.name for field in _FIELDS if field.type is int)
# What a reader of this version doesn't expect, and what its absence means.
_LATER: dict[str, Any] = {"overhead_mib": 0, "foreign_mib": 0}
_NUMBERS = {
    "time_s": MAX_TIME_S,
    "max_ratio": MAX_RATIO,
    "floor_share": 1.0,
    "start_share": 1.0,
}


def read_stats(
    stats: Mapping[str, Any],
) -> HostReport | exception.InvalidReport | None:
    """Read ``HostState.stats`` as :meth:`HostReport.from_stats`.

    What is wrong with a report is given, not raised: a scheduler reads the
    same text once per request and host, and must not be slow on bad ones.
    """
    text = stats.get(STATS_KEY)
    if text is None or text == "":
        return None
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARS:
        return exception.UnreadableReport("not a text of a report's length")
    return _read(text)


# Safe under threads and greenlets, as it is one call into C. Hosts send a
# new text once a minute; those that are gone are pushed out.
@functools.lru_cache(maxsize=8192)
def _read(text: str) -> HostReport | exception.InvalidReport:
    try:
        return HostReport.from_dict(_parse(text))
    except exception.InvalidReport as error:
        # Without the frames that led here, which would be kept with it.
        return error.with_traceback(None)


def _parse(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise exception.UnreadableReport(f"not JSON: {error}") from None
    if not isinstance(values, dict):
        raise exception.UnreadableReport("not a JSON object")
    return values


def _check_version(version: Any) -> None:
    if type(version) is int and version == VERSION:
        return
    newer = type(version) is int and version > VERSION
    kind = exception.NewerReport if newer else exception.InvalidReport
    raise kind(f"version {version!r:.40}, this side knows {VERSION}")


def _check(report: HostReport) -> None:
    for name in _INTEGERS:
        value = getattr(report, name)
        if type(value) is not int or not 0 <= value <= MAX_MIB:
            raise exception.InvalidReport(f"{name} is {value!r:.40}")
    for name, most in _NUMBERS.items():
        value = getattr(report, name)
        # No comparison holds for NaN.
        if type(value) not in (int, float) or not 0 <= value <= most:
            raise exception.InvalidReport(f"{name} is {value!r:.40}")
    if type(report.require_guest_swap) is not bool:
        raise exception.InvalidReport("require_guest_swap is no boolean")
    if report.state not in STATES:
        raise exception.InvalidReport(f"state {report.state!r:.40}")
    if report.mode not in MODES:
        raise exception.InvalidReport(f"mode {report.mode!r:.40}")
    if report.usable_mib > report.physical_mib:
        raise exception.InvalidReport("usable_mib exceeds physical_mib")


def _check_promise(report: HostReport) -> None:
    """See that no more is promised than can be.

    The agent reckons in KiB. What it cut from ``usable_mib`` and added to
    ``foreign_mib`` is less than a MiB each, the former times the ratio.
    """
    rounded_mib = math.ceil(report.max_ratio) + 1
    most_mib = max(report.committed_mib, report.bound_mib + rounded_mib)
    if report.promise_mib > most_mib:
        raise exception.InvalidReport(
            f"promise_mib is {report.promise_mib}, {most_mib} would be most"
        )
