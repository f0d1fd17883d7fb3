# SPDX-License-Identifier: Apache-2.0
"""Figures of KVM and QEMU guests, from virtio-balloon statistics.

The guest's balloon driver writes them into QEMU at the period we set; one
call reads those of all guests. They are a guest's words all the same.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.sensors.base import (
    GuestRef,
    SensorContext,
    SensorUnsuitable,
)
from nova_xen_overcommit.policy.sample import MemorySample

LOG = logging.getLogger(__name__)

_PERIOD_S = 1
_STATS_BALLOON = 1 << 3  # VIR_DOMAIN_STATS_BALLOON
_ACTIVE = 1 << 4  # VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE
_AFFECT_LIVE = 1
_PREFIX = "balloon."
# What only a guest can have said.
_SAID = ("last-update", "available", "unused", "usable")


class BalloonSensor:
    """Reads virtio-balloon statistics of all guests at once."""

    name = "balloon"

    def __init__(self, context: SensorContext) -> None:
        if context.hypervisor_type != "qemu":
            raise SensorUnsuitable("only QEMU has virtio-balloon statistics")
        self._context = context
        self._asked: set[tuple[str, int]] = set()
        self._seen: dict[str, tuple[int, float]] = {}
        self.heard: frozenset[str] = frozenset()

    def read(self, guests: Sequence[GuestRef]) -> Mapping[str, MemorySample]:
        """Give the newest believable sample by guest UUID."""
        refs = {guest.uuid: guest for guest in guests}
        self._seen = {u: s for u, s in self._seen.items() if u in refs}
        try:
            rows = self._context.connection.getAllDomainStats(
                _STATS_BALLOON, _ACTIVE
            )
            return self._samples(rows, refs)
        except exception.OvercommitError:
            raise
        except Exception as error:
            raise exception.HypervisorError(str(error)) from error

    def _samples(
        self, rows: Sequence[Any], refs: Mapping[str, GuestRef]
    ) -> dict[str, MemorySample]:
        samples, heard = {}, set()
        for handle, figures in rows:
            guest = refs.get(handle.UUIDString())
            if guest is None:
                continue
            self._ask_for_statistics(handle, guest)
            if any(figures.get(_PREFIX + name) for name in _SAID):
                heard.add(guest.uuid)
            sample = self._sample(guest, figures)
            if sample is not None:
                samples[guest.uuid] = sample
        self.heard = frozenset(heard)
        return samples

    def _ask_for_statistics(self, handle: Any, guest: GuestRef) -> None:
        key = (guest.uuid, guest.domain_id)
        if key not in self._asked:
            handle.setMemoryStatsPeriod(_PERIOD_S, _AFFECT_LIVE)
            self._asked.add(key)

    def _sample(
        self, guest: GuestRef, figures: Mapping[str, int]
    ) -> MemorySample | None:
        updated = figures.get(_PREFIX + "last-update", 0)
        if not updated:
            return None
        return sample_of(
            figures,
            guest.flavor_kib,
            self._first_seen_s(guest.uuid, updated),
            float(self._context.conf.xen_overcommit.sample_max_age_s),
        )

    def _first_seen_s(self, uuid: str, updated: int) -> float:
        """Give when, on our clock, this update was first seen."""
        before = self._seen.get(uuid)
        if before is None or before[0] != updated:
            self._seen[uuid] = (updated, self._context.monotonic_s())
        return self._seen[uuid][1]

    def close(self) -> None:
        """Nothing is held."""


def sample_of(
    figures: Mapping[str, int],
    flavor_kib: int,
    time_s: float,
    max_age_s: float,
) -> MemorySample | None:
    """Turn a guest's statistics into a sample; None if not believable."""
    total_kib = figures.get(_PREFIX + "available", 0)
    usable_kib = figures.get(_PREFIX + "usable")
    if usable_kib is None:
        usable_kib = figures.get(_PREFIX + "unused", -1)
    if not 0 < total_kib <= flavor_kib or not 0 <= usable_kib <= total_kib:
        return None
    return MemorySample(
        time_s=time_s,
        max_age_s=max_age_s,
        mem_total_kib=total_kib,
        mem_available_kib=usable_kib,
        swap_in_kib=figures.get(_PREFIX + "swap_in"),
    )
