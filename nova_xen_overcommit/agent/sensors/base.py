# SPDX-License-Identifier: Apache-2.0
"""What a sensor is: a source of guests' memory figures.

A sensor is a stevedore plugin in ``nova_xen_overcommit.sensors``, made once
with a :class:`SensorContext`. It believes nothing a guest says: a figure
that can't be true is no figure, and is logged, not raised. People are told
the class's attribute ``name``, or the name of the class where it has none.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from oslo_config import cfg

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.sensors.written import WhoWrote
from nova_xen_overcommit.policy.sample import MemorySample


class SensorUnsuitable(exception.OvercommitError):
    """This sensor has nothing to read on this hypervisor."""


@dataclasses.dataclass(frozen=True, slots=True)
class GuestRef:
    """Which guest to read. ``flavor_kib`` bounds what it may claim.

    ``deflates``: its balloon gives memory back to it unasked before its
    kernel kills for want of memory (virtio's deflate-on-oom). Linux counts
    such a balloon's pages as used memory, not as memory it doesn't have.
    """

    uuid: str
    name: str
    domain_id: int
    flavor_kib: int
    deflates: bool = dataclasses.field(default=False, kw_only=True)


@dataclasses.dataclass(frozen=True)
class SensorContext:
    """What a sensor may use.

    ``connect`` gives the agent's libvirt connection, another one once
    libvirtd was started anew (typed loosely, since sensors don't need libvirt
    to be importable), and raises HypervisorError where there is none;
    ``hypervisor_type`` is ``xen``, ``qemu`` or ``test``, ``monotonic_s`` the
    host's clock. ``wrote`` tells which Xen guests changed what is theirs in
    xenstore, as far as that is watched.
    """

    conf: cfg.ConfigOpts
    connect: Callable[[], Any]
    hypervisor_type: str
    monotonic_s: Callable[[], float]
    wrote: WhoWrote = dataclasses.field(default_factory=WhoWrote)


class Sensor(Protocol):
    """A source of figures; one object per agent.

    A sensor may have an attribute ``heard``: the UUIDs of those guests of
    its last reading that have ever said anything, believed or not. Without
    it only guests with a sample count as such. A guest of which nobody ever
    heard may be probed from outside (``probe_silent_guests``); one that is
    only not believed is left alone.
    """

    def read(self, guests: Sequence[GuestRef]) -> Mapping[str, MemorySample]:
        """Give the newest believable sample by guest UUID.

        Guests without one are absent. Never blocks longer than a second
        altogether, and never raises for what a guest did; an unreachable
        source raises OvercommitError.
        """

    def close(self) -> None:
        """Let go of what the sensor holds."""
