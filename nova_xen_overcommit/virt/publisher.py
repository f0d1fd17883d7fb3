# SPDX-License-Identifier: Apache-2.0
"""What nova-compute tells the scheduler and Placement about memory."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from oslo_config import cfg
from oslo_log import log as logging

from nova_xen_overcommit import exception
from nova_xen_overcommit import report as report_module
from nova_xen_overcommit.virt import capacity
from nova_xen_overcommit.virt import inventory as inventory_module

LOG = logging.getLogger(__name__)


class ReportSource(Protocol):
    """Who gives the host's report: the agent's client."""

    def report(self) -> report_module.HostReport:
        """Give the newest report or raise OvercommitError."""


def capacity_of(inventory: Mapping[str, Any], ratio: float) -> int:
    """Give what Placement makes of an inventory with ``ratio``, in MiB."""
    return inventory_module.capacity_mib(
        inventory["total"], inventory["reserved"], ratio
    )


class Publisher:
    """Reads the agent's report and turns it into stats and inventory."""

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        source: ReportSource,
        wall_clock_s: Callable[[], float],
    ) -> None:
        self._conf = conf
        self._source = source
        self._wall_clock_s = wall_clock_s
        self._usable_mib: int | None = None
        self._told = ""
        self._told_cut: bool | None = None

    def report(self) -> report_module.HostReport | None:
        """Give a report that may be believed, None where there is none."""
        try:
            report = self._source.report()
            self.require_fresh(report)
        except exception.OvercommitError as error:
            self._tell(str(error))
            return None
        self._tell("")
        self._usable_mib = capacity.novas_mib(report)
        return report

    def require_fresh(self, report: report_module.HostReport) -> None:
        """Let nobody go by a report that is too old.

        :raises InvalidReport: it is, or its clock is ahead.
        """
        options = self._conf.xen_overcommit
        age_s = report.age_s(self._wall_clock_s())
        if not -options.clock_skew_s <= age_s <= options.report_max_age_s:
            raise exception.InvalidReport(f"the report is {age_s:.0f} s old")

    def mode(self) -> str:
        """Give the mode in force: the more careful of ours and the agent's."""
        mode: str = self._conf.xen_overcommit.mode
        if mode == capacity.OBSERVE:
            return mode
        return capacity.effective_mode(mode, self.report())

    def add_stats(self, stats: Mapping[str, Any] | None) -> dict[str, Any]:
        """Give ``stats`` with the report, if there is one to believe."""
        merged = dict(stats or {})
        merged.pop(report_module.STATS_KEY, None)
        report = self.report()
        if report is None:
            return merged
        # The filter must not take this host for more than it is.
        mode = capacity.effective_mode(self._conf.xen_overcommit.mode, report)
        return merged | dataclasses.replace(report, mode=mode).to_stats()

    def set_ratio(
        self, inventory: Mapping[str, Any], host_usable_mib: int
    ) -> dict[str, Any]:
        """Give a MEMORY_MB inventory with the ratio that says our promise.

        ``host_usable_mib`` bounds the capacity when the agent has never
        been heard.
        """
        decision = capacity.allocation_ratio(
            self._conf.xen_overcommit.mode,
            inventory["total"],
            inventory["reserved"],
            self.report(),
            host_usable_mib if self._usable_mib is None else self._usable_mib,
            self._ratios(),
        )
        self._tell_bound(decision, inventory)
        return {**inventory, "allocation_ratio": decision.ratio}

    def _ratios(self) -> capacity.Ratios:
        return capacity.Ratios(
            configured=self._conf.ram_allocation_ratio,
            initial=self._conf.initial_ram_allocation_ratio,
        )

    def _tell_bound(
        self, decision: capacity.Decision, inventory: Mapping[str, Any]
    ) -> None:
        """Say what the operator's own ratio does to our promise."""
        configured = self._conf.ram_allocation_ratio
        if not configured or decision.wanted_mib is None:
            return
        if decision.cut == self._told_cut:
            return
        self._told_cut = decision.cut
        bound_mib = capacity_of(inventory, configured)
        if decision.cut:
            LOG.warning(
                "ram_allocation_ratio = %s is set: it cuts the promise of "
                "%d MiB to %d MiB. Unset it to let the agent decide",
                configured,
                decision.wanted_mib,
                bound_mib,
            )
        else:
            LOG.info(
                "ram_allocation_ratio = %s is set: it bounds what is "
                "promised to %d MiB; the promise of %d MiB is within that",
                configured,
                bound_mib,
                decision.wanted_mib,
            )

    def _tell(self, trouble: str) -> None:
        # Once per change, not once a minute.
        if trouble and not self._told:
            LOG.warning(
                "No report from the agent, the host promises physical "
                "memory only: %s",
                trouble,
            )
        elif self._told and not trouble:
            LOG.info("The agent reports again")
        self._told = trouble
