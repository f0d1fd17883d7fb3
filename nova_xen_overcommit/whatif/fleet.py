# SPDX-License-Identifier: Apache-2.0
"""The guests of a trace and the hosts they are put on; KiB."""

import dataclasses
from collections.abc import Callable

import numpy as np

from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy import floor
from nova_xen_overcommit.whatif.arrays import Ints
from nova_xen_overcommit.whatif.needs import Needs
from nova_xen_overcommit.whatif.trace import Trace

# On no host.
NOWHERE = -1
# A trace doesn't say it.
VCPUS = 1
# What is not paravirtualized costs more beside its memory.
OS_TYPE = "hvm"


@dataclasses.dataclass(frozen=True)
class Shape:
    """What all hosts are like; KiB.

    ``overhead_of(flavor_kib, vcpus, os_type)`` is what a guest costs beside
    its memory.
    """

    physical_kib: int
    kept_kib: int
    overhead_of: Callable[[int, int, str], int]

    @property
    def usable_kib(self) -> int:
        """What guests may have, their overhead included."""
        return self.physical_kib - self.kept_kib


class Fleet:
    """Where each guest is, what it has and what it needs, by index.

    ``target_kib`` is what it has: balloons arrive within a step.
    ``arrived_s`` is when it came to its host, on the replay's clock.
    """

    def __init__(
        self,
        trace: Trace,
        shape: Shape,
        settings: Settings,
        swap_share: float,
    ) -> None:
        sizes = trace.sizes_kib.tolist()
        self.names = trace.names
        self.sizes_kib = trace.sizes_kib
        rule = settings.floor_rule
        self.floors_kib = _each(
            sizes, lambda kib: rule.floor_kib(kib, int(kib * swap_share))
        )
        self.overheads_kib = _each(
            sizes, lambda kib: shape.overhead_of(kib, VCPUS, OS_TYPE)
        )
        self.swaps_kib = _each(sizes, lambda kib: int(kib * swap_share))
        self.host = np.full(len(sizes), NOWHERE, dtype=np.int64)
        self.target_kib = np.zeros(len(sizes), dtype=np.int64)
        self.arrived_s = np.zeros(len(sizes))
        self.needs = Needs(self.sizes_kib, self.floors_kib, settings.demand)

    def start_kib(self, guest: int, start_share: float) -> int:
        """Give the least that a guest starts with."""
        return floor.start_kib(
            int(self.sizes_kib[guest]),
            int(self.floors_kib[guest]),
            start_share,
        )

    def enter(
        self, guest: int, host: int, start_kib: int, now_s: float
    ) -> None:
        """Let a guest begin on a host."""
        self.host[guest] = host
        self.target_kib[guest] = start_kib
        self.arrived_s[guest] = now_s

    def leave(self, guest: int) -> None:
        """Let a guest end."""
        self.host[guest] = NOWHERE
        self.target_kib[guest] = 0


def _each(sizes_kib: list[int], figure: Callable[[int], int]) -> Ints:
    return np.array([figure(kib) for kib in sizes_kib], dtype=np.int64)
