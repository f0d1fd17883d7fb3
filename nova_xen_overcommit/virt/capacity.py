# SPDX-License-Identifier: Apache-2.0
"""How much memory a host offers Placement; pure."""

import dataclasses

from nova_xen_overcommit import report as report_module
from nova_xen_overcommit.virt import inventory

OBSERVE, BALANCE, OVERCOMMIT = report_module.MODES


def effective_mode(mode: str, report: report_module.HostReport | None) -> str:
    """Give the more careful of our mode and the report's."""
    if report is None:
        return mode
    return min(mode, report.mode, key=report_module.MODES.index)


@dataclasses.dataclass(frozen=True, slots=True)
class Ratios:
    """What Nova is configured with for RAM.

    ``configured`` is ``ram_allocation_ratio`` (None or 0: not set),
    ``initial`` what Nova gives a fresh host.
    """

    configured: float | None
    initial: float

    @property
    def stock(self) -> float:
        """The ratio without us."""
        return self.configured or self.initial


def wanted_mib(
    mode: str,
    span_mib: int,
    report: report_module.HostReport | None,
    usable_mib: int,
) -> int:
    """Give the capacity to promise in any mode but observe.

    ``span_mib`` is total less reserved. Without a believable report it is
    what is physically there: ``usable_mib`` is then the last figure known.
    """
    if report is None:
        return max(0, min(span_mib, usable_mib))
    if effective_mode(mode, report) == OVERCOMMIT:
        return report.promise_mib
    return max(0, min(span_mib, novas_mib(report)))


def novas_mib(report: report_module.HostReport) -> int:
    """Give what Nova's instances can have without any overcommit."""
    return report.usable_mib - report.foreign_mib


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """MEMORY_MB's allocation ratio.

    ``wanted_mib`` is the capacity that we would promise, None where Nova's
    own ratio stays; ``cut`` tells that the configured ratio is below it.
    """

    ratio: float
    wanted_mib: int | None = None
    cut: bool = False


def allocation_ratio(
    mode: str,
    total_mib: int,
    reserved_mib: int,
    report: report_module.HostReport | None,
    usable_mib: int,
    ratios: Ratios,
) -> Decision:
    """Decide on MEMORY_MB's allocation ratio.

    In observe mode it is the one that Nova gives a fresh host, so that
    leaving overcommit is safe; otherwise what :func:`wanted_mib` says, with
    a configured ratio as upper bound.
    """
    if effective_mode(mode, report) == OBSERVE or total_mib <= reserved_mib:
        return Decision(ratios.stock)
    wanted = wanted_mib(mode, total_mib - reserved_mib, report, usable_mib)
    ratio = inventory.ratio_for(total_mib, reserved_mib, wanted)
    configured = ratios.configured
    if configured and configured < ratio:
        return Decision(configured, wanted, cut=True)
    return Decision(ratio, wanted)
