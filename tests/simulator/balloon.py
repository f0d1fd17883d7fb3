# SPDX-License-Identifier: Apache-2.0
"""What simulated KVM guests tell through their balloons' statistics.

QEMU keeps what a guest's driver said last, once a second where it was asked
to; one call of libvirt gives that of all guests. The production sensor reads
it. Of swap in use and of stalls these guests say nothing.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.hypervisor.patience import Patience
from nova_xen_overcommit.agent.sensors.balloon import BalloonSensor
from nova_xen_overcommit.agent.sensors.base import GuestRef, SensorContext
from nova_xen_overcommit.policy.sample import MemorySample
from tests.simulator.guest import SimulatedGuest
from tests.simulator.host import SimulatedHost
from tests.simulator.memory import KERNEL_KIB

R = TypeVar("R")

_PERIOD_S = 1.0
_EPSILON_S = 1e-6

Row = tuple["_Handle", dict[str, int]]
# Called with each new sample that the sensor believes.
Heard = Callable[[SimulatedGuest, MemorySample], None]


@dataclasses.dataclass(frozen=True)
class _Handle:
    """Stands in for libvirt's domain."""

    guest: SimulatedGuest
    asked: set[int]

    def UUIDString(self) -> str:  # noqa: N802
        return self.guest.uuid

    def setMemoryStatsPeriod(self, _period: int, _flags: int) -> None:  # noqa: N802
        self.asked.add(self.guest.domain_id)


class SimulatedBalloons:
    """Stands in for the balloon sensor's connection to libvirt.

    ``fault``, when it is set, is raised instead of an answer.
    """

    def __init__(self, host: SimulatedHost) -> None:
        self._host = host
        self._asked: set[int] = set()
        self._said: dict[int, tuple[float, dict[str, int]]] = {}
        self.fault: Exception | None = None

    def connect(self) -> "SimulatedBalloons":
        """Give the connection.

        :raises HypervisorError: libvirtd is gone.
        """
        if self._host.unreachable:
            raise exception.HypervisorError("libvirtd is gone")
        return self

    def getAllDomainStats(self, _stats: int, _flags: int) -> list[Row]:  # noqa: N802
        """Give what each guest said last."""
        if self.fault is not None:
            raise self.fault
        self.publish()
        return [self._row(guest) for guest in self._host.guests.values()]

    def _row(self, guest: SimulatedGuest) -> Row:
        _when_s, figures = self._said.get(guest.domain_id, (0.0, {}))
        row = {"balloon.current": guest.actual_kib, **figures}
        return _Handle(guest, self._asked), row

    def publish(self) -> None:
        """Let guests speak whose second is over."""
        now_s = self._host.clock.now_s
        for guest in self._host.guests.values():
            number = guest.domain_id
            said_s, _figures = self._said.get(number, (-_PERIOD_S, {}))
            due = now_s - said_s >= _PERIOD_S - _EPSILON_S
            if due and number in self._asked and not guest.silent:
                self._said[number] = now_s, self._figures(guest)

    def _figures(self, guest: SimulatedGuest) -> dict[str, int]:
        return {
            "balloon.last-update": int(self._host.clock.wall_s()),
            **(_lie(guest.lie) if guest.lie else _truth(guest)),
        }


def _truth(guest: SimulatedGuest) -> dict[str, int]:
    """Give what Linux says.

    To a balloon that may deflate by itself what it holds is in use.
    """
    room_kib = guest.flavor_kib if guest.deflates else guest.actual_kib
    return {
        "balloon.available": max(1, room_kib - KERNEL_KIB),
        "balloon.usable": max(0, guest.room_kib - guest.anon_kib),
        "balloon.swap_in": guest.swap_in_kib,
    }


def _lie(lie: MemorySample) -> dict[str, int]:
    told = {
        "balloon.available": lie.mem_total_kib,
        "balloon.usable": lie.mem_available_kib,
    }
    if lie.swap_in_kib is not None:
        told["balloon.swap_in"] = lie.swap_in_kib
    return told


class HeardSensor(BalloonSensor):
    """The production sensor, with somebody who hears what it does.

    Its words are what it makes of a guest's figures: of a balloon that moved
    they can't be told from the figures alone.
    """

    def __init__(
        self, context: SensorContext, host: SimulatedHost, heard: Heard
    ) -> None:
        super().__init__(context)
        # Nothing hangs here, and with threads no two runs would be the same.
        self._patience = _AtOnce()
        self._host = host
        self._heard = heard
        self._given: Mapping[str, MemorySample] = {}

    def read(self, guests: Sequence[GuestRef]) -> Mapping[str, MemorySample]:
        """Give what the production sensor gives."""
        before, self._given = self._given, super().read(guests)
        for uuid, sample in self._given.items():
            guest = self._host.guests.get(uuid)
            if guest is not None and sample is not before.get(uuid):
                self._heard(guest, sample)
        return self._given


class _AtOnce(Patience):
    """Makes each call itself."""

    def call(
        self, key: object, function: Callable[[], R], patience_s: float = 0.0
    ) -> R:
        del key, patience_s
        return function()
