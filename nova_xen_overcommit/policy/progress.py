# SPDX-License-Identifier: Apache-2.0
"""Whether a guest follows its target.

A guest settles, moves, is stuck (no progress for some seconds: nothing more
is expected from it) or uncooperative (none for longer: it is left where it
is, counts in full, and is tried again with growing delays). Times and their
meaning after xapi's squeezed.

Some guests settle at a constant distance from every target (an HVM guest of
libxl at 1 MiB below): that offset is learnt, not taken for disobedience.
"""

import dataclasses
import enum
import math


class Status(enum.Enum):
    """How a guest follows its target."""

    SETTLED = "settled"
    MOVING = "moving"
    STUCK = "stuck"
    UNCOOPERATIVE = "uncooperative"


_COOPERATING = (Status.SETTLED, Status.MOVING)


@dataclasses.dataclass(frozen=True, slots=True)
class ProgressSettings:
    """Patience in seconds and tolerance in KiB."""

    stuck_after_s: float = 5.0
    uncooperative_after_s: float = 20.0
    retry_s: float = 60.0
    max_retry_s: float = 3600.0
    tolerance_kib: int = 1024
    max_offset_kib: int = 8 * 1024
    calibrate_after_s: float = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far a guest has followed; see :func:`advance`.

    ``progress_s`` is when it last came nearer to its target, ``best_kib``
    its smallest distance so far, ``offset_kib`` the learnt distance at
    which it rests (actual − target), ``failures`` how often in a row it
    became uncooperative, ``retry_at_s`` when it may be tried again,
    ``asked_s`` when its target was set. It has had ``stood_kib``, give or
    take the tolerance, since ``stood_s``.
    """

    target_kib: int
    actual_kib: int
    progress_s: float
    best_kib: int
    status: Status = Status.SETTLED
    offset_kib: int = 0
    failures: int = 0
    retry_at_s: float = 0.0
    asked_s: float = -math.inf
    stood_kib: int = 0
    stood_s: float = -math.inf

    @property
    def expected_kib(self) -> int:
        """What the guest will have when it has followed."""
        return self.target_kib + self.offset_kib

    def rests(self, target_kib: int, actual_kib: int) -> bool:
        """Tell whether it has settled, and nothing is new since then."""
        return (
            self.status is Status.SETTLED
            and target_kib == self.target_kib
            and actual_kib == self.actual_kib
        )

    def waits(self, now_s: float) -> bool:
        """Tell whether it was given up and may not be tried again yet."""
        lost = self.status is Status.UNCOOPERATIVE
        return lost and now_s < self.retry_at_s

    @property
    def cooperates(self) -> bool:
        """Whether anything may be expected of the guest."""
        return self.status in _COOPERATING


def start(target_kib: int, actual_kib: int, now_s: float) -> Progress:
    """Begin to watch a guest that was just found."""
    gap_kib = abs(actual_kib - target_kib)
    return Progress(
        target_kib,
        actual_kib,
        now_s,
        gap_kib,
        stood_kib=actual_kib,
        stood_s=now_s,
    )


def advance(
    before: Progress,
    target_kib: int,
    actual_kib: int,
    now_s: float,
    settings: ProgressSettings,
    may_rest_below: bool = False,
) -> Progress:
    """Give the progress after a measurement of ``actual_kib``.

    ``may_rest_below``: the target is only the most that the guest may have,
    so it has arrived wherever it is below.
    """
    if target_kib != before.target_kib:
        before = _retargeted(before, target_kib, actual_kib, now_s, settings)
    if abs(actual_kib - before.stood_kib) > settings.tolerance_kib:
        before = dataclasses.replace(
            before, stood_kib=actual_kib, stood_s=now_s
        )
    gap_kib = abs(actual_kib - before.expected_kib)
    if may_rest_below and actual_kib < before.expected_kib:
        gap_kib = 0
    if gap_kib <= settings.tolerance_kib:
        if before.rests(target_kib, actual_kib):
            # As most do. Its clock starts when it no longer does.
            return before
        return _settled(before, actual_kib, now_s, gap_kib)
    if before.status is Status.SETTLED:
        # How near it was before it went away is no measure of its way back.
        before = dataclasses.replace(
            before, progress_s=now_s, best_kib=gap_kib
        )
    if before.best_kib - gap_kib >= settings.tolerance_kib:
        return dataclasses.replace(
            before,
            actual_kib=actual_kib,
            progress_s=now_s,
            best_kib=gap_kib,
            status=Status.MOVING,
        )
    return _waiting(before, actual_kib, now_s, settings)


def _retargeted(
    before: Progress,
    target_kib: int,
    actual_kib: int,
    now_s: float,
    settings: ProgressSettings,
) -> Progress:
    # Who is told to keep what it has begins there, wherever it would rest:
    # else a little that it moves by itself would look like obedience.
    offset_kib = 0 if before.waits(now_s) else before.offset_kib
    gap_kib = abs(actual_kib - target_kib - offset_kib)
    # Nobody earns new patience by being asked for less or more: only memory
    # that moves does, and what has moved since the last progress counts on.
    rested = before.status is Status.SETTLED
    retried = not before.cooperates and now_s >= before.retry_at_s > 0
    # To be told to keep what it has is no trial.
    stays = abs(actual_kib - target_kib) <= settings.tolerance_kib
    fresh = rested or (retried and not stays)
    moved_kib = before.best_kib - abs(actual_kib - before.expected_kib)
    return dataclasses.replace(
        before,
        target_kib=target_kib,
        offset_kib=offset_kib,
        asked_s=now_s,
        actual_kib=actual_kib,
        best_kib=gap_kib if fresh else gap_kib + max(0, moved_kib),
        progress_s=now_s if fresh else before.progress_s,
        status=Status.MOVING if fresh else before.status,
    )


def _settled(
    before: Progress, actual_kib: int, now_s: float, gap_kib: int
) -> Progress:
    if before.waits(now_s):
        # Its target was set back to what it has: that is no obedience.
        return dataclasses.replace(before, actual_kib=actual_kib)
    moved = before.status is Status.MOVING
    return dataclasses.replace(
        before,
        actual_kib=actual_kib,
        progress_s=now_s,
        best_kib=gap_kib,
        status=Status.SETTLED,
        failures=0 if moved else before.failures,
    )


def _waiting(
    before: Progress,
    actual_kib: int,
    now_s: float,
    settings: ProgressSettings,
) -> Progress:
    if before.waits(now_s):
        # It was told to keep what it has: where it is now is no sign of
        # where it would rest.
        return dataclasses.replace(before, actual_kib=actual_kib)
    waited_s = now_s - before.progress_s
    near = abs(actual_kib - before.target_kib) <= settings.max_offset_kib
    # How it stood to another target says nothing of where it rests, nor does
    # where it is on its way back from farther off.
    rested_s = min(waited_s, now_s - before.asked_s, now_s - before.stood_s)
    if near and rested_s >= settings.calibrate_after_s:
        calibrated = dataclasses.replace(
            before, offset_kib=actual_kib - before.target_kib
        )
        return _settled(calibrated, actual_kib, now_s, 0)
    if before.status is Status.UNCOOPERATIVE:
        return dataclasses.replace(before, actual_kib=actual_kib)
    if waited_s >= settings.uncooperative_after_s:
        return _given_up(before, actual_kib, now_s, settings)
    stuck = waited_s >= settings.stuck_after_s
    return dataclasses.replace(
        before,
        actual_kib=actual_kib,
        status=Status.STUCK if stuck else Status.MOVING,
    )


def _given_up(
    before: Progress,
    actual_kib: int,
    now_s: float,
    settings: ProgressSettings,
) -> Progress:
    delay_s = min(settings.max_retry_s, settings.retry_s * 2**before.failures)
    return dataclasses.replace(
        before,
        actual_kib=actual_kib,
        status=Status.UNCOOPERATIVE,
        failures=before.failures + 1,
        retry_at_s=now_s + delay_s,
    )
