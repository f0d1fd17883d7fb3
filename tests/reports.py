# SPDX-License-Identifier: Apache-2.0
"""Host reports for tests."""

import dataclasses
import time
from typing import Any

from nova_xen_overcommit import report

GIB_MIB = 1024


def host_report(**changes: Any) -> report.HostReport:
    """Give a report of a 4 GiB host that may promise 12 GiB."""
    stock = report.HostReport(
        time_s=time.time(),
        mode="overcommit",
        state=report.NORMAL,
        physical_mib=4 * GIB_MIB,
        usable_mib=3 * GIB_MIB,
        reserve_mib=128,
        free_mib=2 * GIB_MIB,
        committed_mib=0,
        promise_mib=12 * GIB_MIB,
        floors_mib=0,
        demand_mib=0,
        peak_mib=0,
        idle_mib=0,
        reclaimable_mib=0,
        swap_mib=0,
        max_ratio=4.0,
        floor_share=0.1,
        start_share=0.25,
        require_guest_swap=False,
        guests=0,
        uncooperative=0,
    )
    return dataclasses.replace(stock, **changes)
