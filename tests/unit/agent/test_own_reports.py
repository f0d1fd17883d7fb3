# SPDX-License-Identifier: Apache-2.0
"""Whatever a host is like: its agent's own report is believed.

The scheduler doubts reports that promise more than can be. A report that
was only rounded, or tells of a host that is out of order, is no such.
"""

import dataclasses
import unittest
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.agent.balancer import HostView, PassResult
from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.agent.history import DemandHistory
from nova_xen_overcommit.agent.hypervisor.base import Domain, HostMemory
from nova_xen_overcommit.agent.protocol import StartRequest
from nova_xen_overcommit.agent.reporting import Reporter
from nova_xen_overcommit.agent.reservations import Reservation
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.guest_metadata import GuestMetadata
from nova_xen_overcommit.policy.predictors import Surge
from nova_xen_overcommit.policy.sample import MemorySample
from nova_xen_overcommit.report import HostReport
from nova_xen_overcommit.scheduler import admission
from tests.simulator import GIB, MIB, SimulatedHost
from tests.simulator.production import configured
from tests.unit.agent.harness import Harness

NOW_S = 1000.0
WALL_S = 1_700_000_000.0
LIMITS = admission.Limits(max_age_s=180, clock_skew_s=30)
sizes = st.integers(0, 8 * GIB)


def parts(whole_kib: int) -> st.SearchStrategy[int]:
    """Draw a part of a size: all, none, and hardly ever a whole MiB."""
    return st.integers(0, 997).map(lambda part: whole_kib * part // 997)


@st.composite
def memories(draw: Any) -> HostMemory:
    """Draw a host's memory as measured; the parts need not add up."""
    physical_kib = draw(parts(8 * GIB))
    return HostMemory(
        physical_kib=physical_kib,
        free_kib=draw(parts(physical_kib)),
        kept_kib=draw(parts(2 * GIB)),
    )


@st.composite
def guests(draw: Any, number: int, settings: Settings) -> TrackedGuest:
    """Draw a guest that speaks, or doesn't, of its own balloon or not."""
    flavor_kib = 64 * MIB + draw(parts(4 * GIB))
    domain = Domain(
        uuid=f"guest-{number}",
        name=f"guest-{number}",
        domain_id=number,
        flavor_kib=flavor_kib,
        actual_kib=draw(parts(flavor_kib)),
        asked_kib=draw(parts(flavor_kib)),
        overhead_kib=draw(st.integers(0, 64 * MIB)),
        metadata=GuestMetadata(swap_kib=draw(sizes)),
        foreign=draw(st.booleans()),
    )
    known_s = draw(st.sampled_from([0.0, 500.0]))
    guest = TrackedGuest.found(domain, NOW_S - known_s, settings.floor_rule)
    total_kib = max(1, domain.actual_kib)
    own_kib = st.one_of(st.none(), st.integers(-GIB, GIB))
    sample = MemorySample(
        time_s=NOW_S,
        max_age_s=15.0,
        mem_total_kib=total_kib,
        mem_available_kib=draw(parts(total_kib)),
        swap_total_kib=0,
        swap_free_kib=0,
        self_more_kib=draw(own_kib),
    )
    silent = draw(st.sampled_from([False, False, False, True]))
    guest.refresh(domain, None if silent else sample, NOW_S, settings)
    offset_kib = draw(st.sampled_from([0, -MIB, 20 * MIB]))
    guest.progress = dataclasses.replace(guest.progress, offset_kib=offset_kib)
    return guest


def _start(foreign: bool, flavor_kib: int) -> Reservation:
    request = StartRequest("start", "start", flavor_kib, swap_kib=flavor_kib)
    return Reservation(request, NOW_S, NOW_S + 60, foreign=foreign)


starts = st.lists(
    st.builds(_start, st.booleans(), st.integers(1, 4 * GIB)), max_size=2
)


class OwnReportTest(unittest.TestCase):
    def test_what_was_cut_from_a_mib_is_borne(self) -> None:
        # Given 1023 KiB beyond what the report can say, in a host whose
        # ratio bounds what is promised
        host = SimulatedHost(physical_kib=4 * GIB + 1023)
        harness = Harness(host, max_overcommit_ratio=1.5)
        for _ in range(4):
            harness.boot()
        harness.run(60)
        told = harness.agent.report()
        self.assertEqual("ratio", harness.agent.status()["promise_bound"])
        # Then a MiB more is promised than the ratio of what it says
        self.assertEqual(
            (3584, 5377), (told["usable_mib"], told["promise_mib"])
        )
        self.assertIsNotNone(HostReport.from_dict(told))

    @given(st.data())
    def test_it_is_believed(self, data: Any) -> None:
        # Given a host that changes from one report to the next
        options = {
            "mode": data.draw(st.sampled_from(["balance", "overcommit"])),
            "max_overcommit_ratio": data.draw(st.floats(1.0, 64.0)),
            "require_guest_swap": data.draw(st.booleans()),
            "promise_raise_delay_s": data.draw(st.sampled_from([0, 60])),
        }
        settings = Settings.of(configured(**options))
        reporter = Reporter(Surge(), DemandHistory(600))
        for moment_s in range(data.draw(st.integers(1, 3))):
            memory = data.draw(memories())
            tracked = {
                f"guest-{number}": data.draw(guests(number, settings))
                for number in range(data.draw(st.integers(0, 4)))
            }
            made = reporter.make(
                PassResult(HostView(memory, 0, 0), 0, 0, False, False),
                tracked,
                data.draw(starts),
                settings,
                now_s=NOW_S + moment_s,
                wall_s=WALL_S,
            )
            # Then whoever reads one finds nothing wrong with it
            told = HostReport.from_dict(made.to_dict())
            self.assertEqual(made, told)
            total_mib = memory.physical_kib // MIB
            host = admission.HostFigures(total_mib, total_mib, 0, 0)
            doubt = admission.doubt_of(told, host, WALL_S, LIMITS)
            self.assertIsNone(doubt, doubt and str(doubt))
