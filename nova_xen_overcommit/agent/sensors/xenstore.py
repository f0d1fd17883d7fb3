# SPDX-License-Identifier: Apache-2.0
"""Figures of Xen guests, from what they write below ``data/``.

Our publisher writes one line; guests that only have another agent write
``meminfo_total`` and ``meminfo_free`` every minute or two. How fresh either
is, is known only by our own clock: it is the moment we saw it change.
"""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence

from nova_xen_overcommit.agent.sensors import guest_line
from nova_xen_overcommit.agent.sensors.base import (
    GuestRef,
    SensorContext,
    SensorUnsuitable,
)
from nova_xen_overcommit.agent.xenstore import Xenstore
from nova_xen_overcommit.policy.sample import MemorySample

LOG = logging.getLogger(__name__)

LINE = "nova_xen_overcommit"
TOTAL, FREE = "meminfo_total", "meminfo_free"
SLOW_MAX_AGE_S = 300.0
_COMPLAIN_EVERY_S = 300.0


@dataclasses.dataclass(slots=True)
class _Memory:
    """What is remembered of one guest between reads.

    ``mark`` is that of its newest write; ``sample`` is None until a write
    was seen to happen, as nobody knows how old the first one found is.
    """

    mark: tuple[int, ...]
    sample: MemorySample | None = None


class XenstoreSensor:
    """Reads what guests write into xenstore, all in one round trip."""

    name = "xenstore"

    def __init__(
        self, context: SensorContext, store: Xenstore | None = None
    ) -> None:
        if context.hypervisor_type != "xen":
            raise SensorUnsuitable("only Xen has xenstore")
        self._context = context
        self._store = store or Xenstore(monotonic_s=context.monotonic_s)
        self._memories: dict[tuple[str, int], _Memory] = {}
        self._complaints = Complaints(context.monotonic_s)

    def read(self, guests: Sequence[GuestRef]) -> Mapping[str, MemorySample]:
        """Give the newest believable sample by guest UUID.

        :raises XenstoreError: xenstore can't be reached.
        """
        running = [guest for guest in guests if guest.domain_id > 0]
        self._forget_all_but(running)
        samples = {}
        for guest, raw in self._raw(running):
            sample = self._sample(guest, raw)
            if sample is not None:
                samples[guest.uuid] = sample
        return samples

    def close(self) -> None:
        """Close the connection to xenstore."""
        self._store.close()

    def _forget_all_but(self, guests: Sequence[GuestRef]) -> None:
        keys = {(guest.uuid, guest.domain_id) for guest in guests}
        self._memories = {k: m for k, m in self._memories.items() if k in keys}
        self._complaints.forget_all_but({guest.uuid for guest in guests})

    def _raw(
        self, guests: Sequence[GuestRef]
    ) -> list[tuple[GuestRef, dict[str, bytes | None]]]:
        lines = self._values(guests, (LINE,))
        slow = [g for g, raw in zip(guests, lines, strict=True) if not raw]
        others = self._values(slow, (TOTAL, FREE))
        merged = dict(zip([g.uuid for g in slow], others, strict=True))
        return [
            (guest, {**raw, **merged.get(guest.uuid, {})})
            for guest, raw in zip(guests, lines, strict=True)
        ]

    def _values(
        self, guests: Sequence[GuestRef], names: Sequence[str]
    ) -> list[dict[str, bytes | None]]:
        """Give each guest's values by name; names without one are absent."""
        paths = {
            (guest.uuid, name): f"/local/domain/{guest.domain_id}/data/{name}"
            for guest in guests
            for name in names
        }
        found = self._store.read_many(list(paths.values())) if paths else {}
        return [
            {
                name: found[paths[guest.uuid, name]]
                for name in names
                if found[paths[guest.uuid, name]] is not None
            }
            for guest in guests
        ]

    def _sample(
        self, guest: GuestRef, raw: Mapping[str, bytes | None]
    ) -> MemorySample | None:
        try:
            figures, max_age_s = self._figures(guest, raw)
        except guest_line.Implausible as reason:
            self._complaints.add(guest, str(reason))
            return None
        if figures is None:
            return None
        key = (guest.uuid, guest.domain_id)
        memory = self._memories.setdefault(key, _Memory(figures.mark))
        if memory.mark != figures.mark:
            memory.mark = figures.mark
            memory.sample = self._dated(figures, max_age_s)
        return memory.sample

    def _figures(
        self, guest: GuestRef, raw: Mapping[str, bytes | None]
    ) -> tuple[guest_line.Figures | None, float]:
        line, total, free = raw.get(LINE), raw.get(TOTAL), raw.get(FREE)
        if line is not None:
            fast_s = float(self._context.conf.xen_overcommit.sample_max_age_s)
            return guest_line.parse_line(line, guest.flavor_kib), fast_s
        if total is not None and free is not None:
            figures = guest_line.parse_meminfo(total, free, guest.flavor_kib)
            return figures, SLOW_MAX_AGE_S
        return None, 0.0

    def _dated(
        self, figures: guest_line.Figures, max_age_s: float
    ) -> MemorySample:
        return MemorySample(
            time_s=self._context.monotonic_s(),
            max_age_s=max_age_s,
            mem_total_kib=figures.mem_total_kib,
            mem_available_kib=figures.mem_available_kib,
            swap_total_kib=figures.swap_total_kib,
            swap_free_kib=figures.swap_free_kib,
            swap_in_kib=figures.swap_in_kib,
            psi_some_us=figures.psi_some_us,
        )


class Complaints:
    """Logs what guests say that can't be true, but never often."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._said_s: dict[str, float] = {}

    def add(self, guest: GuestRef, reason: str) -> None:
        """Say it, unless something was said of this guest lately."""
        now_s = self._monotonic_s()
        said_s = self._said_s.get(guest.uuid)
        if said_s is not None and now_s - said_s < _COMPLAIN_EVERY_S:
            return
        self._said_s[guest.uuid] = now_s
        LOG.warning(
            "Guest %s (%s) is not believed, so it is left alone: %s",
            guest.name,
            guest.uuid,
            reason,
        )

    def forget_all_but(self, uuids: set[str]) -> None:
        """Forget guests that are gone."""
        self._said_s = {u: s for u, s in self._said_s.items() if u in uuids}
