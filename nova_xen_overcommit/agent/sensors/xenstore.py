# SPDX-License-Identifier: Apache-2.0
"""Figures of Xen guests, from what they write below ``data/``.

Our publisher writes one line; guests that only have another agent write
``meminfo_total`` and ``meminfo_free`` every minute or two. How fresh either
is, is known only by our own clock: it is the moment we saw it change.
"""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

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
# A watched guest is read in one of so many passes though it wrote nothing:
# well before its last figures would be too old.
_TURNS = 8


class Raw(NamedTuple):
    """What a guest wrote, None where it didn't."""

    line: bytes | None
    total: bytes | None = None
    free: bytes | None = None


_NOTHING = Raw(None)


@dataclasses.dataclass(slots=True)
class _Memory:
    """What is remembered of one guest between reads.

    ``path`` is where its publisher writes, ``raw`` what was read last and
    can be true, ``mark`` that of the newest write in it (None: there was
    none yet); ``sample`` is None until a write was seen to happen, as nobody
    knows how old the first one found is. ``heard``: it had written anything
    when it was last read; ``believed``: what it had written can be true.
    """

    path: str
    raw: Raw = _NOTHING
    mark: tuple[int, ...] | None = None
    sample: MemorySample | None = None
    heard: bool = False
    believed: bool = True


_Known = tuple[GuestRef, _Memory]


class XenstoreSensor:
    """Reads what guests write into xenstore, all in one round trip.

    Of those that are watched only who wrote is read, and each in turn, in
    case that the watch has missed something.
    """

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
        self._turn = 0
        self._missed = True
        # When those wrote who couldn't be read since.
        self._unread: Mapping[int, float] = {}
        self.heard: frozenset[str] = frozenset()

    def read(self, guests: Sequence[GuestRef]) -> Mapping[str, MemorySample]:
        """Give the newest believable sample by guest UUID.

        :raises XenstoreError: xenstore can't be reached.
        """
        running = [guest for guest in guests if guest.domain_id > 0]
        memories = self._remembered(running)
        known = list(zip(running, memories, strict=True))
        wrote = self._context.wrote.take()
        self._unread = {} if wrote is None else {**self._unread, **wrote}
        self._read(self._due(known, wrote), self._unread)
        self._unread = {}
        self.heard = frozenset([g.uuid for g, memory in known if memory.heard])
        return {
            guest.uuid: memory.sample
            for guest, memory in known
            if memory.sample is not None and memory.believed
        }

    def close(self) -> None:
        """Close the connection to xenstore."""
        self._store.close()

    def _remembered(self, guests: Sequence[GuestRef]) -> list[_Memory]:
        """Give what is remembered of these, and forget all others."""
        before = self._memories
        self._memories = {}
        for guest in guests:
            key = guest.uuid, guest.domain_id
            memory = before.get(key)
            if memory is None:
                memory = _Memory(data_path(guest.domain_id, LINE))
            self._memories[key] = memory
        self._complaints.forget_all_but({guest.uuid for guest in guests})
        return list(self._memories.values())

    def _due(
        self, known: Sequence[_Known], wrote: Mapping[int, float] | None
    ) -> Sequence[_Known]:
        """Give those to read now."""
        # Who was taken as having written stays so until it was read.
        missed, self._missed = self._missed, True
        if missed or wrote is None:
            return known
        self._turn = (self._turn + 1) % _TURNS
        return [
            (guest, memory)
            for number, (guest, memory) in enumerate(known)
            if guest.domain_id in wrote
            # Only lines are watched.
            or not memory.raw.line
            or number % _TURNS == self._turn
        ]

    def _read(self, due: Sequence[_Known], wrote: Mapping[int, float]) -> None:
        """Read these; ``wrote``: when who wrote was seen to have."""
        now_s = self._context.monotonic_s()
        fast_s = float(self._context.conf.xen_overcommit.sample_max_age_s)
        raws = self._raw(due)
        self._missed = False
        for (guest, memory), raw in zip(due, raws, strict=True):
            memory.heard = raw != _NOTHING
            # Most have written nothing since they were read last.
            memory.believed = raw == memory.raw or self._believe(
                guest, memory, raw, wrote.get(guest.domain_id, now_s), fast_s
            )

    def _raw(self, due: Sequence[_Known]) -> list[Raw]:
        """Give what each guest wrote last, as far as it is used."""
        lines = self._values([memory.path for _guest, memory in due])
        slow = [
            guest
            for (guest, _memory), line in zip(due, lines, strict=True)
            if not line
        ]
        others = self._values(_paths(slow, TOTAL) + _paths(slow, FREE))
        totals, frees = iter(others), iter(others[len(slow) :])
        return [
            Raw(line) if line else Raw(line, next(totals), next(frees))
            for line in lines
        ]

    def _values(self, paths: Sequence[str]) -> list[bytes | None]:
        found = self._store.read_many(paths) if paths else {}
        return [found[path] for path in paths]

    def _believe(
        self,
        guest: GuestRef,
        memory: _Memory,
        raw: Raw,
        seen_s: float,
        fast_s: float,
    ) -> bool:
        """Take in what a guest was seen to write, if it can be true."""
        try:
            figures = _figures(guest, raw)
        except guest_line.Implausible as reason:
            self._complaints.add(guest, str(reason))
            return False
        if figures is None:
            return False
        if memory.mark is not None and memory.mark != figures.mark:
            memory.sample = dated(
                figures,
                seen_s,
                SLOW_MAX_AGE_S if raw.line is None else fast_s,
            )
        memory.raw, memory.mark = raw, figures.mark
        return True


def dated(
    figures: guest_line.Figures, time_s: float, max_age_s: float
) -> MemorySample:
    """Give the sample of figures that were written at ``time_s``."""
    return MemorySample(
        time_s=time_s,
        max_age_s=max_age_s,
        mem_total_kib=figures.mem_total_kib,
        mem_available_kib=figures.mem_available_kib,
        swap_total_kib=figures.swap_total_kib,
        swap_free_kib=figures.swap_free_kib,
        swap_in_kib=figures.swap_in_kib,
        psi_some_us=figures.psi_some_us,
        self_more_kib=figures.self_more_kib,
    )


def data_path(domain_id: int, name: str) -> str:
    """Give where a guest writes ``name``."""
    return f"/local/domain/{domain_id}/data/{name}"


def _paths(guests: Sequence[GuestRef], name: str) -> list[str]:
    return [data_path(guest.domain_id, name) for guest in guests]


def _figures(guest: GuestRef, raw: Raw) -> guest_line.Figures | None:
    if raw.line is not None:
        return guest_line.parse_line(raw.line, guest.flavor_kib)
    if raw.total is not None and raw.free is not None:
        return guest_line.parse_meminfo(raw.total, raw.free, guest.flavor_kib)
    return None


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
