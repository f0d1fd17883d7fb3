# SPDX-License-Identifier: Apache-2.0
"""The options the balancer lives by, in the units it reckons with.

Taken anew at each pass, so that a changed mutable option holds from the
next pass on. Here, and only here, the agent turns MiB into KiB.
"""

import dataclasses
from typing import Self

from oslo_config import cfg

from nova_xen_overcommit.policy.demand import DemandSettings
from nova_xen_overcommit.policy.floor import FloorRule
from nova_xen_overcommit.policy.probe import ProbeSettings
from nova_xen_overcommit.policy.progress import ProgressSettings
from nova_xen_overcommit.policy.targets import TargetSettings

_KIB_PER_MIB = 1024
# A guest that says nothing can't say that it stalls, so less is borne. At
# the default it is two reads of eight pages a second, which make programs
# wait for 1 % of the time on a disk that takes 5 ms for each.
_PROBED_SWAP_DIVISOR = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """One pass's view of the configuration; sizes in KiB."""

    mode: str
    reserve_kib: int
    slack_kib: int
    floor_share: float
    start_share: float
    cool_down_s: float
    warm_up_s: float
    history_s: float
    max_ratio: float
    require_guest_swap: bool
    promise_raise_delay_s: float
    tick_s: float
    busy_tick_s: float
    probe_silent: bool
    demand: DemandSettings
    targets: TargetSettings
    progress: ProgressSettings
    probe: ProbeSettings

    @property
    def moves(self) -> bool:
        """Whether balloons may be moved at all."""
        return self.mode != "observe"

    @property
    def floor_rule(self) -> FloorRule:
        """How guests' floors are made."""
        return FloorRule(self.floor_share, self.require_guest_swap)

    @classmethod
    def of(cls, conf: cfg.ConfigOpts) -> Self:
        """Read them from ``conf``."""
        options = conf.xen_overcommit
        return cls(
            mode=options.mode,
            reserve_kib=options.reserve_mib * _KIB_PER_MIB,
            slack_kib=options.host_slack_mib * _KIB_PER_MIB,
            floor_share=options.floor_share,
            start_share=options.start_share,
            cool_down_s=options.cool_down_s,
            warm_up_s=options.warm_up_s,
            history_s=options.history_s,
            max_ratio=options.max_overcommit_ratio,
            require_guest_swap=options.require_guest_swap,
            promise_raise_delay_s=options.promise_raise_delay_s,
            tick_s=options.tick_interval_s,
            busy_tick_s=options.busy_tick_interval_s,
            probe_silent=options.probe_silent_guests,
            demand=_demand(options),
            targets=_targets(options),
            progress=ProgressSettings(
                stuck_after_s=options.stuck_after_s,
                uncooperative_after_s=options.uncooperative_after_s,
            ),
            probe=_probe(options),
        )


def _demand(options: cfg.ConfigOpts.GroupAttr) -> DemandSettings:
    return DemandSettings(
        head_room_share=options.demand_head_room_share,
        head_room_kib=options.demand_head_room_mib * _KIB_PER_MIB,
        rise_s=options.demand_rise_s,
        decay_s=options.demand_decay_s,
        peak_memory_s=options.peak_memory_s,
        psi_high_percent=options.psi_high_percent,
        swap_in_high_kib_s=options.swap_in_high_kib_s,
    )


def _probe(options: cfg.ConfigOpts.GroupAttr) -> ProbeSettings:
    return ProbeSettings(
        swap_kib_s=options.swap_in_high_kib_s // _PROBED_SWAP_DIVISOR,
        dead_band_kib=options.dead_band_mib * _KIB_PER_MIB,
    )


def _targets(options: cfg.ConfigOpts.GroupAttr) -> TargetSettings:
    return TargetSettings(
        dead_band_kib=options.dead_band_mib * _KIB_PER_MIB,
        max_step_kib=options.max_step_mib * _KIB_PER_MIB,
        max_step_share=options.max_step_share,
        idle_tax=options.idle_tax,
    )
