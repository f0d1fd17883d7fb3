# SPDX-License-Identifier: Apache-2.0
"""What happens on a host: guests, their courses, starts and mishaps."""

import dataclasses
from collections.abc import Callable, Sequence

from tests.simulator.host import SimulatedHost
from tests.simulator.memory import GIB, MIB
from tests.simulator.workload import Course


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuestPlan:
    """One guest; KiB. ``starts_s`` 0: it runs when the scenario begins.

    ``actual_kib`` is what it begins with, when it runs already; a guest
    that starts later gets what whoever moves the memory grants, at least
    its start share.
    """

    course: Course
    flavor_kib: int = GIB
    actual_kib: int = 0
    swap_kib: int | None = None
    file_kib: int = 0
    starts_s: float = 0.0


@dataclasses.dataclass(frozen=True)
class Event:
    """Something done to the host at ``at_s``."""

    at_s: float
    act: Callable[[SimulatedHost], None]


@dataclasses.dataclass(frozen=True)
class Reboot:
    """Guest ``index`` goes at ``at_s`` and wants back ``away_s`` later."""

    at_s: float
    index: int
    away_s: float = 5.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenario:
    """All that a run depends on; the same scenario gives the same run.

    ``settle_s`` is how long guests run as at their beginning before the
    scenario's time begins, ``step_s`` the step of the simulated world.
    """

    name: str
    seconds: float
    guests: Sequence[GuestPlan]
    events: Sequence[Event] = ()
    reboots: Sequence[Reboot] = ()
    physical_kib: int = 4 * GIB
    kept_kib: int = 512 * MIB
    speed_kib_s: int = 100 * MIB
    settle_s: float = 60.0
    step_s: float = 0.2
    speaks_every_s: float = 1.0

    @property
    def usable_kib(self) -> int:
        """What guests can have in all."""
        return self.physical_kib - self.kept_kib
