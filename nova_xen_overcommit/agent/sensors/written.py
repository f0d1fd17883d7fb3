# SPDX-License-Identifier: Apache-2.0
"""Which guests wrote since they were read, where somebody watches them."""

import threading
from collections.abc import Collection, Mapping


class WhoWrote:
    """What a watch tells a sensor, each in a thread of its own.

    A guest that isn't named has most probably written nothing: a watch tells
    a moment after the write, and may be late.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # None while nobody watches.
        self._told_s: dict[int, float] | None = None

    def tell(self, domain_ids: Collection[int], now_s: float) -> None:
        """Say who wrote until now, by a watch on all that it follows."""
        with self._lock:
            if self._told_s is None:
                self._told_s = {}
            self._told_s.update(dict.fromkeys(domain_ids, now_s))

    def lose(self) -> None:
        """Say that nobody watches, so that anyone may have written."""
        with self._lock:
            self._told_s = None

    def take(self) -> Mapping[int, float] | None:
        """Give who wrote since the last call, and when that was told.

        None: nobody knows.
        """
        with self._lock:
            told_s = self._told_s
            if told_s is not None:
                self._told_s = {}
            return told_s
