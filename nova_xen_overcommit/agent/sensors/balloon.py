# SPDX-License-Identifier: Apache-2.0
"""Figures of KVM and QEMU guests, from virtio-balloon statistics.

The guest's balloon driver writes them into QEMU at the period we set; one
call reads those of all guests. They are a guest's words all the same.

Where the balloon may deflate by itself before the guest is out of memory
(``autodeflate``, which Nova sets since 2025.2), Linux leaves MemTotal as it
is and counts the balloon's pages as used; elsewhere it takes them out of
MemTotal. So there the balloon's size is taken off, by the host's measure of
it, which belongs to the guest's figures only while the balloon rests: while
it moves a guest counts as using what it used before.
"""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.hypervisor import patience
from nova_xen_overcommit.agent.hypervisor.base import Unanswered
from nova_xen_overcommit.agent.sensors.base import (
    GuestRef,
    SensorContext,
    SensorUnsuitable,
)
from nova_xen_overcommit.policy.refusals import NO_REFUSALS, Refusals
from nova_xen_overcommit.policy.sample import MemorySample

LOG = logging.getLogger(__name__)

_PERIOD_S = 1
# No sensor may take longer, whatever a guest is busy with.
_PATIENCE_S = 1.0
_STATS_BALLOON = 1 << 2  # VIR_DOMAIN_STATS_BALLOON
# VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE and _NOWAIT: a guest that is busy
# with something else must not make all others wait.
_FLAGS = 1 << 0 | 1 << 29
_AFFECT_LIVE = 1
_PREFIX = "balloon."
# A balloon that differs by less from one update to the next has rested.
_RESTS_WITHIN_KIB = 4 * 1024
# What only a guest can have said.
_SAID = ("last-update", "available", "unused", "usable")
# A guest's UUID and the number of its domain: another with each start.
_Key = tuple[str, int]


class BalloonSensor:
    """Reads virtio-balloon statistics of all guests at once."""

    name = "balloon"

    def __init__(self, context: SensorContext) -> None:
        if context.hypervisor_type != "qemu":
            raise SensorUnsuitable("only QEMU has virtio-balloon statistics")
        self._context = context
        self._patience = patience.Patience(_PATIENCE_S)
        self._connection: Any = None
        self._asked: set[_Key] = set()
        self._refusals: dict[_Key, Refusals] = {}
        self._seen: dict[_Key, _Seen] = {}
        self.heard: frozenset[str] = frozenset()

    def read(self, guests: Sequence[GuestRef]) -> Mapping[str, MemorySample]:
        """Give the newest believable sample by guest UUID."""
        self._remember_only({(one.uuid, one.domain_id) for one in guests})
        connection = self._connected()
        try:
            rows = self._patience.call(
                "the statistics of balloons",
                lambda: connection.getAllDomainStats(_STATS_BALLOON, _FLAGS),
            )
            return self._samples(rows, {one.uuid: one for one in guests})
        except exception.OvercommitError:
            raise
        except Exception as error:
            raise exception.HypervisorError(str(error)) from error

    def _remember_only(self, keys: set[_Key]) -> None:
        self._seen = {k: s for k, s in self._seen.items() if k in keys}
        self._refusals = {k: r for k, r in self._refusals.items() if k in keys}
        self._asked &= keys

    def _connected(self) -> Any:
        """Give the connection; what an earlier libvirtd did may be undone."""
        connection = self._context.connect()
        if connection is not self._connection:
            self._connection = connection
            self._asked.clear()
            self._refusals.clear()
        return connection

    def _samples(
        self, rows: Sequence[Any], refs: Mapping[str, GuestRef]
    ) -> dict[str, MemorySample]:
        samples, heard = {}, set()
        answers = True
        for handle, figures in rows:
            guest = refs.get(handle.UUIDString())
            if guest is None:
                continue
            if answers:
                answers = self._ask_for_statistics(handle, guest)
            if any(figures.get(_PREFIX + name) for name in _SAID):
                heard.add(guest.uuid)
            sample = self._sample(guest, figures)
            if sample is not None:
                samples[guest.uuid] = sample
        self.heard = frozenset(heard)
        return samples

    def _ask_for_statistics(self, handle: Any, guest: GuestRef) -> bool:
        """Let a guest speak, later if it can't be asked now.

        Tells whether there was an answer: where one guest made this pass
        wait, no other is asked in it.
        """
        key = guest.uuid, guest.domain_id
        refusals = self._refusals.get(key, NO_REFUSALS)
        now_s = self._context.monotonic_s()
        if key in self._asked or refusals.last(now_s):
            return True
        try:
            self._patience.call(
                f"the statistics of {guest.uuid}",
                lambda: handle.setMemoryStatsPeriod(_PERIOD_S, _AFFECT_LIVE),
            )
        except Exception as error:  # noqa: BLE001
            # libvirt's own error class isn't imported here. It is one guest
            # that can't be asked: all others have figures.
            LOG.debug("Guest %s isn't asked to speak: %s", guest.name, error)
            self._refusals[key] = refusals.one_more(now_s)
            return not isinstance(error, Unanswered)
        self._asked.add(key)
        self._refusals.pop(key, None)
        return True

    def _sample(
        self, guest: GuestRef, figures: Mapping[str, int]
    ) -> MemorySample | None:
        updated = figures.get(_PREFIX + "last-update", 0)
        key = guest.uuid, guest.domain_id
        before = self._seen.get(key)
        if not updated:
            # QEMU was busy, or the guest has never spoken.
            return before.sample if before else None
        if before is None or before.updated != updated:
            before = self._updated(guest, figures, before, updated)
            self._seen[key] = before
        return before.sample

    def _updated(
        self,
        guest: GuestRef,
        figures: Mapping[str, int],
        before: "_Seen | None",
        updated: int,
    ) -> "_Seen":
        options = self._context.conf.xen_overcommit
        current_kib = figures.get(_PREFIX + "current", guest.flavor_kib)
        seen = _Seen(updated, current_kib)
        ballooned_kib = 0
        if guest.deflates:
            seen.moved = before is None or _moved(before, seen)
            ballooned_kib = max(0, guest.flavor_kib - current_kib)
        used_kib = _used_before(before) if seen.moved else None
        if seen.moved and used_kib is None:
            # Nothing is known of it yet but that its balloon may move.
            return seen
        seen.sample = sample_of(
            figures,
            guest.flavor_kib,
            self._context.monotonic_s(),
            float(options.sample_max_age_s),
            ballooned_kib=ballooned_kib,
            used_kib=used_kib,
        )
        return seen

    def close(self) -> None:
        """Let the thread end that calls libvirt."""
        self._patience.close()


@dataclasses.dataclass(slots=True)
class _Seen:
    """A guest's update, and what the balloon left it then; KiB.

    ``moved``: the balloon had moved since the update before.
    """

    updated: int
    current_kib: int
    moved: bool = False
    sample: MemorySample | None = None


def _moved(before: _Seen, now: _Seen) -> bool:
    return abs(now.current_kib - before.current_kib) > _RESTS_WITHIN_KIB


def _used_before(before: _Seen | None) -> int | None:
    if before is None or before.sample is None:
        return None
    return before.sample.ram_used_kib


def sample_of(
    figures: Mapping[str, int],
    flavor_kib: int,
    time_s: float,
    max_age_s: float,
    *,
    ballooned_kib: int = 0,
    used_kib: int | None = None,
) -> MemorySample | None:
    """Turn a guest's statistics into a sample; None if not believable.

    ``ballooned_kib`` is what the guest counts as used, and hasn't;
    ``used_kib`` is what it uses where that can't be told from its figures.
    """
    total_kib = figures.get(_PREFIX + "available", 0)
    usable_kib = figures.get(_PREFIX + "usable")
    if usable_kib is None:
        usable_kib = figures.get(_PREFIX + "unused", -1)
    if total_kib <= flavor_kib:
        total_kib -= ballooned_kib
        if used_kib is not None:
            total_kib = min(usable_kib + used_kib, flavor_kib)
    if not 0 < total_kib <= flavor_kib or not 0 <= usable_kib <= total_kib:
        return None
    return MemorySample(
        time_s=time_s,
        max_age_s=max_age_s,
        mem_total_kib=total_kib,
        mem_available_kib=usable_kib,
        swap_in_kib=figures.get(_PREFIX + "swap_in"),
    )
