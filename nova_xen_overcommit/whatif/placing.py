# SPDX-License-Identifier: Apache-2.0
"""Which host takes a guest: the first that may, with ours and with stock.

Placement's capacity comes first, then the filter, then the start itself, as
in Nova. The first host in order, and not the emptiest: the question is how
many hosts are needed at all.
"""

import dataclasses

import numpy as np

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.scheduler import admission
from nova_xen_overcommit.virt import capacity, inventory
from nova_xen_overcommit.whatif.arrays import Ints
from nova_xen_overcommit.whatif.balancing import Balancer
from nova_xen_overcommit.whatif.fleet import Fleet, Shape
from nova_xen_overcommit.whatif.hosts import Host, Reporter

_KIB_PER_MIB = 1024
# None is configured: it would be an upper bound.
_RATIOS = capacity.Ratios(configured=None, initial=1.0)


@dataclasses.dataclass
class Refusals:
    """How often who refused a host to a guest."""

    placement: int = 0
    filter: int = 0
    start: int = 0


class Placer:
    """Puts guests on hosts; opens another one where none takes them."""

    def __init__(
        self,
        fleet: Fleet,
        shape: Shape,
        settings: Settings,
        limits: admission.Limits,
        reporter: Reporter,
        balancer: Balancer,
    ) -> None:
        self._fleet = fleet
        self._shape = shape
        self._settings = settings
        self._limits = limits
        self._reporter = reporter
        self._balancer = balancer
        self.hosts: list[Host] = []
        self.refusals = Refusals()

    def place(self, guest: int, now_s: float, wall_s: float) -> Host:
        """Put a guest on the first host that takes it.

        :raises CannotReplay: not even an empty host does.
        """
        for host in self.hosts:
            if self._try(host, guest, now_s, wall_s):
                return host
        host = Host(len(self.hosts), self._settings.promise_raise_delay_s)
        self._reporter.publish(host, now_s)
        if not self._try(host, guest, now_s, wall_s):
            size_mib = int(self._fleet.sizes_kib[guest]) // _KIB_PER_MIB
            gib = self._shape.physical_kib / _KIB_PER_MIB**2
            name = self._fleet.names[guest]
            raise exception.CannotReplay(
                f"--host-gib {gib:g}: VM {name} of {size_mib} MiB fits on no "
                f"such host, not even alone; give larger hosts or --exclude "
                f"{name}"
            )
        self.hosts.append(host)
        return host

    def _try(
        self, host: Host, guest: int, now_s: float, wall_s: float
    ) -> bool:
        """Let a host take a guest if Placement, filter and start agree."""
        flavor_mib = -(-int(self._fleet.sizes_kib[guest]) // _KIB_PER_MIB)
        report = self._reporter.report(host, wall_s)
        reserved_mib = self._shape.kept_kib // _KIB_PER_MIB
        decision = capacity.allocation_ratio(
            "overcommit",
            report.physical_mib,
            reserved_mib,
            report,
            report.usable_mib,
            _RATIOS,
        )
        capacity_mib = inventory.capacity_mib(
            report.physical_mib, reserved_mib, decision.ratio
        )
        placed_mib = report.committed_mib + flavor_mib
        if placed_mib > capacity_mib or flavor_mib > report.physical_mib:
            self.refusals.placement += 1
            return False
        figures = admission.HostFigures(
            total_mib=report.physical_mib,
            free_mib=report.physical_mib - reserved_mib - report.committed_mib,
            reserved_mib=reserved_mib,
            instances=len(host.members),
        )
        request = admission.Request(
            flavor_mib,
            swap_mib=int(self._fleet.swaps_kib[guest]) // _KIB_PER_MIB,
        )
        why_not = admission.decide(
            report, request, figures, wall_s, self._limits
        )
        if why_not is not None:
            self.refusals.filter += 1
            return False
        return self._start(host, guest, now_s)

    def _start(self, host: Host, guest: int, now_s: float) -> bool:
        """Make room, then start the guest with what there is."""
        fleet, settings = self._fleet, self._settings
        least_kib = fleet.start_kib(guest, settings.start_share)
        overhead_kib = int(fleet.overheads_kib[guest])
        self._balancer.settle(host.members, least_kib + overhead_kib)
        free_kib = self._balancer.free_kib(host.members)
        if free_kib - settings.slack_kib < least_kib + overhead_kib:
            self.refusals.start += 1
            return False
        # Above its least, a start leaves the reserve alone.
        spare_kib = free_kib - settings.reserve_kib - overhead_kib
        size_kib = int(fleet.sizes_kib[guest])
        start_kib = max(least_kib, min(size_kib, spare_kib))
        fleet.enter(guest, host.index, start_kib, now_s)
        host.take(guest)
        self._reporter.publish(host, now_s)
        return True


class Stock:
    """Hosts without overcommit: sums of flavors within what is there."""

    def __init__(self, sizes_kib: Ints, shape: Shape) -> None:
        self._sizes_kib = sizes_kib
        self._usable_kib = shape.usable_kib
        self._on = np.full(len(sizes_kib), -1, dtype=np.int64)
        self.left_kib: list[int] = []

    def place(self, guest: int) -> None:
        """Put a guest on the first host with room."""
        size_kib = int(self._sizes_kib[guest])
        host = next(
            (n for n, left in enumerate(self.left_kib) if size_kib <= left),
            len(self.left_kib),
        )
        if host == len(self.left_kib):
            self.left_kib.append(self._usable_kib)
        self.left_kib[host] -= size_kib
        self._on[guest] = host

    def leave(self, guest: int) -> None:
        """Let a guest end."""
        self.left_kib[self._on[guest]] += int(self._sizes_kib[guest])
        self._on[guest] = -1

    @property
    def in_use(self) -> int:
        """How many hosts have guests now."""
        return sum(left < self._usable_kib for left in self.left_kib)
