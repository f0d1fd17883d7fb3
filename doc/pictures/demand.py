# SPDX-License-Identifier: Apache-2.0
"""One guest's demand while its use rises, falls, and starves it."""

import matplotlib.pyplot as plt

from nova_xen_overcommit.policy import demand, floor
from nova_xen_overcommit.policy.sample import MemorySample

_MIB = 1024
_FLAVOR_KIB = 1024 * _MIB
_KERNEL_KIB = 64 * _MIB
_SECONDS = range(240)


def used_mib(at_s: int) -> int:
    """Give what the guest would use if it had all it wants."""
    if 30 <= at_s < 50:
        return 420
    return 700 if 150 <= at_s < 185 else 170


def play() -> list[tuple[int, demand.GuestDemand]]:
    """Give what it had and what it needed, second by second.

    It has 450 MiB, and whatever it demands a second later.
    """
    floor_kib = floor.floor_kib(_FLAVOR_KIB, 0.02)
    actual_kib, swap_kib, swap_in_kib = 450 * _MIB, 0, 0
    before: demand.GuestDemand | None = None
    played = []
    for at_s in _SECONDS:
        total_kib = actual_kib - _KERNEL_KIB
        wanted_kib = used_mib(at_s) * _MIB - _KERNEL_KIB
        in_ram_kib = min(wanted_kib, total_kib - 8 * _MIB)
        swap_in_kib += max(0, swap_kib - (wanted_kib - in_ram_kib))
        swap_kib = wanted_kib - in_ram_kib
        sample = MemorySample(
            time_s=float(at_s),
            max_age_s=15.0,
            mem_total_kib=total_kib,
            mem_available_kib=total_kib - in_ram_kib,
            swap_total_kib=_FLAVOR_KIB,
            swap_free_kib=_FLAVOR_KIB - swap_kib,
            swap_in_kib=swap_in_kib,
        )
        seen = demand.Observation(sample, actual_kib, _FLAVOR_KIB, floor_kib)
        before = demand.observe(before, seen, demand.DemandSettings())
        played.append((actual_kib, before))
        actual_kib = max(450 * _MIB, before.demand_kib)
    return played


def draw() -> None:
    """Draw it."""
    played = play()
    _figure, axes = plt.subplots()
    starved = [known.starved for _actual_kib, known in played]
    axes.fill_between(
        _SECONDS, 0, 1100, where=starved, alpha=0.25, color="C3", step="post",
        label="starved",
    )  # fmt: skip
    for label, figures_kib, style in (
        ("used", [known.used_kib for _a, known in played], "C0-"),
        ("slow average", [known.slow_kib for _a, known in played], "C1:"),
        ("firm need", [known.firm_kib for _a, known in played], "C2--"),
        ("demand", [known.demand_kib for _a, known in played], "C3-"),
        ("actual", [actual_kib for actual_kib, _k in played], "k-."),
    ):
        figures = [kib / _MIB for kib in figures_kib]
        axes.step(_SECONDS, figures, style, where="post", label=label)
    axes.set(
        title="A guest of 1 GiB that has 450 MiB",
        xlabel="seconds", ylabel="MiB", ylim=(0, 1100),
    )  # fmt: skip
    axes.legend(ncols=3, loc="upper left")


draw()
