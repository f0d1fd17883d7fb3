# SPDX-License-Identifier: Apache-2.0
"""What a guest says of its memory, in the form the policy takes it."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class MemorySample:
    """One believable set of figures from inside a guest.

    ``time_s`` is the host's monotonic clock when the figures were seen to
    change, ``max_age_s`` how long this source's figures may be believed.
    ``swap_in_kib`` and ``psi_some_us`` are cumulative counters of the guest
    (KiB swapped in; microseconds stalled, PSI memory "some"), None where
    the guest doesn't give them. ``self_more_kib`` is what a guest that moves
    its own balloon wants beyond what it has (negative: less), None for
    others.
    """

    time_s: float
    max_age_s: float
    mem_total_kib: int
    mem_available_kib: int
    swap_total_kib: int = 0
    swap_free_kib: int = 0
    swap_in_kib: int | None = None
    psi_some_us: int | None = None
    self_more_kib: int | None = None

    @property
    def swap_used_kib(self) -> int:
        """Swap in use, in KiB."""
        return self.swap_total_kib - self.swap_free_kib

    @property
    def ram_used_kib(self) -> int:
        """What of MemTotal isn't available, in KiB."""
        return self.mem_total_kib - self.mem_available_kib

    def is_fresh(self, now_s: float) -> bool:
        """Tell whether the figures may be believed at ``now_s``."""
        return now_s - self.time_s <= self.max_age_s
