# SPDX-License-Identifier: Apache-2.0
"""The memory of one simulated guest: RAM, swap and what a kernel counts.

It can only use what its balloon leaves it. What doesn't fit goes to its
swap and comes back at the pace of a disk once there is room; what fits
neither kills it, as the kernel's OOM killer would.
"""

import dataclasses

from nova_xen_overcommit.agent.sensors.scenario import Scenario
from nova_xen_overcommit.policy.sample import MemorySample

_US_PER_S = 1_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class GuestState:
    """A guest's memory; KiB.

    ``swap_in_kib`` and ``stalled_us`` only grow, as a kernel's counters do.
    """

    in_ram_kib: int = 0
    swapped_kib: int = 0
    swap_in_kib: int = 0
    stalled_us: int = 0
    alive: bool = True


def advance(
    before: GuestState,
    scenario: Scenario,
    *,
    wanted_kib: int,
    actual_kib: int,
    swap_kib: int,
    elapsed_s: float,
) -> GuestState:
    """Give the state after ``elapsed_s`` with ``wanted_kib`` in use.

    ``actual_kib`` is the size of its balloon now, ``swap_kib`` of its swap.
    """
    capacity_kib = max(
        0, actual_kib - scenario.kernel_kib - scenario.least_free_kib
    )
    swapped_kib = _after_release(before, wanted_kib)
    in_ram_kib = wanted_kib - swapped_kib
    evicted_kib = max(0, in_ram_kib - capacity_kib)
    in_ram_kib -= evicted_kib
    swapped_kib += evicted_kib
    most_kib = int(scenario.swap_kib_s * elapsed_s)
    read_kib = min(swapped_kib, capacity_kib - in_ram_kib, most_kib)
    stalled = evicted_kib > 0 or read_kib > 0
    return GuestState(
        in_ram_kib=in_ram_kib + read_kib,
        swapped_kib=swapped_kib - read_kib,
        swap_in_kib=before.swap_in_kib + read_kib,
        stalled_us=before.stalled_us + int(stalled * elapsed_s * _US_PER_S),
        alive=before.alive and swapped_kib <= swap_kib,
    )


def _after_release(before: GuestState, wanted_kib: int) -> int:
    """Give what stays swapped when a guest uses less than before."""
    held_kib = before.in_ram_kib + before.swapped_kib
    released_kib = max(0, held_kib - wanted_kib)
    return max(0, before.swapped_kib - released_kib)


def sample(
    state: GuestState,
    scenario: Scenario,
    *,
    actual_kib: int,
    swap_kib: int,
    time_s: float,
    max_age_s: float,
) -> MemorySample:
    """Give what such a guest's kernel would say of itself."""
    total_kib = max(0, actual_kib - scenario.kernel_kib)
    return MemorySample(
        time_s=time_s,
        max_age_s=max_age_s,
        mem_total_kib=total_kib,
        mem_available_kib=max(0, total_kib - state.in_ram_kib),
        swap_total_kib=swap_kib,
        swap_free_kib=max(0, swap_kib - state.swapped_kib),
        swap_in_kib=state.swap_in_kib,
        psi_some_us=state.stalled_us,
    )
