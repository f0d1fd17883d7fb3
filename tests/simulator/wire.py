# SPDX-License-Identifier: Apache-2.0
"""The hypervisor as the agent reaches it: each call is a step.

Between any two steps something may happen: the agent is killed, libvirtd
goes away, a guest vanishes. Whoever judges the agent sees each call that
changes something before and after it is made.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.hypervisor.base import (
    Domain,
    HostMemory,
    Unanswered,
)
from nova_xen_overcommit.policy.traffic import DiskCounters
from tests.simulator.guest import SimulatedGuest
from tests.simulator.host import SimulatedHost


class Witness(Protocol):
    """Sees what the agent asks of guests."""

    def asks(self, guest: SimulatedGuest, target_kib: int) -> None:
        """See a call before it is made."""

    def asked(
        self, guest: SimulatedGuest, target_kib: int, sure: bool
    ) -> None:
        """See a call that was taken; not ``sure``: no answer came."""

    def refused(self, guest: SimulatedGuest) -> None:
        """See a call that was refused."""

    def died(self, guest: SimulatedGuest) -> None:
        """See it vanish in the midst of the call."""

    def prepares(self, guest: SimulatedGuest) -> None:
        """See a guest's definition be changed."""


class Wire:
    """A Hypervisor: that of ``host``, with mishaps between calls."""

    def __init__(
        self, host: SimulatedHost, witness: Witness, kvm: bool = False
    ) -> None:
        self.kind = "qemu" if kvm else "xen"
        self.rebuilds_at_reboot = not kvm
        self._host = host
        self._witness = witness
        self._mishap: Callable[[], None] | None = None
        self._steps_left = 0

    def after_steps(self, steps: int, mishap: Callable[[], None]) -> None:
        """Let ``mishap`` happen before one of the next steps."""
        self._steps_left, self._mishap = steps, mishap

    @property
    def mishap_waits(self) -> bool:
        """Whether it hasn't happened yet."""
        return self._mishap is not None

    def calm(self) -> None:
        """Let no mishap happen any more."""
        self._mishap = None

    def step(self) -> None:
        """Let happen what is due; also called when figures are read."""
        if self._mishap is None:
            return
        self._steps_left -= 1
        if self._steps_left < 0:
            mishap, self._mishap = self._mishap, None
            mishap()

    def domains(self) -> list[Domain]:
        self.step()
        return self._host.domains()

    def host_memory(self, domains: Sequence[Domain]) -> HostMemory:
        self.step()
        return self._host.host_memory(domains)

    def set_target(self, domain: Domain, target_kib: int) -> None:
        self.step()
        guest = self._host.guests.get(domain.uuid)
        if guest is not None:
            self._witness.asks(guest, target_kib)
        sure = True
        try:
            self._host.set_target(domain, target_kib)
        except Unanswered:
            sure = False
            raise
        except exception.HypervisorError:
            if guest is not None and domain.uuid in self._host.guests:
                self._witness.refused(guest)
            elif guest is not None:
                self._witness.died(guest)
            guest = None
            raise
        finally:
            if guest is not None:
                self._witness.asked(guest, target_kib, sure)

    def set_restart_memory(self, domain: Domain, start_kib: int) -> None:
        self.step()
        guest = self._host.guests.get(domain.uuid)
        if guest is None or self._host.unreachable:
            raise exception.HypervisorError(f"guest {domain.name}: gone")
        self._witness.prepares(guest)
        self._host.set_restart_memory(domain, start_kib)

    def disk_counters(
        self, domains: Sequence[Domain]
    ) -> Mapping[str, DiskCounters]:
        self.step()
        return self._host.disk_counters(domains)

    def overhead_kib(self, flavor_kib: int, vcpus: int, os_type: str) -> int:
        return self._host.overhead_kib(flavor_kib, vcpus, os_type)
