# SPDX-License-Identifier: Apache-2.0
"""Which guests run and what each has, for few and small calls.

What doesn't change while a guest runs is read once. Where the driver has
statistics one call measures all guests; elsewhere each costs one call.
"""

import dataclasses
import logging
import math
import operator
from collections.abc import Sequence
from typing import NamedTuple

import libvirt

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.hypervisor import (
    base,
    definition,
    kinds,
    patience,
)
from nova_xen_overcommit.policy import overhead

LOG = logging.getLogger(__name__)

_STATE_NAMES = {
    libvirt.VIR_DOMAIN_NOSTATE: "in an unknown state",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "suspended",
    libvirt.VIR_DOMAIN_SHUTDOWN: "shutting down",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
}
_DOM0_ID = 0
# While a guest starts it may hang, and those who run need their passes.
_LIST_PATIENCE_S = 0.5
# Of so many guests one has its definition read again in each pass: what
# changes it while a guest runs (a device, its metadata) is seldom.
_GUESTS_PER_REREAD = 300


@dataclasses.dataclass(slots=True)
class _Guest:
    """A running guest and how to reach it.

    ``defined_kib`` is the current memory its definition last told of,
    ``estimate_kib`` the overhead that its definition makes expect.
    """

    handle: libvirt.virDomain
    domain: base.Domain
    defined_kib: int
    estimate_kib: int


class _Figures(NamedTuple):
    """A guest's number, which changes with each start; state; KiB.

    ``resident_kib`` is what its process holds, None where nobody says.
    """

    domain_id: int
    state: int
    actual_kib: int
    resident_kib: int | None = None


class Census:
    """The running guests behind one libvirt connection at a time."""

    def __init__(self, kind: kinds.Kind, patience_: patience.Patience) -> None:
        self._kind = kind
        self._patience = patience_
        self._guests: dict[int, _Guest] = {}
        self._oldest: list[int] = []
        self._asked: dict[int, int] = {}

    def take(self, connection: libvirt.virConnect) -> list[base.Domain]:
        """Give the running guests, as measured now.

        Guests that are gone, or can't be read yet, are left out.

        :raises HypervisorError: they can't be listed now.
        :raises libvirtError: the same.
        """
        figures = self._figures(connection)
        # Before they are given: what a definition told in this pass may be
        # out of date in the next one.
        self._read_some_again()
        domains = [
            _as_measured(self._guests[one.domain_id], one) for one in figures
        ]
        if len(figures) < len(self._guests):
            domains += self._unanswering(
                {one.domain_id for one in figures}, connection
            )
        return sorted(domains, key=operator.attrgetter("uuid"))

    def handles(
        self, domains: Sequence[base.Domain]
    ) -> list[tuple[base.Domain, libvirt.virDomain]]:
        """Give how to reach those of ``domains`` that still run."""
        found = ((one, self._guests.get(one.domain_id)) for one in domains)
        return [(domain, guest.handle) for domain, guest in found if guest]

    def forget(self) -> None:
        """Read all anew; handles don't outlive their connection.

        Only what guests were asked for is kept: a libvirtd that was started
        anew has forgotten it, and tells of what they began with.
        """
        self._asked |= {
            domain_id: guest.domain.asked_kib
            for domain_id, guest in self._guests.items()
        }
        self._guests.clear()
        self._oldest.clear()

    def _figures(self, connection: libvirt.virConnect) -> list[_Figures]:
        try:
            if self._kind.has_statistics:
                return self._from_statistics(connection)
            ids = self._patience.call(
                "the list of guests",
                connection.listDomainsID,
                _LIST_PATIENCE_S if self._guests else math.inf,
            )
            self._keep(connection, ids)
        except base.Unanswered as error:
            # Somebody starts; those who run already are read all the same.
            if not self._guests:
                raise
            LOG.debug("Only known guests are read: %s", error)
        found = self._patience.each(
            list(self._guests.values()), _uuid_of, _info
        )
        return [figures for figures in found if figures is not None]

    def _from_statistics(
        self, connection: libvirt.virConnect
    ) -> list[_Figures]:
        rows = self._patience.call(
            "the statistics of guests", lambda: _statistics(connection)
        )
        self._keep(connection, [figures.domain_id for figures in rows])
        return [one for one in rows if one.domain_id in self._guests]

    def _keep(
        self, connection: libvirt.virConnect, ids: Sequence[int]
    ) -> None:
        """Keep those with ``ids``, and get to know the new ones."""
        present = set(ids)
        for gone in self._guests.keys() - present:
            del self._guests[gone]
        for new in present - self._guests.keys():
            if new != _DOM0_ID or not self._kind.has_domain_0:
                self._meet(connection, new)

    def _meet(self, connection: libvirt.virConnect, domain_id: int) -> None:
        try:
            handle, defined = self._patience.call(
                f"domain {domain_id}", lambda: _read(connection, domain_id)
            )
        except (libvirt.libvirtError, exception.HypervisorError) as error:
            # It stops while we look, or is in the midst of its start.
            LOG.debug("Domain %d left out: %s", domain_id, error)
            return
        asked_kib = self._asked.pop(domain_id, defined.asked_kib)
        domain = self._domain(handle, domain_id, defined, asked_kib)
        self._guests[domain_id] = _Guest(
            handle, domain, defined.asked_kib, domain.overhead_kib
        )
        self._oldest.append(domain_id)

    def _domain(
        self,
        handle: libvirt.virDomain,
        domain_id: int,
        defined: definition.Definition,
        asked_kib: int,
    ) -> base.Domain:
        return base.Domain(
            uuid=handle.UUIDString(),
            name=handle.name(),
            domain_id=domain_id,
            flavor_kib=defined.flavor_kib,
            actual_kib=0,
            asked_kib=asked_kib,
            vcpus=defined.vcpus,
            os_type=defined.os_type,
            overhead_kib=defined.translation_kib
            + self._kind.overhead_kib(
                defined.flavor_kib, defined.vcpus, defined.os_type
            ),
            deflates=defined.deflates,
            metadata=defined.metadata,
            exempt=defined.exempt,
            disks=defined.disks,
            foreign=defined.foreign,
        )

    def _unanswering(
        self, read: set[int], connection: libvirt.virConnect
    ) -> list[base.Domain]:
        """Give those who run but can't be read now.

        :raises HypervisorError: it is the connection that is at fault.
        """
        if not connection.isAlive():
            raise exception.HypervisorError("the connection was lost")
        if self._kind.rebuilds_at_reboot:
            # What is locked there is being built: its former memory is
            # free, and is kept for it as for a guest that is gone.
            return []
        return [
            dataclasses.replace(guest.domain, busy="not answering")
            for domain_id, guest in self._guests.items()
            if domain_id not in read and self._patience.hangs(_uuid_of(guest))
        ]

    def _read_some_again(self) -> None:
        """Read the oldest definitions anew, so that none stays stale."""
        count = 1 + len(self._guests) // _GUESTS_PER_REREAD
        due, self._oldest = self._oldest[:count], self._oldest[count:]
        for domain_id in due:
            guest = self._guests.get(domain_id)
            if guest is not None:
                self._read_again(guest)
                self._oldest.append(domain_id)

    def _read_again(self, guest: _Guest) -> None:
        try:
            defined = self._patience.call(
                _uuid_of(guest), lambda: _defined(guest.handle)
            )
        except (libvirt.libvirtError, exception.HypervisorError) as error:
            LOG.debug("Guest %s not read: %s", guest.domain.name, error)
            return
        asked_kib = guest.domain.asked_kib
        changed = defined.asked_kib != guest.defined_kib
        if changed and self._kind.tells_targets:
            asked_kib = defined.asked_kib
        guest.defined_kib = defined.asked_kib
        fresh = self._domain(
            guest.handle, guest.domain.domain_id, defined, asked_kib
        )
        guest.estimate_kib = fresh.overhead_kib
        guest.domain = dataclasses.replace(
            fresh,
            actual_kib=guest.domain.actual_kib,
            busy=guest.domain.busy,
            overhead_kib=max(fresh.overhead_kib, guest.domain.overhead_kib),
        )


def _uuid_of(guest: _Guest) -> str:
    return guest.domain.uuid


def _info(guest: _Guest) -> _Figures | None:
    try:
        state, _max_kib, actual_kib, _vcpus, _cpu_ns = guest.handle.info()
    except libvirt.libvirtError as error:
        LOG.debug("Guest %s left out: %s", guest.domain.name, error)
        return None
    return _Figures(guest.domain.domain_id, state, actual_kib)


def _statistics(connection: libvirt.virConnect) -> list[_Figures]:
    """Measure all guests in one call that waits for none of them."""
    rows = connection.getAllDomainStats(
        libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_BALLOON,
        libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE
        | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT,
    )
    return [
        _Figures(
            handle.ID(),
            figures["state.state"],
            figures["balloon.current"],
            figures.get("balloon.rss"),
        )
        for handle, figures in rows
        if "state.state" in figures and "balloon.current" in figures
    ]


def _read(
    connection: libvirt.virConnect, domain_id: int
) -> tuple[libvirt.virDomain, definition.Definition]:
    handle = connection.lookupByID(domain_id)
    return handle, _defined(handle)


def _defined(handle: libvirt.virDomain) -> definition.Definition:
    return definition.parse(handle.XMLDesc(0))


def _as_measured(guest: _Guest, figures: _Figures) -> base.Domain:
    """Give the guest as it is; the same object as long as it is the same."""
    before = guest.domain
    busy = _STATE_NAMES.get(figures.state, "")
    overhead_kib = _overhead_kib(guest, figures)
    if (before.actual_kib, before.busy, before.overhead_kib) != (
        figures.actual_kib,
        busy,
        overhead_kib,
    ):
        guest.domain = dataclasses.replace(
            before,
            actual_kib=figures.actual_kib,
            busy=busy,
            overhead_kib=overhead_kib,
        )
    return guest.domain


def _overhead_kib(guest: _Guest, figures: _Figures) -> int:
    if figures.resident_kib is None:
        return guest.domain.overhead_kib
    return overhead.measured_kib(
        guest.domain.overhead_kib,
        guest.estimate_kib,
        figures.resident_kib - kinds.SHARED_KIB,
        figures.actual_kib,
    )
