# SPDX-License-Identifier: Apache-2.0
"""What no input may break in the filter's decision."""

import unittest
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit import report as report_module
from nova_xen_overcommit.scheduler import admission
from tests.unit.scheduler import world

sizes = st.integers(0, 1 << 16)
requests = st.builds(
    admission.Request,
    memory_mib=st.integers(1, 1 << 15),
    floor_mib=st.integers(0, 512),
    swap_mib=st.integers(0, 1 << 14),
    overcommit=st.booleans(),
)
hosts = st.builds(
    admission.HostFigures,
    total_mib=sizes,
    free_mib=st.integers(-(1 << 16), 1 << 16),
    reserved_mib=st.integers(0, 4096),
    instances=st.integers(0, 200),
)


@st.composite
def reports(draw: Any) -> report_module.HostReport:
    """Draw any report that is valid."""
    usable_mib = draw(sizes)
    names = [
        "reserve_mib",
        "free_mib",
        "committed_mib",
        "promise_mib",
        "floors_mib",
        "reclaimable_mib",
        "swap_mib",
        "idle_mib",
    ]
    return world.a_report(
        usable_mib=usable_mib,
        physical_mib=usable_mib + draw(sizes),
        mode=draw(st.sampled_from(report_module.MODES)),
        state=draw(st.sampled_from(report_module.STATES)),
        time_s=world.NOW_S - draw(st.integers(-60, 400)),
        require_guest_swap=draw(st.booleans()),
        guests=draw(st.integers(0, 200)),
        max_ratio=draw(st.floats(1, 64)),
        floor_share=draw(st.floats(0.02, 1)),
        start_share=draw(st.floats(0.05, 1)),
        **{name: draw(sizes) for name in names},
    )


def passes(
    report: report_module.HostReport | None,
    request: admission.Request,
    host: admission.HostFigures,
) -> bool:
    why = admission.decide(report, request, host, world.NOW_S, world.LIMITS)
    return why is None


class AlwaysTest(unittest.TestCase):
    @given(reports(), requests, hosts)
    def test_a_refusal_always_says_why(self, report, request, host) -> None:
        why = admission.decide(
            report, request, host, world.NOW_S, world.LIMITS
        )
        if why is not None:
            self.assertIn(why.reason, list(admission.Reason))
            self.assertTrue(str(why))

    @given(reports(), requests, hosts)
    def test_what_passes_keeps_the_rules(self, report, request, host) -> None:
        # Given a host that passes in overcommit mode
        # Then with this guest promise, floors and swap still hold
        doubt = admission.doubt_of(report, host, world.NOW_S, world.LIMITS)
        if report.mode != "overcommit" or doubt:
            return
        if not passes(report, request, host):
            return
        claims = admission.Claims.since(report, host)
        flavors_mib = (
            report.committed_mib + claims.memory_mib + request.memory_mib
        )
        self.assertLessEqual(flavors_mib, report.promise_mib)
        self.assertLessEqual(
            report.floors_mib + report.reserve_mib, report.usable_mib
        )
        if report.require_guest_swap:
            self.assertLessEqual(
                flavors_mib,
                report.usable_mib + report.swap_mib + request.swap_mib,
            )

    @given(reports(), requests, hosts)
    def test_an_old_report_never_lets_more_in_than_none(
        self, report, request, host
    ) -> None:
        old = world.a_report(
            **{**report.to_dict(), "time_s": world.NOW_S - 181}
        )
        if passes(old, request, host):
            self.assertTrue(passes(None, request, host))

    @given(reports(), requests, hosts, st.integers(1, 8192))
    def test_another_claim_never_opens_a_host(
        self, report, request, host, claim_mib
    ) -> None:
        # Given a host that is refused
        # When one more instance as large as the mean is placed on it
        # Then it is still refused
        fuller = admission.HostFigures(
            total_mib=host.total_mib,
            free_mib=host.free_mib - claim_mib,
            reserved_mib=host.reserved_mib,
            instances=host.instances,
        )
        if report.floor_share < 1 and report.mode == "overcommit":
            # The steps of xenballoond's minimum are not monotonous in one
            # guest's size; promise and swap are what is checked here.
            report = world.a_report(
                **{**report.to_dict(), "floor_share": 1.0, "start_share": 1.0}
            )
        if not passes(report, request, host):
            self.assertFalse(passes(report, request, fuller))
