# SPDX-License-Identifier: Apache-2.0
"""A thread that keeps the history on disk.

Nobody else ever waits for the disk. One that hangs or is full costs the
history of that time, and a warning.
"""

import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from nova_xen_overcommit.agent import news
from nova_xen_overcommit.agent.history import files, steps
from nova_xen_overcommit.agent.history.past import Past
from nova_xen_overcommit.agent.history.records import HostStep
from nova_xen_overcommit.agent.history.replay import Replay

LOG = logging.getLogger(__name__)

# An hour of steps may wait for a disk.
_MOST_WAITING = 12
_CLOSE_S = 5.0
_DAY_S = 86400


class Keeper:
    """Reads the history once, then writes each step that it is given.

    ``history_s`` is how far back the past in memory reaches, ``keep_s`` how
    long a step stays on disk; ``wall_s`` tells the time since the epoch.
    """

    def __init__(
        self,
        directory: Path,
        history_s: float,
        keep_s: float,
        wall_s: Callable[[], float],
    ) -> None:
        self._path = directory
        self._history_s = history_s
        self._keep_s = keep_s
        self._wall_s = wall_s
        self._directory = files.Directory(directory)
        self._waiting: queue.Queue[HostStep | None]
        self._waiting = queue.Queue(_MOST_WAITING)
        self._hangs = False
        self._loaded: Past | None = None
        self._swept_day = -1
        self._complaint = news.Complaint(
            f"The history in {directory} isn't kept, balancing goes on"
        )
        self._thread = threading.Thread(
            target=self._run, name="history", daemon=True
        )

    def start(self) -> "Keeper":
        """Begin to read."""
        self._thread.start()
        return self

    # Called by the thread of the passes; nothing here waits.

    def loaded(self) -> Past | None:
        """Give what was known before, once, when it has been read."""
        loaded = self._loaded
        if loaded is not None:
            # Set but once by the other thread.
            self._loaded = None
        return loaded

    def put(self, step: HostStep) -> None:
        """Have a step written, unless too many wait already."""
        try:
            self._waiting.put_nowait(step)
            self._hangs = False
        except queue.Full:
            if not self._hangs:
                LOG.warning(
                    "The history isn't kept, balancing goes on: %s hasn't "
                    "taken it for %d steps",
                    self._path,
                    _MOST_WAITING,
                )
            self._hangs = True

    def close(self) -> None:
        """Write what waits, and end; a disk that hangs is left behind."""
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(_CLOSE_S)

    # The thread that may wait.

    def _run(self) -> None:
        self._loaded = self._load()
        while (step := self._waiting.get()) is not None:
            self._write(step)
        self._directory.close()

    def _load(self) -> Past:
        step_s = steps.length_s(self._history_s)
        most_steps = steps.most(self._history_s)
        now_s = self._wall_s()
        try:
            self._directory.lock()
            written = files.read(self._path, now_s - self._history_s)
            replay = Replay(most_steps - 1, step_s, int(now_s // step_s))
            return replay.run(written)
        except Exception as error:  # noqa: BLE001
            self._failed(error)
        return Past(most_steps - 1)

    def _write(self, step: HostStep) -> None:
        try:
            self._directory.append(step)
            self._sweep()
            self._complaint.over()
        except Exception as error:  # noqa: BLE001
            self._failed(error)

    def _sweep(self) -> None:
        """Drop what is too old, once a day."""
        now_s = self._wall_s()
        day = int(now_s // _DAY_S)
        if day != self._swept_day:
            self._directory.drop_before(now_s - self._keep_s)
            self._swept_day = day

    def _failed(self, error: Exception) -> None:
        self._complaint.say(error, traced=not isinstance(error, OSError))
