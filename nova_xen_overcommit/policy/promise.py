# SPDX-License-Identifier: Apache-2.0
"""What a host may promise the scheduler::

    headroom = min(usable − reserve − predicted peak of summed demand,
                   what the floors allow, what guest swap allows,
                   max ratio × usable − committed),    at least 0
    promise  = committed + headroom

All sizes are KiB. A promise is lowered at once and raised only after the
higher figure has held for some time, so that the scheduler never acts on a
lull.
"""

import collections
import dataclasses
import math


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """Everything a promise depends on; KiB.

    ``peak_kib`` is the predicted peak of summed demand, with guests that
    are too young, silent or uncooperative counted in full, and starts in
    flight counted with their flavors. ``overhead_kib`` is what the guests
    cost beside their memory; peak and floors have it in them. ``swap_kib``
    is the sum of guest swap, of each guest no more than its flavor, None
    when it isn't required. ``floor_share`` is the share of its flavor that
    a new guest's floor takes, if it is like those that run.
    """

    usable_kib: int
    reserve_kib: int
    committed_kib: int
    peak_kib: int
    floors_kib: int
    overhead_kib: int
    floor_share: float
    max_ratio: float
    swap_kib: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Promise:
    """A promise in KiB and which bound decided it."""

    promise_kib: int
    bound: str


def promise(account: Account) -> Promise:
    """Give what the host may promise in all, never below committed."""
    bounds = _bounds(account)
    bound = min(bounds, key=lambda name: (bounds[name], name))
    headroom_kib = max(0, bounds[bound])
    return Promise(account.committed_kib + headroom_kib, bound)


def unmoved_kib(account: Account) -> int:
    """Give what the host has for guests if no balloon ever moves, KiB.

    An agent that has just begun promises no more until a higher promise
    has held: what its predecessor had published is unknown to it.
    """
    offered_kib = account.usable_kib - account.reserve_kib
    return max(account.committed_kib, offered_kib)


def _bounds(account: Account) -> dict[str, int]:
    """Give how much more each consideration allows."""
    offered_kib = account.usable_kib - account.reserve_kib
    bounds = {
        "demand": offered_kib - account.peak_kib,
        "floors": math.floor(
            (offered_kib - account.floors_kib) / account.floor_share
        ),
        "ratio": math.floor(account.usable_kib * account.max_ratio)
        - account.committed_kib,
    }
    if account.swap_kib is not None:
        backed_kib = account.usable_kib - account.overhead_kib
        backed_kib += account.swap_kib
        bounds["swap"] = backed_kib - account.committed_kib
    return bounds


class SlowRise:
    """Publishes a figure: down at once, up after it has held.

    What is published is the smallest figure of the last ``delay_s``
    seconds. Kept as a queue of candidates in which each is smaller than
    all that came after it.
    """

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self._candidates: collections.deque[tuple[float, int]] = (
            collections.deque()
        )

    def publish(self, figure: int, now_s: float) -> int:
        """Take the newest figure and give the one to publish."""
        candidates = self._candidates
        since_s = now_s
        # Whatever was at least as high has held this figure too.
        while candidates and candidates[-1][1] >= figure:
            since_s = candidates.pop()[0]
        candidates.append((since_s, figure))
        while len(candidates) > 1 and self._has_held(candidates[1], now_s):
            candidates.popleft()
        return candidates[0][1]

    def _has_held(self, candidate: tuple[float, int], now_s: float) -> bool:
        return now_s - candidate[0] >= self.delay_s
