# SPDX-License-Identifier: Apache-2.0
"""Small traces and hosts for replays."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy.predictors import Predictor, RecentMax
from nova_xen_overcommit.scheduler import admission
from nova_xen_overcommit.whatif.fleet import Shape
from nova_xen_overcommit.whatif.replay import Replay, Wishes
from nova_xen_overcommit.whatif.trace import GAP, Trace
from tests.simulator.production import configured

MIB = 1024
GIB = 1024 * MIB
STEP_S = 300.0
LIMITS = admission.Limits(max_age_s=180.0, clock_skew_s=30.0)


def trace(
    sizes_mib: Sequence[int], used_mib: Sequence[Sequence[int | None]]
) -> Trace:
    """Give a trace; None where there is no sample."""
    used_kib = [
        [GAP if mib is None else mib * MIB for mib in row] for row in used_mib
    ]
    return Trace(
        names=tuple(f"vm-{index}" for index in range(len(sizes_mib))),
        sizes_kib=np.array(sizes_mib, dtype=np.int64) * MIB,
        used_kib=np.array(used_kib, dtype=np.int64),
        begin_s=1_764_547_200.0,
        step_s=STEP_S,
    )


def shape(physical_gib: int = 4, overhead_kib: int = 0) -> Shape:
    """Give hosts that keep nothing for themselves."""
    return Shape(physical_gib * GIB, 0, lambda *_: overhead_kib)


def settings(**options: Any) -> Settings:
    """Give the options' defaults, but for those given."""
    return Settings.of(configured(mode="overcommit", **options))


def replay(
    of: Trace,
    hosts: Shape | None = None,
    *,
    predictor: Predictor | None = None,
    wishes: Wishes | None = None,
    screened: bool = True,
    **options: Any,
) -> Replay:
    """Give a replay by the options' defaults, but for those given."""
    return Replay(
        of,
        hosts or shape(),
        settings(**options),
        predictor or RecentMax(risk=0.001),
        LIMITS,
        wishes or Wishes(fill_s=0.0, seed=1, swap_share=1.0),
        screened,
    )


def row(first: int, steps: int, mib: int, **at: int) -> list[int | None]:
    """Give a guest that comes in a step and uses ``mib``; s5=9: 9 in 5."""
    used: list[int | None] = [None] * first + [mib] * (steps - first)
    for step, other_mib in at.items():
        used[int(step[1:])] = other_mib
    return used


def same(one: Any, other: Any) -> bool:
    """Tell whether two tallies have the same figures."""
    return all(
        _equal(getattr(one, field), getattr(other, field))
        for field in vars(one)
        if not field.startswith("_")
    )


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            _equal(one[key], other[key]) for key in one
        )
    if dataclasses.is_dataclass(one):
        return bool(one == other)
    return bool(one == other)
