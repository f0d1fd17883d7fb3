# SPDX-License-Identifier: Apache-2.0
"""Scenarios from a real trace of guests' memory, kept outside this project.

The file is an npz with ``vm_ids``, ``configured_mib``, ``t_seconds`` and, by
guest and time, ``active_mib`` and ``granted_mib`` (NaN: no sample), as made
from GWA-T-12 Bitbrains (Shen, van Beek, Iosup, CCGrid 2015). Programs want
what was active; what was granted beyond that is files to cache.
"""

import random
from pathlib import Path

import numpy

from tests.simulator.memory import GIB, KERNEL_KIB, MIB
from tests.simulator.scenario import GuestPlan, Scenario
from tests.simulator.workload import Course

_SECONDS = 2 * 3600.0
_GUESTS = 20
# An outlier of half a TiB would be a host of its own.
_MOST_MIB = 64 * 1024
# Real hardware balloons an order faster than an emulated host.
_SPEED_KIB_S = GIB
_KEPT_KIB = 2 * GIB
# The host has this share of the guests' highest summed need in the window:
# at the peak it is just short.
_HOST_SHARE = 0.97


def scenarios(path: Path, seed: int) -> list[Scenario]:
    """Give a host of guests drawn by chance, and one of a group's kin.

    Neighbours in the trace are machines of one service: they burst at the
    same time. Each is played for two hours about its highest sum.
    """
    with numpy.load(path) as data:
        trace = {name: data[name] for name in data.files}
    whole = numpy.isfinite(trace["active_mib"]).mean(axis=1) > 0.5
    small = trace["configured_mib"] <= _MOST_MIB
    known = [int(index) for index in numpy.flatnonzero(whole & small)]
    rng = random.Random(f"trace-{seed}")
    first = rng.randrange(len(known) - _GUESTS)
    return [
        _scenario("trace-mixed", trace, rng.sample(known, _GUESTS)),
        _scenario("trace-kin", trace, known[first : first + _GUESTS]),
    ]


def _scenario(
    name: str, trace: dict[str, numpy.ndarray], indexes: list[int]
) -> Scenario:
    wants_mib = numpy.nan_to_num(trace["active_mib"][indexes])
    granted_mib = numpy.nan_to_num(trace["granted_mib"][indexes])
    flavors_kib = [int(trace["configured_mib"][i]) * MIB for i in indexes]
    times_s = trace["t_seconds"]
    count = int(_SECONDS / float(times_s[1] - times_s[0]))
    first = _before_peak(wants_mib.sum(axis=0), count)
    window = slice(first, first + count)
    wants_mib, granted_mib = wants_mib[:, window], granted_mib[:, window]
    usable_kib = _usable_kib(wants_mib, flavors_kib)
    shared = (usable_kib * 0.95) / sum(flavors_kib)
    plans = [
        GuestPlan(
            course=_course(times_s[window], wants_mib[row], flavor_kib),
            flavor_kib=flavor_kib,
            actual_kib=min(flavor_kib, int(flavor_kib * shared)),
            file_kib=_files_kib(granted_mib[row], wants_mib[row]),
        )
        for row, flavor_kib in enumerate(flavors_kib)
    ]
    return Scenario(
        name=name,
        seconds=_SECONDS,
        guests=plans,
        physical_kib=usable_kib + _KEPT_KIB,
        kept_kib=_KEPT_KIB,
        speed_kib_s=_SPEED_KIB_S,
        settle_s=120.0,
        step_s=1.0,
    )


def _before_peak(sums_mib: numpy.ndarray, count: int) -> int:
    first = int(sums_mib.argmax()) - count // 2
    return max(0, min(first, len(sums_mib) - count))


def _usable_kib(wants_mib: numpy.ndarray, flavors_kib: list[int]) -> int:
    """Give a host size at which the peak is just too much.

    Never so small that the guests' floors don't fit.
    """
    peak_kib = int(wants_mib.sum(axis=0).max()) * MIB
    peak_kib += len(flavors_kib) * KERNEL_KIB
    floors_kib = sum(max(kib // 10, 256 * MIB) for kib in flavors_kib)
    return max(int(peak_kib * _HOST_SHARE), int(floors_kib * 1.1))


def _course(
    times_s: numpy.ndarray, wants_mib: numpy.ndarray, flavor_kib: int
) -> Course:
    most_kib = flavor_kib - KERNEL_KIB
    return Course(
        [float(time_s - times_s[0]) for time_s in times_s],
        [min(most_kib, int(mib * MIB)) for mib in wants_mib],
    )


def _files_kib(granted_mib: numpy.ndarray, wants_mib: numpy.ndarray) -> int:
    return max(0, int((granted_mib - wants_mib).mean())) * MIB
