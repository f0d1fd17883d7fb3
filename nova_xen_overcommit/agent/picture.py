# SPDX-License-Identifier: Apache-2.0
"""Takes the picture of the last pass when somebody asks.

The thread of the passes only says when a pass begins and ends, which costs
the same for ten guests as for thousands; it waits for nobody. Who asks waits
for the end of a pass, takes the picture while none is under way, and shares
it with all who ask before the next one ends.
"""

import dataclasses
import threading
from collections.abc import Sequence

from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.agent.status import GuestStatus, HostStatus

# How long to wait for a pass under way, and how often to begin anew when
# one began meanwhile.
_PATIENCE_S = 1.0
_TRIES = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """What a pass leaves behind for a picture.

    The guests themselves change in the next pass; the list doesn't.
    """

    host: HostStatus
    guests: Sequence[TrackedGuest]
    warm_up_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """Host and guests; ``whole`` if no pass was under way meanwhile."""

    host: HostStatus | None = None
    guests: tuple[GuestStatus, ...] = ()
    whole: bool = True


class Camera:
    """Takes pictures; :meth:`began` and :meth:`ended` are one thread's."""

    def __init__(self, patience_s: float = _PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._still = threading.Event()
        self._still.set()
        # Begun and ended passes: odd while one is under way.
        self._turn = 0
        self._scene: Scene | None = None
        self._taken = Picture()
        self._taken_at = -1

    def began(self) -> None:
        """Say that a pass begins; never waits."""
        self._turn += 1
        self._still.clear()

    def ended(self, scene: Scene | None) -> None:
        """Say that a pass ended; None: it failed, and left no new scene."""
        if scene is not None:
            self._scene = scene
        self._turn += 1
        self._still.set()

    def picture(self) -> Picture:
        """Give the picture of the last pass, waiting for one under way.

        Where that hangs, and nobody asked before it began, some guests may
        be as that pass has found them: the picture isn't whole then.
        """
        with self._lock:
            for _ in range(_TRIES):
                self._still.wait(self._patience_s)
                turn = self._turn
                if turn % 2:
                    break
                if turn == self._taken_at:
                    return self._taken
                taken = self._take(whole=True)
                if turn == self._turn:
                    self._taken, self._taken_at = taken, turn
                    return taken
            if self._taken_at == self._turn - 1:
                return self._taken
            return self._take(whole=False)

    def _take(self, whole: bool) -> Picture:
        scene = self._scene
        if scene is None:
            return Picture()
        guests = tuple(
            GuestStatus.of(guest, scene.warm_up_s) for guest in scene.guests
        )
        return Picture(scene.host, guests, whole)
