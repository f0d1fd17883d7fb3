# SPDX-License-Identifier: Apache-2.0
"""Who was refused why: of one request, and since the scheduler started.

A request's refusals end in one line of the log. Their sum is in the
scheduler's Guru Meditation Report, which each OpenStack service writes when
it gets the signal USR2 (oslo.reports).
"""

import collections
import threading
from collections.abc import Mapping
from typing import NamedTuple

from oslo_reports import guru_meditation_report

from nova_xen_overcommit.scheduler.admission import Reason

TITLE = "Hosts refused by XenOvercommitFilter"
# So many hosts are named for each reason; the debug log has all.
_NAMED_HOSTS = 3


class Tally:
    """The refusals of one request: how many hosts by reason, and which."""

    def __init__(self) -> None:
        self.hosts = 0
        self._refused: dict[Reason, list[str]] = {}

    def refuse(self, host: str, reason: Reason) -> None:
        """Note that ``host`` was refused."""
        self._refused.setdefault(reason, []).append(host)

    @property
    def counts(self) -> dict[Reason, int]:
        """How many hosts were refused, by reason."""
        return {reason: len(names) for reason, names in self._refused.items()}

    def __str__(self) -> str:
        """Give the reasons, most frequent first, with some hosts of each."""
        ordered = sorted(
            self._refused.items(), key=lambda item: (-len(item[1]), item[0])
        )
        return ", ".join(
            f"{reason} {len(names)} ({_some(names)})"
            for reason, names in ordered
        )


def _some(names: list[str]) -> str:
    more = ", ..." if len(names) > _NAMED_HOSTS else ""
    return ", ".join(names[:_NAMED_HOSTS]) + more


class Figures(NamedTuple):
    """What was asked and refused since the process started."""

    requests: int
    hosts: int
    refused: Mapping[Reason, int]

    def __str__(self) -> str:
        lines = [
            f"requests = {self.requests}",
            f"hosts asked = {self.hosts}",
            f"hosts refused = {sum(self.refused.values())}",
        ]
        lines += [
            f"  {reason} = {self.refused.get(reason, 0)}" for reason in Reason
        ]
        return "\n".join(lines)


class Totals:
    """All tallies of a process; may be used by several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = 0
        self._hosts = 0
        self._refused: collections.Counter[Reason] = collections.Counter()

    def add(self, tally: Tally) -> None:
        """Add what one request has met."""
        with self._lock:
            self._requests += 1
            self._hosts += tally.hosts
            self._refused.update(tally.counts)

    def figures(self) -> Figures:
        """Give the sums so far."""
        with self._lock:
            return Figures(self._requests, self._hosts, dict(self._refused))


TOTALS = Totals()


def register() -> None:
    """Let the process's Guru Meditation Report tell the totals."""
    report = guru_meditation_report.TextGuruMeditation
    known = getattr(report, "persistent_sections", ())
    if not any(title == TITLE for title, _generator in known):
        report.register_section(TITLE, TOTALS.figures)
