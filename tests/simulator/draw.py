# SPDX-License-Identifier: Apache-2.0
"""What a random world begins with: options, host, and guests' programs."""

import random
from typing import Any

from tests.simulator import workload
from tests.simulator.host import SimulatedHost
from tests.simulator.memory import GIB, MIB
from tests.simulator.workload import Course

_COURSE_S = 1200.0


def options(rng: random.Random) -> dict[str, Any]:
    """Give options as an operator might set them."""
    mode = rng.choices(["overcommit", "balance", "observe"], [16, 3, 1])[0]
    return {
        "mode": mode,
        "reserve_mib": rng.choice([32, 64, 128, 256]),
        "max_step_mib": rng.choice([64, 256, 1024]),
        "cool_down_s": rng.choice([2.0, 10.0, 30.0]),
        "dead_band_mib": rng.choice([0, 8, 8, 32]),
        "idle_tax": rng.choice([0.0, 0.75, 0.95]),
        "demand_decay_s": rng.choice([5.0, 60.0]),
        "floor_share": rng.choice([0.05, 0.1, 0.3]),
        "start_share": rng.choice([0.3, 0.5]),
        "require_guest_swap": rng.random() < 0.8,
        "probe_silent_guests": rng.random() < 0.3,
        "warm_up_s": rng.choice([0, 10, 60]),
        "tick_interval_s": rng.choice([0.5, 1.0, 1.0]),
    }


def host(rng: random.Random) -> SimulatedHost:
    """Give a host without guests."""
    return SimulatedHost(
        physical_kib=rng.choice([1, 2, 2, 3, 4, 8]) * GIB,
        kept_kib=rng.choice([128, 256, 512]) * MIB,
        speed_kib_s=rng.choice([20, 50, 100, 500]) * MIB,
        guest_overhead_kib=rng.choice([0, 1, 12, 40]) * MIB,
    )


def course(rng: random.Random, flavor_kib: int) -> Course:
    """Give what a guest's programs want in the course of time."""
    base_kib, peak_kib = flavor_kib // 10, flavor_kib * 9 // 10
    kind = rng.randrange(5)
    if kind == 0:
        return workload.constant(rng.randint(base_kib, flavor_kib // 2))
    if kind == 1:
        return workload.steady(rng, _COURSE_S, flavor_kib // 3)
    if kind == 2:
        return workload.growth(_COURSE_S, base_kib, peak_kib)
    return workload.sudden(
        rng, _COURSE_S, base_kib, peak_kib, every_s=60, lasts_s=20
    )
