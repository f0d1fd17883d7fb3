# SPDX-License-Identifier: Apache-2.0
"""The scheduler's weigher: prefers hosts with most idle memory."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import nova.conf
from nova.scheduler import weights

from nova_xen_overcommit import conf
from nova_xen_overcommit.scheduler import admission, requests
from nova_xen_overcommit.scheduler.filters import limits_of

CONF = nova.conf.CONF

conf.register_opts(CONF)


class XenOvercommitWeigher(
    weights.BaseHostWeigher  # type: ignore[misc]
):
    """Weighs hosts by memory that nobody needs: free, or idle in guests.

    With a negative multiplier instances are stacked. A host without a
    report that can be believed comes last either way.
    """

    def __init__(
        self, wall_clock_s: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self._wall_clock_s = wall_clock_s

    def weight_multiplier(self, host_state: Any) -> float:
        """Give ``[xen_overcommit] weight_multiplier``."""
        return float(CONF.xen_overcommit.weight_multiplier)

    def weigh_objects(
        self, weighed_obj_list: Sequence[Any], weight_properties: Any
    ) -> list[float]:
        """Give each host's room in MiB, unknown ones worse than all."""
        now_s = self._wall_clock_s()
        rooms = [self._room_mib(one.obj, now_s) for one in weighed_obj_list]
        last = self._last([room for room in rooms if room is not None])
        return [last if room is None else room for room in rooms]

    def _weigh_object(self, obj: Any, weight_properties: Any) -> float:
        room = self._room_mib(obj, self._wall_clock_s())
        return self._last([]) if room is None else room

    def _last(self, rooms: Sequence[float]) -> float:
        if CONF.xen_overcommit.weight_multiplier < 0:
            return max(rooms, default=0.0) + 1.0
        return min(rooms, default=0.0) - 1.0

    def _room_mib(self, host_state: Any, now_s: float) -> float | None:
        report, _why_no_report = requests.report_of(host_state)
        limits = limits_of(CONF.xen_overcommit)
        if not report or admission.trouble_of(report, now_s, limits):
            return None
        figures = requests.figures_of(host_state, CONF.reserved_host_memory_mb)
        return float(admission.room_mib(report, figures))
