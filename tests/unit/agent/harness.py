# SPDX-License-Identifier: Apache-2.0
"""The production agent over a simulated host, pass by pass."""

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import balancer, core, reporting, starts
from nova_xen_overcommit.agent.history import DemandHistory
from nova_xen_overcommit.agent.protocol import StartRequest
from nova_xen_overcommit.agent.reservations import Leases, Reservation
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy.predictors import Surge
from tests.simulator import GIB, MIB, SimulatedGuest, SimulatedHost
from tests.simulator.production import configured

QUICK = {
    "mode": "overcommit",
    "warm_up_s": 10,
    "promise_raise_delay_s": 2,
    "max_overcommit_ratio": 8.0,
}


class Harness:
    """One simulated host and its agent; ``options`` override QUICK."""

    def __init__(self, host: SimulatedHost | None = None, **changes) -> None:
        self.host = host or SimulatedHost()
        self.conf = configured(**{**QUICK, **changes})
        self.restart()

    def restart(self) -> None:
        """Begin with a new agent, as after a SIGKILL.

        What clients held is gone with their connections.
        """
        self.leases = Leases()
        clock = self.host.clock
        self.balancer = balancer.Balancer(
            self.host, [self.host], self.leases, clock.monotonic_s
        )
        self.agent = core.Agent(
            self.conf,
            self.balancer,
            reporting.Reporter(Surge(), DemandHistory(600)),
            self.leases,
            clock,
        )

    @property
    def settings(self) -> Settings:
        return Settings.of(self.conf)

    def run(self, seconds: float, step_s: float = 0.5) -> None:
        """Let the agent do its passes while time goes by."""
        for _ in range(round(seconds / step_s)):
            self.agent.tick()
            self.host.run(step_s)

    def ask(
        self, flavor_kib: int = GIB, wait_s: float = 60, **more
    ) -> Reservation:
        """Ask for a start, as the server's thread does."""
        now_s = self.host.clock.now_s
        self.asked = getattr(self, "asked", 0) + 1
        stock = {"uuid": f"start-{self.asked}", "swap_kib": flavor_kib}
        request = StartRequest(
            name=f"start-{self.asked}",
            flavor_kib=flavor_kib,
            **{**stock, **more},
        )
        reservation = Reservation(request, now_s, now_s + wait_s)
        self.leases.add(reservation)
        return reservation

    def boot(
        self, patience_s: float = 60, wants_kib: int = 60 * MIB, **more
    ) -> SimulatedGuest:
        """Start a guest the way the driver does."""
        reservation = self.ask(**more)
        waited_s = 0.0
        while not reservation.answered.is_set() and waited_s < patience_s:
            self.run(0.5)
            waited_s += 0.5
        if reservation.granted_kib is None:
            self.leases.remove(reservation)
            raise reservation.failure or exception.AgentRefused("no answer")
        guest = self.host.start(
            flavor_kib=reservation.request.flavor_kib,
            actual_kib=reservation.granted_kib,
            wants_kib=wants_kib,
            swap_kib=reservation.request.swap_kib,
            uuid=reservation.request.uuid,
        )
        self.run(0.5)
        self.leases.remove(reservation)
        return guest

    def floor_kib(self, guest: SimulatedGuest) -> int:
        request = StartRequest(
            "x", "x", guest.flavor_kib, swap_kib=guest.swap_kib
        )
        return starts.floor_of(request, self.settings)

    def broken_rules(self) -> list[str]:
        """Name every rule of the design that is broken now."""
        broken = []
        for guest in self.host.guests.values():
            least_kib = min(self.floor_kib(guest), guest.target_kib)
            if not least_kib <= guest.target_kib <= guest.flavor_kib:
                broken.append(f"{guest.name}: target out of bounds")
            if guest.killed:
                broken.append(f"{guest.name}: out of memory and swap")
        if self.host.free_kib < 0:
            broken.append("more is given than there is")
        return broken
