# SPDX-License-Identifier: Apache-2.0
"""From steps on disk to a past in memory."""

from collections.abc import Iterable

from nova_xen_overcommit.agent.history.past import Past
from nova_xen_overcommit.agent.history.records import HostStep


class Replay:
    """Builds a past whose open step is number ``now`` since the epoch.

    Steps are ``step_s`` seconds long; what was written with another length
    counts in each step that it touches. What has a later time than now was
    written while the clock was wrong, and is left out; what comes after a
    later step was written when the clock had been set back, and counts in
    that one. Steps that nobody wrote are such in which nobody looked.
    """

    def __init__(self, most_steps: int, step_s: int, now: int) -> None:
        self._past = Past(most_steps)
        self._step_s = step_s
        self._now = now
        self._first = now - most_steps
        self._at = self._first

    def run(self, steps: Iterable[HostStep]) -> Past:
        """Give the past that these steps tell of, in their order."""
        for step in steps:
            begin_s, end_s = step.time_s, step.time_s + step.step_s
            first = max(self._first, begin_s // self._step_s)
            last = -(-end_s // self._step_s)
            for number in range(first, min(last, self._now + 1)):
                self._advance(number)
                self._note(step)
        self._advance(self._now)
        return self._past

    def _advance(self, number: int) -> None:
        if number > self._at:
            self._past.close()
            self._past.skip(number - self._at - 1)
            self._at = number

    def _note(self, step: HostStep) -> None:
        past = self._past
        past.open_kib = max(past.open_kib, step.demand_kib)
        for uuid, size_kib, demand_kib, used_kib in step.guests:
            past.guest(uuid).note(size_kib, demand_kib, used_kib)
