# SPDX-License-Identifier: Apache-2.0
"""What a guest needs that says nothing, from what is seen from outside.

Seen are its disks' counters, as the host counts them, and whether its
balloon follows. From them comes a demand: the whole flavor until it is known
to be calm, then one small step below what it has, as long as it stays calm.
After each step it is watched anew, as Senpai does (Weiner et al., "TMO",
ASPLOS 2022: at most 1 % each 6 s). It hurts when

* its swap disk is read or written above a small rate: it has nothing left
  that could be taken at no cost;
* its other disks are read far above the rate that was usual before anything
  was taken: page cache that it needed is read again;
* its balloon begins to follow, and stalls: its kernel finds no more pages.

Then it is given back more than it was last comfortable with, and its whole
flavor when it still hurts. It is held off after that for a time that
doubles with each pain.

A guess costs a guest at most half of its flavor, and no more than its swap
disk holds: its memory and swap together are never less than the memory it
was promised, so it may become slow for seconds, but is never killed for it.

All sizes are KiB, all times seconds.
"""

import dataclasses
import enum

from nova_xen_overcommit.policy import traffic
from nova_xen_overcommit.policy.progress import Progress, Status

# How long a guest must be calm before anything is taken from it at all, and
# between two steps: pages that are missed are missed within seconds.
CALM_S = 60.0
STEP_EVERY_S = 10.0
_STEP_DIVISOR = 100
# The planner may ask for a part of a step; half of it is still worth moving.
_LEAST_DEAD_BANDS = 2
_FLOOR_DIVISOR = 2
# Reads of files are far above the usual rate at four times of it. A guest
# that reads nothing is granted 1 MiB/s: a step read back in the time of one.
_USUAL_TIMES = 4
_USUAL_MORE_KIB_S = 1024
FIRST_HOLD_S = 120.0
MAX_HOLD_S = 4 * 3600.0
_MOST_DOUBLINGS = 16
# Counters that old say nothing of what a step did, whatever the tick is.
STALE_S = 5.0
# A guest that can't be looked at for longer gets back what was taken.
BLIND_S = 60.0
# Where passes are that far apart, nothing was missed between two of them.
_MAX_GAP_S = 90.0
# A balloon that moved less did not begin to follow. Guests of libxl are
# known to rest 1 MiB beside their targets.
_MOVED_KIB = 1024
_OFFSET_KIB = 2 * 1024


class Phase(enum.Enum):
    """What is done with a guest that is probed."""

    UNKNOWN = "not known to be calm yet"
    WATCHED = "watched"
    OPEN = "one step may be taken"
    FLOOR = "at the floor of guests that say nothing"
    HELD_OFF = "held off"
    BLIND = "its disks can't be read"


@dataclasses.dataclass(frozen=True, slots=True)
class ProbeSettings:
    """Which rate on the swap disk hurts, and the planner's dead band."""

    swap_kib_s: int = 64
    dead_band_kib: int = 8 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """One look at a guest; ``counters`` is None when they weren't read.

    ``swap_kib`` is the size of its swap disk, ``floor_kib`` the floor that
    holds for it anyway.
    """

    time_s: float
    counters: traffic.DiskCounters | None
    progress: Progress
    flavor_kib: int
    floor_kib: int
    swap_kib: int

    @property
    def target_kib(self) -> int:
        """What it was told to have."""
        return self.progress.target_kib

    @property
    def rests(self) -> bool:
        """Whether it has what it was told to have."""
        return self.progress.status is Status.SETTLED

    @property
    def least_kib(self) -> int:
        """The floor of guests that say nothing."""
        half_kib = -(-self.flavor_kib // _FLOOR_DIVISOR)
        unswappable_kib = self.flavor_kib - self.swap_kib
        least_kib = max(self.floor_kib, half_kib, unswappable_kib)
        return min(self.flavor_kib, least_kib)


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """What is known of a probed guest.

    ``demand_kib`` lies between ``least_kib``, the floor of guests that say
    nothing, and the flavor. ``until_s`` is when the phase may end.
    ``rested_kib`` is what it had when it last rested, ``offset_kib`` how far
    beside its target that was, ``top_kib`` the most it had while probed,
    ``comfort_kib`` what it was last comfortable with (0: not known).
    ``pains`` counts; ``signs`` says in words how it last hurt, ``hurts``
    whether it does now, ``stalled`` whether its balloon stalls.
    """

    demand_kib: int
    least_kib: int
    target_kib: int
    rested_kib: int
    top_kib: int
    calm_since_s: float
    disks: traffic.Traffic
    offset_kib: int = 0
    phase: Phase = Phase.UNKNOWN
    until_s: float = 0.0
    comfort_kib: int = 0
    pains: int = 0
    hold_until_s: float = 0.0
    forgiven_s: float = 0.0
    hurts: bool = False
    stalled: bool = False
    signs: tuple[str, ...] = ()

    @property
    def took(self) -> bool:
        """Whether it has less than it had, by our doing."""
        return self.comfort_kib > 0 and self.target_kib < self.top_kib

    @property
    def opens(self) -> bool:
        """Whether a step may be taken from it."""
        return self.phase is Phase.OPEN


def step_kib(flavor_kib: int, dead_band_kib: int) -> int:
    """Give what is taken at once: 1 % of the flavor, if worth moving."""
    worth_kib = max(1, _LEAST_DEAD_BANDS * dead_band_kib)
    return max(worth_kib, flavor_kib // _STEP_DIVISOR)


def hold_off_s(pains: int) -> float:
    """Give how long a guest is left alone after so many pains."""
    doublings = min(_MOST_DOUBLINGS, max(0, pains - 1))
    return min(MAX_HOLD_S, FIRST_HOLD_S * 2.0**doublings)


def observe(
    before: Probe | None, look: Look, settings: ProbeSettings
) -> Probe | None:
    """Give what is known after ``look``; called in each pass.

    ``before`` is what the last call for this guest gave, None at first. A
    guest whose disks were never read isn't probed: None.
    """
    if before is None:
        return None if look.counters is None else _begun(look, look.counters)
    now = _disks_seen(_balloon_seen(before, look), look)
    signs = _signs(now, look, settings)
    now = dataclasses.replace(
        now,
        hurts=bool(signs),
        disks=now.disks.closed(
            early=bool(signs), learns=not now.took and not signs
        ),
    )
    if signs:
        return _hurt(now, look, signs, settings)
    return _calm(now, look, settings)


def paused(before: Probe, look: Look) -> Probe:
    """Give what is known of a guest that can't be judged for a while.

    It isn't touched now, and is watched anew when it may be.
    """
    return dataclasses.replace(
        before,
        calm_since_s=look.time_s,
        target_kib=look.target_kib,
        disks=traffic.begun_anew(before.disks, look.time_s),
        hurts=False,
        stalled=False,
        phase=Phase.WATCHED,
        until_s=look.time_s + STEP_EVERY_S,
    )


def _begun(look: Look, counters: traffic.DiskCounters) -> Probe:
    return Probe(
        demand_kib=look.flavor_kib,
        least_kib=look.least_kib,
        target_kib=look.target_kib,
        rested_kib=look.progress.actual_kib,
        offset_kib=look.progress.offset_kib,
        top_kib=look.target_kib,
        calm_since_s=look.time_s,
        disks=traffic.begun(counters, look.time_s),
        until_s=look.time_s + CALM_S,
    )


def _balloon_seen(before: Probe, look: Look) -> Probe:
    """Take in where the balloon is; who moves is not calm yet."""
    progress = look.progress
    still = look.rests and look.target_kib == before.target_kib
    stalled = _stalls(before, progress)
    rested = look.rests and not stalled
    return dataclasses.replace(
        before,
        least_kib=look.least_kib,
        target_kib=look.target_kib,
        rested_kib=progress.actual_kib if rested else before.rested_kib,
        offset_kib=progress.offset_kib if rested else before.offset_kib,
        top_kib=max(before.top_kib, look.target_kib if rested else 0),
        calm_since_s=before.calm_since_s if still else look.time_s,
        stalled=stalled,
    )


def _stalls(before: Probe, progress: Progress) -> bool:
    """Tell whether the balloon began to follow downwards and stopped."""
    above_kib = progress.actual_kib - progress.target_kib
    if above_kib <= 0 or progress.actual_kib > before.rested_kib - _MOVED_KIB:
        # One that doesn't move at all has no balloon: that is no pain.
        return False
    if progress.status is Status.STUCK:
        return True
    # So near to its target it is taken to rest, where it never rested.
    rests = progress.status is Status.SETTLED
    return rests and above_kib > before.offset_kib + _OFFSET_KIB


def _disks_seen(now: Probe, look: Look) -> Probe:
    """Take in the counters; nobody is calm who isn't seen to be."""
    if look.counters is None:
        if look.time_s - now.disks.seen_s <= STALE_S:
            return now
        return dataclasses.replace(now, calm_since_s=look.time_s)
    disks, unbroken = traffic.seen(
        now.disks, look.counters, look.time_s, _MAX_GAP_S
    )
    return dataclasses.replace(
        now,
        disks=disks,
        calm_since_s=now.calm_since_s if unbroken else look.time_s,
    )


def _signs(now: Probe, look: Look, settings: ProbeSettings) -> tuple[str, ...]:
    signs = ["its balloon stalls"] if now.stalled else []
    if look.counters is None:
        return tuple(signs)
    rates = now.disks.now()
    if rates.swap_read > settings.swap_kib_s:
        signs.append(f"swap disk read at {rates.swap_read:.0f} KiB/s")
    if rates.swap_written > settings.swap_kib_s:
        signs.append(f"swap disk written at {rates.swap_written:.0f} KiB/s")
    usual_kib_s = now.disks.usual_kib_s or 0.0
    most_kib_s = _USUAL_TIMES * usual_kib_s + _USUAL_MORE_KIB_S
    if now.took and rates.file_read > most_kib_s:
        signs.append(
            f"files read at {rates.file_read:.0f} KiB/s, usual "
            f"{usual_kib_s:.0f}"
        )
    return tuple(signs)


def _hurt(
    now: Probe, look: Look, signs: tuple[str, ...], settings: ProbeSettings
) -> Probe:
    now = dataclasses.replace(now, signs=signs, calm_since_s=look.time_s)
    if not now.took:
        # It is its own doing, but nothing may be taken until it is calm.
        until_s = look.time_s + CALM_S
        return _phase(
            now,
            Phase.UNKNOWN,
            look.flavor_kib,
            until_s=until_s,
            comfort_kib=0,
        )
    again = look.time_s < now.hold_until_s
    pains = now.pains if again else now.pains + 1
    until_s = look.time_s + hold_off_s(pains)
    one_kib = step_kib(look.flavor_kib, settings.dead_band_kib)
    back_kib = look.flavor_kib if again else now.comfort_kib + one_kib
    return dataclasses.replace(
        now,
        phase=Phase.HELD_OFF,
        demand_kib=min(look.flavor_kib, max(now.least_kib, back_kib)),
        pains=pains,
        hold_until_s=until_s,
        until_s=until_s,
    )


def _calm(now: Probe, look: Look, settings: ProbeSettings) -> Probe:
    unseen_s = look.time_s - now.disks.seen_s
    if unseen_s > BLIND_S:
        return _phase(now, Phase.BLIND, look.flavor_kib, comfort_kib=0)
    held_until_s = now.hold_until_s
    if look.time_s < held_until_s:
        return _phase(
            now, Phase.HELD_OFF, now.demand_kib, until_s=held_until_s
        )
    calm_s = look.time_s - now.calm_since_s
    if not now.comfort_kib and calm_s < CALM_S:
        until_s = now.calm_since_s + CALM_S
        return _phase(now, Phase.UNKNOWN, look.flavor_kib, until_s=until_s)
    has_kib = max(now.least_kib, look.target_kib)
    if unseen_s > STALE_S:
        return _phase(now, Phase.BLIND, has_kib)
    if calm_s < STEP_EVERY_S:
        until_s = now.calm_since_s + STEP_EVERY_S
        return _phase(now, Phase.WATCHED, has_kib, until_s=until_s)
    return _comfortable(_forgiven(now, look), look, settings)


def _comfortable(now: Probe, look: Look, settings: ProbeSettings) -> Probe:
    """Open the next step, if there is one above the floor."""
    target_kib = look.target_kib
    one_kib = step_kib(look.flavor_kib, settings.dead_band_kib)
    lower_kib = max(now.least_kib, target_kib - one_kib)
    opens = target_kib - lower_kib >= max(1, settings.dead_band_kib)
    return _phase(
        now,
        Phase.OPEN if opens else Phase.FLOOR,
        lower_kib if opens else max(now.least_kib, target_kib),
        comfort_kib=target_kib,
    )


def _forgiven(now: Probe, look: Look) -> Probe:
    """Forget one pain for each long time of probing without any."""
    since_s = max(now.hold_until_s, now.forgiven_s)
    if not now.pains or look.time_s - since_s < MAX_HOLD_S:
        return now
    return dataclasses.replace(
        now, pains=now.pains - 1, forgiven_s=look.time_s
    )


def _phase(
    now: Probe,
    phase: Phase,
    demand_kib: int,
    *,
    until_s: float = 0.0,
    comfort_kib: int | None = None,
) -> Probe:
    return dataclasses.replace(
        now,
        phase=phase,
        demand_kib=demand_kib,
        until_s=until_s,
        comfort_kib=now.comfort_kib if comfort_kib is None else comfort_kib,
    )
