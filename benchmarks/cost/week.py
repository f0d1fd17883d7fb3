# SPDX-License-Identifier: Apache-2.0
"""A week of history on disk, as an agent that was here before wrote it."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from nova_xen_overcommit.agent.history import records, steps

WEEK_S = 7 * 86400
_MIB = 1024
# A guest's demand comes back each day, but for the time of day.
_DAY_STEPS = 288


def write(directory: Path, uuids: Sequence[str], until_s: int) -> None:
    """Write what guests needed in the week before ``until_s``, by the epoch.

    Each has a demand between 100 and 244 MiB in each step.
    """
    step_s = steps.length_s(WEEK_S)
    last = until_s // step_s
    numbers = range(last - steps.most(WEEK_S), last)
    for path, group in itertools.groupby(
        numbers, lambda number: records.file_of(directory, number * step_s)
    ):
        encoder = records.Encoder()
        with path.open("wb") as file:
            file.write(records.MAGIC)
            for number in group:
                file.write(encoder.encode(_step(number, step_s, uuids)))


def _step(number: int, step_s: int, uuids: Sequence[str]) -> records.HostStep:
    guests = [
        records.GuestStep(uuid, 1024 * _MIB, need_kib, need_kib)
        for index, uuid in enumerate(uuids)
        for need_kib in [_need_kib(number + index)]
    ]
    sum_kib = sum(guest.demand_kib for guest in guests)
    return records.HostStep(number * step_s, step_s, sum_kib, guests)


def _need_kib(step: int) -> int:
    return 100 * _MIB + step % _DAY_STEPS * (_MIB // 2)
