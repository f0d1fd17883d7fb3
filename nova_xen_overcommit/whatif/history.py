# SPDX-License-Identifier: Apache-2.0
"""What predictors are told of a host's past, out of a whole replay."""

import numpy as np

from nova_xen_overcommit.policy.predictors import GuestPast, HostPast
from nova_xen_overcommit.whatif.arrays import Ints

_UNKNOWN = -1


class History:
    """The demand of each guest in each step, KiB, as far as it counts."""

    def __init__(
        self,
        sizes_kib: Ints,
        steps: int,
        step_s: float,
        begin_s: float,
        history_s: float,
    ) -> None:
        self._sizes_kib = sizes_kib
        self._step_s = step_s
        self._begin_s = begin_s
        self._window = max(1, int(history_s // step_s))
        self._demand_kib = np.full(
            (len(sizes_kib), steps), _UNKNOWN, dtype=np.int64
        )

    def add(
        self, step: int, who: Ints, demand_kib: Ints, silent: Ints
    ) -> None:
        """Keep what guests needed in a step; only those past warm-up.

        Those who are ``silent`` and were known before count with the
        highest that is known of them.
        """
        self._demand_kib[who, step] = demand_kib
        if len(silent):
            first = max(0, step + 1 - self._window)
            known_kib = self._demand_kib[silent, first : step + 1]
            self._demand_kib[silent, step] = known_kib.max(axis=1)

    def past(self, who: Ints, step: int) -> HostPast:
        """Give the past of a host with these guests, ``step`` included.

        As the agent does it: in steps before it came a guest counts with
        the highest that is known of it.
        """
        first = max(0, step + 1 - self._window)
        demand_kib = self._demand_kib[who, first : step + 1]
        known = demand_kib != _UNKNOWN
        peaks_kib = demand_kib.max(axis=1, initial=0)
        counts = known.sum(axis=1)
        filled_kib = np.where(known, demand_kib, peaks_kib[:, np.newaxis])
        # Steps before anyone was there are no history.
        begins = (
            int(known.any(axis=0).argmax()) if len(who) else known.shape[1]
        )
        sum_kib = filled_kib[:, begins:].sum(axis=0)
        guests = zip(
            self._sizes_kib[who].tolist(),
            counts.tolist(),
            peaks_kib.tolist(),
            strict=True,
        )
        return HostPast(
            step_s=self._step_s,
            end_s=self._begin_s + (step + 1) * self._step_s,
            sum_kib=sum_kib.tolist(),
            guests=[GuestPast(*one) for one in guests],
        )
