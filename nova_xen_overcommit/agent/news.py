# SPDX-License-Identifier: Apache-2.0
"""What makes a pass come at once instead of at the next tick.

Sources listen in threads of their own and call ``wake`` when a guest is in
need. What guests may do without end is looked at seldom: each guest at most
once in :data:`LOOK_EVERY_S`, and events that come close together are taken
together. A source that fails says so once and tries again; passes go on at
each tick meanwhile.
"""

import contextlib
import logging
import threading
from collections.abc import Collection, Hashable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from nova_xen_overcommit.agent.guests import TrackedGuest

LOG = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

# Beyond the first look a need that can't be met yet is served by passes
# that come this often anyway (busy_tick_interval_s), and a publisher looks
# at its guest once a second: looking more often would serve only guests
# that want to keep the host busy.
LOOK_EVERY_S = 0.2
# Events are taken in rounds: what comes within one is one round of looks.
ROUND_S = 0.01
RETRY_S = 1.0


class Source(Protocol):
    """Listens for news of guests."""

    def follow(self, guests: Collection[TrackedGuest]) -> None:
        """Take the guests that a pass has seen; called after each."""

    def run(self) -> None:
        """Listen until closed; no exception leaves it."""

    def close(self) -> None:
        """Let :meth:`run` return soon."""


class Complaint:
    """Logs a failure when it begins; one that lasts fills no log.

    ``what`` says what fails, and what that means.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._said = ""

    def say(self, error: Exception, *, traced: bool = False) -> None:
        """Log ``error`` unless it was the last one, too."""
        text = f"{type(error).__name__}: {error}"
        if text != self._said:
            trace = error if traced else None
            LOG.warning("%s: %s", self._what, text, exc_info=trace)
        self._said = text

    def over(self) -> None:
        """Forget it."""
        self._said = ""


class Pace(Generic[K]):
    """Says when each key may be looked at; times are the caller's.

    The first event is served at once, those that follow it within the
    interval are served together at its end: the last one is never lost.
    """

    def __init__(self, interval_s: float = LOOK_EVERY_S) -> None:
        self._interval_s = interval_s
        self._looked_s: dict[K, float] = {}
        self._waiting: set[K] = set()

    def add(self, keys: Collection[K]) -> None:
        """Take events."""
        self._waiting.update(keys)

    def due(self, now_s: float) -> list[K]:
        """Give the keys to look at now."""
        due = [k for k in self._waiting if self._at_s(k) <= now_s]
        self._waiting.difference_update(due)
        self._looked_s.update(dict.fromkeys(due, now_s))
        return due

    def next_s(self) -> float | None:
        """Give when the next look is due, None when nothing waits."""
        return min(map(self._at_s, self._waiting), default=None)

    def forget_all_but(self, keys: Collection[K]) -> None:
        """Forget guests that are gone."""
        self._waiting.intersection_update(keys)
        for gone in self._looked_s.keys() - set(keys):
            del self._looked_s[gone]

    def _at_s(self, key: K) -> float:
        return self._looked_s.get(key, -self._interval_s) + self._interval_s


@contextlib.contextmanager
def listening(sources: Sequence[Source]) -> Iterator[None]:
    """Let ``sources`` listen while the context lasts."""
    threads = [
        threading.Thread(
            target=source.run, name=type(source).__name__, daemon=True
        )
        for source in sources
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for source in sources:
            source.close()
        for thread in threads:
            thread.join(timeout=5.0)
