# SPDX-License-Identifier: Apache-2.0
"""A 4 GiB host with three 1 GiB guests, as tests of the scheduler see it."""

import dataclasses
from typing import Any

from nova_xen_overcommit.report import HostReport
from nova_xen_overcommit.scheduler import admission
from tests import reports

NOW_S = 1_700_000_000.0
LIMITS = admission.Limits(max_age_s=180, clock_skew_s=30)
RESERVED_MIB = 896

REPORT = reports.host_report(
    time_s=NOW_S - 10,
    usable_mib=3200,
    free_mib=256,
    committed_mib=3072,
    promise_mib=9000,
    floors_mib=330,
    demand_mib=900,
    peak_mib=1100,
    idle_mib=2000,
    reclaimable_mib=1800,
    swap_mib=3072,
    require_guest_swap=True,
    guests=3,
)

# Nova counts what the report counts: no claim is newer than the report.
HOST = admission.HostFigures(
    total_mib=4096,
    free_mib=4096 - RESERVED_MIB - 3072,
    reserved_mib=RESERVED_MIB,
    instances=3,
)

GUEST = admission.Request(memory_mib=1024, swap_mib=1024)


def a_report(**changes: Any) -> HostReport:
    """Give the host's report, changed."""
    return dataclasses.replace(REPORT, **changes)


def a_host(claimed: int = 0, flavor_mib: int = 1024) -> admission.HostFigures:
    """Give the host after ``claimed`` more instances were placed on it."""
    return HOST._replace(
        free_mib=HOST.free_mib - claimed * flavor_mib,
        instances=HOST.instances + claimed,
    )


def a_guest(**changes: Any) -> admission.Request:
    """Give the request for a 1 GiB guest with swap, changed."""
    return dataclasses.replace(GUEST, **changes)
