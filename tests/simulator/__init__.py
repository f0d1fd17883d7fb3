# SPDX-License-Identifier: Apache-2.0
"""A host that doesn't exist, with guests that misbehave on request.

:class:`SimulatedHost` implements the agent's Hypervisor and Sensor on a
virtual clock, so that the production balancer runs in it unchanged. Guests
have memory that behaves (:mod:`.memory`) and a workload (:mod:`.workload`);
faults are switches of guest, host and clock. A :class:`~.scenario.Scenario`
is all of that with a seed. All sizes are KiB, all times seconds; the same
seed gives the same run.
"""

from tests.simulator.clock import VirtualClock
from tests.simulator.guest import SimulatedGuest
from tests.simulator.host import AgentKilled, SimulatedHost
from tests.simulator.memory import GIB, KERNEL_KIB, MIB

__all__ = [
    "GIB",
    "KERNEL_KIB",
    "MIB",
    "AgentKilled",
    "SimulatedGuest",
    "SimulatedHost",
    "VirtualClock",
]
