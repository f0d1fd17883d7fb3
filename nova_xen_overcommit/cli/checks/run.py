# SPDX-License-Identifier: Apache-2.0
"""All checks, in the order in which they are told."""

from collections.abc import Callable, Iterable
from typing import Any

from oslo_upgradecheck import upgradecheck

from nova_xen_overcommit.cli import check, printable
from nova_xen_overcommit.cli.checks import (
    agent,
    compute,
    guests,
    node,
)
from nova_xen_overcommit.cli.checks.site import COMPUTE, CONTROL, Site, explore
from nova_xen_overcommit.cli.checks.verdicts import Code, Result

_AGENT = "nova-xen-overcommit-agent"

Judge = Callable[[Site], Result]
_ANYWHERE: tuple[tuple[str, Judge], ...] = (
    ("Versions", node.versions),
    ("Configuration", node.configuration),
)
_ON_CONTROL: tuple[tuple[str, Judge], ...] = (
    ("Scheduler filter", node.filters),
    ("Scheduler weigher", node.weigher),
    ("Extra specs", node.extra_specs),
    ("Age of reports", node.report_age),
)
_ON_COMPUTE: tuple[tuple[str, Judge], ...] = (
    ("Symbols of Nova", node.symbols),
    ("Compute driver", compute.driver),
    ("Mode", compute.mode),
    ("RAM allocation ratio", compute.ram_ratio),
    ("Reserved memory", compute.reserved_memory),
    ("Connection", compute.connection),
    ("Balloon statistics", compute.balloon_statistics),
    ("Disks", compute.disks),
    ("Hypervisor", compute.hypervisor),
    ("Memory of dom0", compute.domain_0),
    ("Agent", agent.reachable),
    ("Heartbeat", agent.heartbeat),
    ("Sensors", agent.sensors),
    ("Socket", agent.socket),
)


class Checks(upgradecheck.UpgradeCommands):
    """The checks of one host, judged when made."""

    display_title = "nova-xen-overcommit check"

    def __init__(self, tool: Any, role: str) -> None:
        super().__init__()
        self._site = explore(tool, role, _AGENT)
        self._results = [
            (printable.clean(name), _harmless(result))
            for name, result in _judged(self._site)
        ]
        # What the library prints and takes the worst of.
        self._upgrade_checks = tuple(
            (name, (_given, {"result": result}))
            for name, result in self._results
        )

    def worst(self) -> Code:
        """Give the gravest result."""
        return max(result.code for _name, result in self._results)

    def document(self) -> dict[str, Any]:
        """Give all results in a form that is promised to programs."""
        return {
            "version": check.VERSION,
            "roles": sorted(self._site.roles),
            "result": self.worst().name.lower(),
            "checks": [
                {
                    "check": name,
                    "result": result.code.name.lower(),
                    "details": result.details,
                }
                for name, result in self._results
            ],
            "guests": guests.eligible(self._site),
        }


def _given(_checks: Checks, result: Result) -> Result:
    return result


def _judged(site: Site) -> Iterable[tuple[str, Result]]:
    chosen = list(_ANYWHERE)
    if CONTROL in site.roles:
        chosen += _ON_CONTROL
    if COMPUTE in site.roles:
        chosen += _ON_COMPUTE
    for name, judge in chosen:
        yield name, judge(site)
    if COMPUTE in site.roles:
        yield from guests.checks(site)


def _harmless(result: Result) -> Result:
    return Result(result.code, printable.clean(result.details))
