# SPDX-License-Identifier: Apache-2.0
"""What simulated guests write into xenstore.

The production sensor reads it, so that its parser stands between a guest's
words and the balancer, as on a real host.
"""

import functools
import re
from collections.abc import Callable, Sequence, Set

from nova_xen_overcommit.agent.sensors.xenstore import LINE, data_path
from nova_xen_overcommit.agent.xenstore import XenstoreError
from nova_xen_overcommit.policy.sample import MemorySample
from tests.simulator.guest import SimulatedGuest
from tests.simulator.host import SimulatedHost

_PATH = re.compile(r"/local/domain/(\d+)/data/(\w+)")
_LINE = (
    b"v=1 seq=%d mem_total_kib=%d mem_available_kib=%d swap_total_kib=%d "
    b"swap_free_kib=%d swap_in_kib=%d psi_some_us=%d"
)
_MOST_KIB = 1 << 40

# Called with each new line that was read and can be true, and when it was
# seen to be written.
Heard = Callable[[SimulatedGuest, MemorySample, float], None]


class SimulatedXenstore:
    """Stands in for the sensor's connection to xenstore.

    Guests write when :meth:`publish` lets them; those of a store that isn't
    ``watched`` do it whenever they are read, too. ``fault``, when it is set,
    is raised instead of an answer; while ``deaf``, writes are told to no
    watch.
    """

    def __init__(
        self, host: SimulatedHost, heard: Heard, watched: bool = False
    ) -> None:
        self._host = host
        self._heard = heard
        self._watched = watched
        self._watches: list[WatchConnection] = []
        self._wrote: dict[int, tuple[MemorySample, int, bytes]] = {}
        self._found: dict[int, bytes] = {}
        self._read: dict[int, bytes] = {}
        # When the watch was told of what wasn't read since then.
        self._told_s: dict[int, float] = {}
        self.fault: Exception | None = None
        self.deaf = False
        self.before_read: Callable[[], None] = lambda: None

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes | None]:
        """Give what was written last at each path, None where nothing."""
        self.before_read()
        self.require_daemon()
        guests = {g.domain_id: g for g in self._host.guests.values()}
        return {path: self._value(path, guests) for path in paths}

    def close(self) -> None:
        """Nothing is held."""

    def forget_reader(self) -> None:
        """Let another agent read: what it finds first is new to it."""
        self._read.clear()
        self._watches.clear()
        self._told_s.clear()

    def watch_connection(self) -> "WatchConnection":
        """Give one more connection, for the agent's watch."""
        self._watches.append(WatchConnection(self))
        return self._watches[-1]

    def publish(self) -> None:
        """Let guests write what they have to say, and watches tell of it."""
        for guest in self._host.guests.values():
            self._write(guest)
            value = self._now(guest)
            if value is None or value == self._found.get(guest.domain_id):
                continue
            self._found[guest.domain_id] = value
            if not self.deaf:
                for watch in self._watches:
                    watch.tell(data_path(guest.domain_id, LINE))

    def told(self, tokens: Set[str]) -> None:
        """Take note that a watch was told of these guests."""
        now_s = self._host.clock.now_s
        self._told_s.update({int(token): now_s for token in tokens})

    def untold(self) -> None:
        """Take note that what a watch was told is lost with it."""
        self._told_s.clear()

    def require_daemon(self) -> None:
        """Raise what is wrong with the daemon, if anything is."""
        if self.fault is not None:
            raise self.fault

    def found_at(self, path: str) -> bytes | None:
        """Give what a guest wrote there last, to who is no sensor."""
        domain_id, _name = _parts(path)
        return self._found.get(domain_id)

    def _value(
        self, path: str, guests: dict[int, SimulatedGuest]
    ) -> bytes | None:
        domain_id, name = _parts(path)
        guest = guests.get(domain_id)
        if guest is None or name != LINE:
            return None
        if not self._watched:
            self._write(guest)
        now_s = self._host.clock.now_s
        seen_s = self._told_s.pop(guest.domain_id, now_s)
        value = self._now(guest)
        if value is None or guest.garbage:
            return value
        sample, _number, line = self._wrote[guest.domain_id]
        if self._read.get(guest.domain_id) != line:
            self._read[guest.domain_id] = line
            if can_be_true(sample, guest.flavor_kib):
                self._heard(guest, sample, seen_s)
        return value

    def _write(self, guest: SimulatedGuest) -> None:
        if guest.silent or guest.garbage:
            return
        wrote = self._wrote.get(guest.domain_id)
        sample = guest.sample(self._host.clock.now_s)
        if wrote is None or sample != wrote[0]:
            number = wrote[1] + 1 if wrote else 1
            line = render(sample, number)
            self._wrote[guest.domain_id] = sample, number, line

    def _now(self, guest: SimulatedGuest) -> bytes | None:
        """Give what is written now."""
        wrote = self._wrote.get(guest.domain_id)
        return guest.garbage or (wrote[2] if wrote else None)


class WatchConnection:
    """Stands in for a connection of the agent's watch."""

    def __init__(self, store: SimulatedXenstore) -> None:
        self._store = store
        self._tokens: dict[str, str] = {}
        self._events: set[str] = set()

    def watch(self, path: str, token: str) -> None:
        """Tell of writes at ``path``; of one at once, as xenstored does."""
        self._store.require_daemon()
        self._tokens[path] = token
        self._events.add(token)

    def unwatch(self, path: str, token: str) -> None:
        """Tell no more."""
        del token
        self._store.require_daemon()
        self._tokens.pop(path, None)

    def tell(self, path: str) -> None:
        """Take note of a write."""
        token = self._tokens.get(path)
        if token is not None:
            self._events.add(token)

    def take_events(self) -> set[str]:
        """Give the tokens of what was written since the last call."""
        self._store.require_daemon()
        events, self._events = self._events, set()
        self._store.told(events)
        return events

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes | None]:
        """Give what was written last at each path."""
        self._store.require_daemon()
        return {path: self._store.found_at(path) for path in paths}

    def close(self) -> None:
        """End; watches go with it."""
        self._tokens.clear()
        self._events.clear()
        self._store.untold()


@functools.lru_cache
def _parts(path: str) -> tuple[int, str]:
    match = _PATH.fullmatch(path)
    assert match is not None, path
    return int(match[1]), match[2]


def render(sample: MemorySample, number: int) -> bytes:
    """Give a sample as our publisher writes it."""
    swap_in_kib, psi_some_us = sample.swap_in_kib, sample.psi_some_us
    line = _LINE % (
        number,
        sample.mem_total_kib,
        sample.mem_available_kib,
        sample.swap_total_kib,
        sample.swap_free_kib,
        -1 if swap_in_kib is None else swap_in_kib,
        -1 if psi_some_us is None else psi_some_us,
    )
    if sample.self_more_kib is None:
        return line
    return b"%s self_more_kib=%d" % (line, sample.self_more_kib)


def can_be_true(sample: MemorySample, flavor_kib: int) -> bool:
    """Tell whether a guest of ``flavor_kib`` can have such figures."""
    counters = (sample.swap_in_kib or 0, sample.psi_some_us or 0)
    return (
        0 < sample.mem_total_kib <= flavor_kib
        and 0 <= sample.mem_available_kib <= sample.mem_total_kib
        and 0 <= sample.swap_free_kib <= sample.swap_total_kib <= _MOST_KIB
        and min(counters) >= -1
        and max(counters) < 1 << 63
        and abs(sample.self_more_kib or 0) <= _MOST_KIB
    )


def xenstore_gone() -> XenstoreError:
    """Give what the client raises when xenstored doesn't answer."""
    return XenstoreError("xenstored does not answer")
