# SPDX-License-Identifier: Apache-2.0
"""Calls that may hang, so that a pass doesn't.

libvirt locks a domain while it starts: as long as a hook of that start
runs, everything that looks at this domain waits, listing included; and
libxl lets a change of memory wait up to 30 s for another job on the same
domain. Such calls are made in a thread of their own. When one hangs, the
thread is left to it, and the others go on in a new one.
"""

import math
import queue
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from nova_xen_overcommit.agent.hypervisor import base

T = TypeVar("T")
R = TypeVar("R")

# Under emulation libvirt takes 75 ms for a call that does not hang, and more
# than a second once in a while.
PATIENCE_S = 3.0
# More than this at once is no starting guest, but a libvirt that is ill.
_MOST_HANGING = 8


class _Sweep(Generic[T, R]):
    """Items to read one after another, and how far that is."""

    def __init__(self, items: Sequence[T], read: Callable[[T], R]) -> None:
        self._items = items
        self._read = read
        self.found: list[R] = []
        self.failure: Exception | None = None
        self.abandoned = False
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            for item in self._items:
                self.found.append(self._read(item))
                if self.abandoned:
                    break
        except Exception as error:  # noqa: BLE001
            self.failure = error
        finally:
            self.ended.set()

    def ends(self, patience_s: float) -> bool:
        """Wait; tell whether it has ended, not what hangs."""
        done = 0
        while not self.ended.wait(patience_s):
            if len(self.found) == done:
                return False
            done = len(self.found)
        return True


class Patience:
    """Makes calls that may hang; for one thread."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._hanging: dict[Hashable, threading.Event] = {}
        self._queue: queue.SimpleQueue[_Sweep[object, object] | None] | None
        self._queue = None

    def hangs(self, key: Hashable) -> bool:
        """Tell whether an earlier call about ``key`` hangs still."""
        ended = self._hanging.get(key)
        if ended is not None and ended.is_set():
            del self._hanging[key]
            ended = None
        return ended is not None

    def call(
        self,
        key: Hashable,
        function: Callable[[], R],
        patience_s: float = math.inf,
    ) -> R:
        """Give what ``function`` gives; whatever it raises is raised.

        ``patience_s`` is for who can't wait as long as others.

        :raises Unanswered: it hangs, or an earlier one about ``key`` does.
        """
        if self.hangs(key):
            raise base.Unanswered(f"{key}: an earlier call hangs")
        patience_s = min(patience_s, self._patience_s)
        found = self._each([key], _itself, lambda _: function(), patience_s)
        if not found:
            raise base.Unanswered(f"{key}: no answer in {patience_s:g} s")
        return found[0]

    def each(
        self,
        items: Sequence[T],
        key_of: Callable[[T], Hashable],
        read: Callable[[T], R],
    ) -> list[R]:
        """Read ``items`` in turn; what hangs is left out.

        :raises Unanswered: so many calls hang that no more are made.
        """
        rest = list(items)
        if self._hanging:
            rest = [item for item in items if not self.hangs(key_of(item))]
        return self._each(rest, key_of, read, self._patience_s)

    def _each(
        self,
        items: Sequence[T],
        key_of: Callable[[T], Hashable],
        read: Callable[[T], R],
        patience_s: float,
    ) -> list[R]:
        found: list[R] = []
        rest = items
        while rest:
            sweep = _Sweep(rest, read)
            self._start(sweep)
            ended = sweep.ends(patience_s)
            done = sweep.found[:]
            found += done
            # The last answer may have come just now.
            if ended or len(done) == len(rest):
                if sweep.failure is not None:
                    raise sweep.failure
                return found
            self._leave(sweep, key_of(rest[len(done)]))
            rest = rest[len(done) + 1 :]
        return found

    def _start(self, sweep: _Sweep[T, R]) -> None:
        if len(self._hanging) >= _MOST_HANGING:
            raise base.Unanswered(
                f"{len(self._hanging)} calls to libvirt hang"
            )
        if self._queue is None:
            self._queue = queue.SimpleQueue()
            threading.Thread(
                target=_work, args=(self._queue,), name="libvirt", daemon=True
            ).start()
        self._queue.put(sweep)  # type: ignore[arg-type]

    def _leave(self, sweep: _Sweep[T, R], key: Hashable) -> None:
        sweep.abandoned = True
        self._hanging[key] = sweep.ended
        if self._queue is not None:
            self._queue.put(None)
        self._queue = None

    def close(self) -> None:
        """Let the thread end."""
        if self._queue is not None:
            self._queue.put(None)
        self._queue = None


def _itself(item: T) -> T:
    return item


def _work(
    jobs: "queue.SimpleQueue[_Sweep[object, object] | None]",
) -> None:
    while (sweep := jobs.get()) is not None:
        sweep.run()
