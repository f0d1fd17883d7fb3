# SPDX-License-Identifier: Apache-2.0
"""The scheduler's weigher: prefers hosts with most idle memory."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import nova.conf
from nova.scheduler import utils, weights

from nova_xen_overcommit import conf
from nova_xen_overcommit.scheduler import admission, requests
from nova_xen_overcommit.scheduler.filters import limits_of

CONF = nova.conf.CONF

conf.register_opts(CONF)

# As with Nova's weighers, an aggregate's metadata may say it for its hosts.
MULTIPLIER_KEY = "xen_overcommit_weight_multiplier"


class XenOvercommitWeigher(weights.BaseHostWeigher):
    """Weighs hosts by memory that nobody needs: free, or idle in guests.

    With a negative multiplier instances are stacked. A host without a
    report that can be believed comes last either way.
    """

    def __init__(self, wall_clock_s: Callable[[], float] = time.time) -> None:
        super().__init__()
        conf.check(CONF)
        self._wall_clock_s = wall_clock_s

    def weight_multiplier(self, host_state: Any) -> float:
        """Give ``[xen_overcommit] weight_multiplier`` or the aggregate's."""
        configured = CONF.xen_overcommit.weight_multiplier
        return float(
            utils.get_weight_multiplier(host_state, MULTIPLIER_KEY, configured)
        )

    def weigh_objects(
        self,
        weighed_obj_list: Sequence[Any],
        weight_properties: Any,  # noqa: ARG002
    ) -> list[float]:
        """Give each host's room in MiB, unknown ones worse than all."""
        return self._weigh([weighed.obj for weighed in weighed_obj_list])

    def _weigh_object(
        self,
        obj: Any,
        weight_properties: Any,  # noqa: ARG002
    ) -> float:
        return self._weigh([obj])[0]

    def _weigh(self, host_states: Sequence[Any]) -> list[float]:
        now_s = self._wall_clock_s()
        limits = limits_of(CONF.xen_overcommit)
        rooms = [_room_mib(state, now_s, limits) for state in host_states]
        known = [room for room in rooms if room is not None]
        return [
            self._last(host_state, known) if room is None else room
            for host_state, room in zip(host_states, rooms, strict=True)
        ]

    def _last(self, host_state: Any, known: Sequence[float]) -> float:
        if self.weight_multiplier(host_state) < 0:
            return max(known, default=0.0) + 1.0
        return min(known, default=0.0) - 1.0


def _room_mib(
    host_state: Any, now_s: float, limits: admission.Limits
) -> float | None:
    figures, report, _why = requests.read(
        host_state, CONF.reserved_host_memory_mb
    )
    if not report or admission.doubt_of(report, figures, now_s, limits):
        return None
    return float(admission.room_mib(report, figures))
