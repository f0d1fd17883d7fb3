# SPDX-License-Identifier: Apache-2.0
"""What simulated guests write into xenstore.

The production sensor reads it, so that its parser stands between a guest's
words and the balancer, as on a real host.
"""

import functools
import re
from collections.abc import Callable, Sequence

from nova_xen_overcommit.agent.sensors.xenstore import LINE
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

# Called with each new line that was read and can be true.
Heard = Callable[[SimulatedGuest, MemorySample], None]


class SimulatedXenstore:
    """Stands in for the agent's connection to xenstore.

    ``fault``, when it is set, is raised instead of an answer.
    """

    def __init__(self, host: SimulatedHost, heard: Heard) -> None:
        self._host = host
        self._heard = heard
        self._wrote: dict[int, tuple[MemorySample, int, bytes]] = {}
        self._read: dict[int, bytes] = {}
        self.fault: Exception | None = None
        self.before_read: Callable[[], None] = lambda: None

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes | None]:
        """Give what was written last at each path, None where nothing."""
        self.before_read()
        if self.fault is not None:
            raise self.fault
        guests = {g.domain_id: g for g in self._host.guests.values()}
        return {path: self._value(path, guests) for path in paths}

    def close(self) -> None:
        """Nothing is held."""

    def forget_reader(self) -> None:
        """Let another agent read: what it finds first is new to it."""
        self._read.clear()

    def _value(
        self, path: str, guests: dict[int, SimulatedGuest]
    ) -> bytes | None:
        domain_id, name = _parts(path)
        guest = guests.get(domain_id)
        if guest is None or name != LINE:
            return None
        return guest.garbage or self._line(guest)

    def _line(self, guest: SimulatedGuest) -> bytes | None:
        wrote = self._wrote.get(guest.domain_id)
        if not guest.silent:
            sample = guest.sample(self._host.clock.now_s)
            if wrote is None or sample != wrote[0]:
                number = wrote[1] + 1 if wrote else 1
                wrote = sample, number, render(sample, number)
                self._wrote[guest.domain_id] = wrote
        if wrote is None:
            return None
        sample, _number, line = wrote
        if self._read.get(guest.domain_id) != line:
            self._read[guest.domain_id] = line
            if can_be_true(sample, guest.flavor_kib):
                self._heard(guest, sample)
        return line


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
