# SPDX-License-Identifier: Apache-2.0
"""Decision rules of other systems, and ours."""

from collections.abc import Callable

from benchmarks.balancer.policies.base import RuleMover
from benchmarks.balancer.policies.mom import Mom
from benchmarks.balancer.policies.proxmox import Proxmox
from benchmarks.balancer.policies.qmemman import Qmemman
from benchmarks.balancer.policies.squeezed import Squeezed
from benchmarks.balancer.policies.xenballoond import Xenballoond
from tests.simulator.host import SimulatedHost
from tests.simulator.production import Production
from tests.simulator.stage import Mover

OURS = "ours"
_RULES = (Xenballoond, Squeezed, Qmemman, Mom, Proxmox)
OTHERS = tuple(rule.name for rule in _RULES)


def _by_rule(rule: type) -> Callable[[SimulatedHost], Mover]:
    return lambda host: RuleMover(rule(), host)


MOVERS: dict[str, Callable[[SimulatedHost], Mover]] = {
    OURS: Production,
    **{rule.name: _by_rule(rule) for rule in _RULES},
}
