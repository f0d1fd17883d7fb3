# SPDX-License-Identifier: Apache-2.0
"""Time that passes only when told to."""


class VirtualClock:
    """The agent's two clocks.

    ``wall_offset_s`` is a fault: the wall clock set wrong, forth or back.
    """

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.wall_offset_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_s(self) -> float:
        return self.now_s + self.wall_offset_s

    def leap(self, seconds: float) -> None:
        """Let time go by in which nobody ran: the host was asleep."""
        self.now_s += seconds
