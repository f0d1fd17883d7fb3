# SPDX-License-Identifier: Apache-2.0
"""The production balancer as the one who moves the memory."""

from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from nova_xen_overcommit import conf as options
from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.balancer import Balancer
from nova_xen_overcommit.agent.protocol import StartRequest
from nova_xen_overcommit.agent.reservations import Leases, Reservation
from nova_xen_overcommit.agent.sensors.base import GuestRef
from nova_xen_overcommit.agent.settings import Settings
from tests.simulator.host import SimulatedHost
from tests.simulator.stage import News, Waiting

# Longer than any scenario: here a start waits until it is told no.
_PATIENCE_S = 1e9


def configured(**changes: Any) -> cfg.ConfigOpts:
    """Give our options with their defaults, but for ``changes``."""
    conf = cfg.ConfigOpts()
    options.register_opts(conf)
    conf([])
    for name, value in changes.items():
        conf.set_override(name, value, "xen_overcommit")
    return conf


class Production:
    """Our balancer with its options' defaults, but for ``changes``."""

    def __init__(self, host: SimulatedHost, **changes: Any) -> None:
        self.settings = Settings.of(configured(mode="overcommit", **changes))
        self._host = host
        self._asked: dict[str, Reservation] = {}
        self.begin()

    def begin(self) -> None:
        """Begin anew over the same host, as after a SIGKILL."""
        self._asked.clear()
        self.leases = Leases()
        self.balancer = Balancer(
            self._host,
            [self._host],
            self.leases,
            self._host.clock.monotonic_s,
        )

    def hears(self, news: News) -> bool:
        """Judge as the agent's sources of news do.

        Starts, and guests that come or go, always bring a pass; figures do
        when they say that their guest lacks memory.
        """
        return news.lived or any(map(self._in_need, news.spoke))

    def _in_need(self, uuid: str) -> bool:
        guest = self.balancer.guests.get(uuid)
        if guest is None or not self.settings.moves:
            return False
        domain = guest.domain
        ref = GuestRef(uuid, domain.name, domain.domain_id, domain.flavor_kib)
        try:
            sample = self._host.read([ref]).get(uuid)
        except exception.OvercommitError:
            return False
        return sample is not None and guest.would_lack(sample, self.settings)

    def run_pass(self, waiting: Sequence[Waiting]) -> float:
        """Do one pass; give the seconds to the next, as the agent does."""
        for one in waiting:
            if not one.reboots:
                self._ask(one)
        result = self.balancer.run_pass(self.settings)
        settings = self.settings
        return settings.busy_tick_s if result.unfinished else settings.tick_s

    def _ask(self, waiting: Waiting) -> None:
        """Ask for a start, again when it was refused."""
        asked = self._asked.get(waiting.uuid)
        if asked is not None and asked.failure is None:
            return
        request = StartRequest(
            uuid=waiting.uuid,
            name=waiting.uuid,
            flavor_kib=waiting.flavor_kib,
            swap_kib=waiting.swap_kib,
        )
        if asked is not None:
            self.leases.remove(asked)
        now_s = self._host.clock.now_s
        reservation = Reservation(request, now_s, now_s + _PATIENCE_S)
        self._asked[waiting.uuid] = reservation
        self.leases.add(reservation)

    def granted_kib(self, waiting: Waiting) -> int:
        """Give what the balancer granted."""
        asked = self._asked.get(waiting.uuid)
        return asked.granted_kib or 0 if asked is not None else 0

    def started(self, waiting: Waiting) -> None:
        """End the reservation: the domain is listed now."""
        asked = self._asked.pop(waiting.uuid, None)
        if asked is not None:
            self.leases.remove(asked)
