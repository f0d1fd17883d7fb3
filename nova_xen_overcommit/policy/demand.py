# SPDX-License-Identifier: Apache-2.0
"""What one guest needs to run unharmed, from what was observed.

    used   = (MemTotal − MemAvailable) + swap in use + unmanaged
    demand = max(used, fast, slow) + head room

``unmanaged`` is what the guest's kernel holds outside MemTotal (actual −
MemTotal; while the balloon moves, known only within how far it moves). The
fast average follows use with a time constant of seconds; the slow one holds
peaks of the fast and lets them decay over a minute: quick to rise, slow to
fall, after ESX's max of a fast and a slow average (Waldspurger, OSDI 2002).
Swap-in, memory stall (PSI) and vanished head room mean that the guest is
starved: it is then raised above what it has, and to its flavor when it
happens twice in a row.

A guest that moves its own balloon says itself what it wants, and that is its
demand, bounded by floor and flavor like any other's. It says it as what it
wants beyond what it has, since a guest's own figure of that differs from the
hypervisor's by what is outside MemTotal.

All sizes are KiB, all times seconds.
"""

import dataclasses
import math

from nova_xen_overcommit.policy.sample import MemorySample

_US_PER_S = 1_000_000
# A guest's own kernel seldom holds more than this outside MemTotal; what is
# beyond it is a balloon that moves, or a lie.
_MAX_UNMANAGED_SHARE = 0.25
# How much a starved guest is raised above what it has, the first time.
_STARVED_RAISE_SHARE = 0.5
# A guest whose available memory is below this share of its head room has
# no head room left.
_EXHAUSTED_SHARE = 0.25
# However large a guest is, with so much available it is not starved.
_MOST_LAST_ROOM_KIB = 128 * 1024
STARVED_TWICE = 2
# By how many observations in a row found the guest starved.
_RAISED_BY = (
    "was starved lately",
    "starved: more than it had",
    "starved again: its whole flavor",
)


@dataclasses.dataclass(frozen=True, slots=True)
class DemandSettings:
    """The options that shape demand; same names, same units."""

    head_room_share: float = 0.1
    head_room_kib: int = 32 * 1024
    rise_s: float = 2.0
    decay_s: float = 60.0
    peak_memory_s: float = 3600.0
    psi_high_percent: float = 10.0
    swap_in_high_kib_s: int = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Observation:
    """One sample beside what the hypervisor measured; KiB."""

    sample: MemorySample
    actual_kib: int
    flavor_kib: int
    floor_kib: int


@dataclasses.dataclass(frozen=True, slots=True)
class GuestDemand:
    """A guest's demand after an observation, and what it came from.

    ``demand_kib`` lies between floor and flavor, ``wanted_kib`` is the same
    without these bounds. ``starved_passes`` counts observations in a row in
    which the guest was starved, ``reasons`` says in words of what.
    ``hoped_kib`` is what it gets where nobody else asks for it: the whole
    flavor while it is starved, since how much it needs is seen only once it
    has it.
    """

    demand_kib: int
    wanted_kib: int
    firm_kib: int
    bare_kib: int
    hoped_kib: int
    peak_kib: float
    used_kib: int
    fast_kib: float
    slow_kib: float
    outside_kib: int
    unmanaged_kib: int
    head_room_kib: int
    raised_kib: float
    starved_passes: int
    reasons: tuple[str, ...]
    sample: MemorySample
    actual_kib: int

    @property
    def starved(self) -> bool:
        """Whether the guest was starved when last seen."""
        return self.starved_passes > 0

    @property
    def causes(self) -> tuple[str, ...]:
        """Say what the demand comes from, and what starved the guest."""
        return (self._base, *self.reasons)

    @property
    def _base(self) -> str:
        moves_its_own = self.sample.self_more_kib is not None
        if moves_its_own and self.wanted_kib > self.raised_kib:
            return "what it wants, as it moves its own balloon"
        recent_kib = max(self.fast_kib, self.slow_kib)
        base_kib = max(self.used_kib, recent_kib) + self.head_room_kib
        if moves_its_own or self.raised_kib > base_kib:
            return _RAISED_BY[min(self.starved_passes, STARVED_TWICE)]
        if recent_kib > self.used_kib:
            return "what it used lately, and head room"
        return "what it uses, and head room"


def observe(
    before: GuestDemand | None, seen: Observation, settings: DemandSettings
) -> GuestDemand:
    """Give the demand after ``seen``; the same sample twice changes nothing.

    ``before`` is what the last call for this guest gave, None at first.
    """
    if before is not None and before.sample == seen.sample:
        return dataclasses.replace(before, actual_kib=seen.actual_kib)
    elapsed_s = _elapsed_s(before, seen)
    outside_kib = _outside_kib(before, seen)
    unmanaged_kib = _unmanaged_kib(outside_kib, seen)
    used_kib = _used_kib(seen, unmanaged_kib)
    fast_kib, slow_kib, peak_kib = _averages(
        before, used_kib, elapsed_s, settings
    )
    room_kib = _head_room_kib(used_kib, settings)
    last_room_kib = _last_room_kib(room_kib)
    reasons = _exhausted(seen, last_room_kib)
    if before is not None and not _recovers(seen, used_kib + room_kib):
        reasons += _rates(before, seen, elapsed_s, settings)
    starved_passes = _starved_passes(before, bool(reasons))
    base_kib = max(used_kib, fast_kib, slow_kib) + room_kib
    raised_kib = _raised_kib(
        before, seen, starved_passes, base_kib, elapsed_s, settings
    )
    firm_kib, bare_kib = used_kib + room_kib, used_kib + last_room_kib
    if seen.sample.self_more_kib is not None:
        # Its own word, unless it is starved all the same.
        chosen_kib = _chosen_kib(before, seen, outside_kib)
        base_kib = firm_kib = bare_kib = chosen_kib
        raised_kib = raised_kib if starved_passes else 0.0
    wanted_kib = math.ceil(max(base_kib, raised_kib))
    return GuestDemand(
        demand_kib=_bounded(wanted_kib, seen),
        wanted_kib=wanted_kib,
        firm_kib=firm_kib,
        hoped_kib=(
            seen.flavor_kib
            if starved_passes
            else _hoped_kib(used_kib, peak_kib) + room_kib
        ),
        peak_kib=peak_kib,
        bare_kib=bare_kib,
        used_kib=used_kib,
        fast_kib=fast_kib,
        slow_kib=slow_kib,
        outside_kib=outside_kib,
        unmanaged_kib=unmanaged_kib,
        head_room_kib=room_kib,
        raised_kib=raised_kib,
        starved_passes=starved_passes,
        reasons=reasons,
        sample=seen.sample,
        actual_kib=seen.actual_kib,
    )


def _hoped_kib(used_kib: int, peak_kib: float) -> int:
    """Give half of the way from what is used to the peak.

    Not all of it: who never had a peak may have its first one.
    """
    return used_kib + max(0, int(peak_kib) - used_kib) // 2


def _bounded(kib: int, seen: Observation) -> int:
    return min(seen.flavor_kib, max(seen.floor_kib, kib))


def _had_kib(before: GuestDemand | None, seen: Observation) -> tuple[int, int]:
    """Give the least and the most it had when it wrote its figures.

    It was something between what was measured before and what is now. Of one
    that rests both are the same.
    """
    then_kib = seen.actual_kib if before is None else before.actual_kib
    return min(then_kib, seen.actual_kib), max(then_kib, seen.actual_kib)


def _outside_kib(before: GuestDemand | None, seen: Observation) -> int:
    """Give what it has outside MemTotal: as before, unless that can't be."""
    total_kib = seen.sample.mem_total_kib
    least_kib, most_kib = _had_kib(before, seen)
    kept_kib = 0 if before is None else before.outside_kib
    kept_kib = max(kept_kib, least_kib - total_kib)
    return max(0, min(kept_kib, most_kib - total_kib))


def _unmanaged_kib(outside_kib: int, seen: Observation) -> int:
    most_kib = int(seen.flavor_kib * _MAX_UNMANAGED_SHARE)
    return min(most_kib, outside_kib)


def _chosen_kib(
    before: GuestDemand | None, seen: Observation, outside_kib: int
) -> int:
    """Give what a guest chose that moves its own balloon.

    Its figures are of one moment, before its balloon moved; what the
    hypervisor measures is of a later one. But it never had more than was
    measured before and after.
    """
    _least_kib, most_kib = _had_kib(before, seen)
    had_kib = min(most_kib, seen.sample.mem_total_kib + outside_kib)
    return max(0, had_kib + (seen.sample.self_more_kib or 0))


def _used_kib(seen: Observation, unmanaged_kib: int) -> int:
    sample = seen.sample
    used_kib = sample.ram_used_kib + sample.swap_used_kib + unmanaged_kib
    return min(seen.flavor_kib, max(0, used_kib))


def _elapsed_s(before: GuestDemand | None, seen: Observation) -> float:
    if before is None:
        return 0.0
    return max(0.0, seen.sample.time_s - before.sample.time_s)


def _averages(
    before: GuestDemand | None,
    used_kib: int,
    elapsed_s: float,
    settings: DemandSettings,
) -> tuple[float, float, float]:
    """Give the fast average, the slow one, and the highest peak."""
    if before is None:
        return float(used_kib), float(used_kib), float(used_kib)
    fast_kib = _approach(before.fast_kib, used_kib, elapsed_s, settings.rise_s)
    slow_kib = _approach(
        before.slow_kib, fast_kib, elapsed_s, settings.decay_s
    )
    peak_kib = _approach(
        before.peak_kib, fast_kib, elapsed_s, settings.peak_memory_s
    )
    return fast_kib, max(fast_kib, slow_kib), max(fast_kib, peak_kib)


def _approach(
    value: float, goal: float, elapsed_s: float, constant_s: float
) -> float:
    """Move ``value`` to ``goal`` as an exponential average does."""
    return goal + (value - goal) * math.exp(-elapsed_s / constant_s)


def _head_room_kib(used_kib: int, settings: DemandSettings) -> int:
    return int(used_kib * settings.head_room_share) + settings.head_room_kib


def _last_room_kib(room_kib: int) -> int:
    """Give the part of the head room below which a guest is starved."""
    return min(int(room_kib * _EXHAUSTED_SHARE), _MOST_LAST_ROOM_KIB)


def _exhausted(seen: Observation, last_room_kib: int) -> tuple[str, ...]:
    available_kib = seen.sample.mem_available_kib
    if available_kib >= last_room_kib:
        return ()
    return (f"only {available_kib} KiB available",)


def _recovers(seen: Observation, firm_kib: int) -> bool:
    """Whether it has room for all it has in swap.

    It is on its way back then: that takes time, and more memory wouldn't
    make it shorter.
    """
    return seen.sample.swap_used_kib > 0 and firm_kib <= seen.actual_kib


def _rates(
    before: GuestDemand,
    seen: Observation,
    elapsed_s: float,
    settings: DemandSettings,
) -> tuple[str, ...]:
    if elapsed_s <= 0:
        return ()
    reasons: tuple[str, ...] = ()
    swap_in = _grown(before.sample.swap_in_kib, seen.sample.swap_in_kib)
    if swap_in / elapsed_s >= settings.swap_in_high_kib_s:
        reasons += (f"swaps in {swap_in / elapsed_s:.0f} KiB/s",)
    stalled_us = _grown(before.sample.psi_some_us, seen.sample.psi_some_us)
    percent = 100.0 * stalled_us / _US_PER_S / elapsed_s
    if percent >= settings.psi_high_percent:
        reasons += (f"stalls for memory {min(percent, 100.0):.0f} %",)
    return reasons


def _grown(before: int | None, now: int | None) -> int:
    # A counter that went back is a guest that rebooted: no rate this time.
    if before is None or now is None:
        return 0
    return max(0, now - before)


def _starved_passes(before: GuestDemand | None, starved: bool) -> int:
    if not starved:
        return 0
    return 1 if before is None else before.starved_passes + 1


def _raised_kib(
    before: GuestDemand | None,
    seen: Observation,
    starved_passes: int,
    base_kib: float,
    elapsed_s: float,
    settings: DemandSettings,
) -> float:
    if starved_passes >= STARVED_TWICE:
        return seen.flavor_kib
    if starved_passes:
        raised_kib = seen.actual_kib * (1 + _STARVED_RAISE_SHARE)
        return max(raised_kib, before.raised_kib if before else 0.0)
    if before is None or before.raised_kib <= base_kib:
        return 0.0
    # It has what it uses: what was raised blindly has done its work.
    return _approach(before.raised_kib, base_kib, elapsed_s, settings.rise_s)
