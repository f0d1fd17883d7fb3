# SPDX-License-Identifier: Apache-2.0
"""Guests and host through libvirt: the only module that calls it.

What differs between kinds of hypervisors is in :mod:`kinds`. libvirt and
Xen speak KiB, so nothing is converted here.
"""

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import libvirt

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.hypervisor import (
    base,
    census,
    disks,
    kinds,
    patience,
)
from nova_xen_overcommit.policy.traffic import DiskCounters

LOG = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


def connect(uri: str) -> libvirt.virConnect:
    """Open ``uri`` for reading and writing.

    :raises HypervisorError: libvirt doesn't answer.
    """
    # Without a handler libvirt prints every error on stderr.
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    try:
        return libvirt.open(uri)
    except libvirt.libvirtError as error:
        raise exception.HypervisorError(f"{uri}: {error}") from error


def _translated(method: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(method)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except libvirt.libvirtError as error:
            raise exception.HypervisorError(str(error)) from error

    return wrapper


class LastingConnection:
    """A connection that is opened again when it breaks."""

    def __init__(
        self,
        open_connection: Callable[[], libvirt.virConnect],
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._open = open_connection
        self._lost = lost
        self._connection: libvirt.virConnect | None = None

    def get(self) -> libvirt.virConnect:
        """Give the open connection; ``lost`` is called for each that broke.

        :raises HypervisorError: it can't be opened.
        """
        if self._connection is not None and not _is_alive(self._connection):
            LOG.warning("The connection to libvirt was lost, opening anew")
            self._connection = None
            self._lost()
        if self._connection is None:
            self._connection = self._open()
        return self._connection


class LibvirtHypervisor:
    """Guests and host behind one libvirt connection.

    ``limit_kib`` hides physical memory above it (0: none);
    ``reserved_kib`` is what the host keeps by configuration (None: the
    kind's own way); ``patience_s`` is how long a call may hang; ``qemu``
    measures a host of QEMU's.
    """

    def __init__(
        self,
        open_connection: Callable[[], libvirt.virConnect],
        *,
        limit_kib: int = 0,
        reserved_kib: int | None = None,
        patience_s: float = patience.PATIENCE_S,
        qemu: kinds.Qemu | None = None,
    ) -> None:
        self._lasting = LastingConnection(open_connection, self._forget)
        self._limit_kib = limit_kib
        self._reserved_kib = reserved_kib
        self._kind = kinds.of(self.connection.getType(), qemu)
        self._patience = patience.Patience(patience_s)
        self._census = census.Census(self._kind, self._patience)
        self._disks = disks.DiskReader(self._kind, patience_s)

    @property
    def connection(self) -> libvirt.virConnect:
        """The open connection.

        :raises HypervisorError: it can't be opened.
        """
        return self._lasting.get()

    def _forget(self) -> None:
        self._census.forget()

    @property
    def kind(self) -> str:
        """``xen``, ``qemu`` or ``test``."""
        return self._kind.name

    @_translated
    def host_memory(self, domains: Sequence[base.Domain]) -> base.HostMemory:
        """Measure the host; see :class:`base.Hypervisor`."""
        measured = self._kind.host_memory(
            self.connection, domains, self._reserved_kib
        )
        return kinds.limited(measured, self._limit_kib)

    @_translated
    def domains(self) -> list[base.Domain]:
        """List running guests; see :class:`base.Hypervisor`."""
        return self._census.take(self.connection)

    @_translated
    def disk_counters(
        self, domains: Sequence[base.Domain]
    ) -> dict[str, DiskCounters]:
        """Read disks' counters; see :class:`base.Hypervisor`."""
        return self._disks.read(self.connection, self._census.handles(domains))

    def set_target(self, domain: base.Domain, target_kib: int) -> None:
        """Ask a guest for a size; see :class:`base.Hypervisor`."""
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._set_memory(domain, target_kib, flags)

    @property
    def rebuilds_at_reboot(self) -> bool:
        """Whether a reboot frees a guest's memory; see base."""
        return self._kind.rebuilds_at_reboot

    def set_restart_memory(self, domain: base.Domain, start_kib: int) -> None:
        """Change the size a reboot begins with; see base.

        libxl ends a domain that reboots and builds it anew from libvirt's
        persistent definition (libxlDomainShutdownHandleRestart).
        """
        flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
        self._set_memory(domain, start_kib, flags)

    def _set_memory(self, domain: base.Domain, kib: int, flags: int) -> None:
        connection = self.connection

        def set_memory() -> None:
            handle = connection.lookupByUUIDString(domain.uuid)
            handle.setMemoryFlags(kib, flags)

        complaint = f"guest {domain.name}: setMemory to {kib} KiB"
        try:
            self._patience.call(f"setMemory of {domain.uuid}", set_memory)
        except base.Unanswered as error:
            raise base.Unanswered(f"{complaint}: {error}") from error
        except libvirt.libvirtError as error:
            if not _is_alive(connection):
                # Whether it was done before libvirtd went nobody knows.
                raise base.Unanswered(f"{complaint}: {error}") from error
            raise exception.HypervisorError(f"{complaint}: {error}") from error

    def overhead_kib(self, flavor_kib: int, vcpus: int, os_type: str) -> int:
        """Give a guest's overhead; see :class:`base.Hypervisor`."""
        return self._kind.overhead_kib(flavor_kib, vcpus, os_type)


def _is_alive(connection: Any) -> bool:
    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:
        return False
