# SPDX-License-Identifier: Apache-2.0
"""Who gives and who gets: a plan with enough for all, and one without."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from nova_xen_overcommit.policy import floor, targets
from nova_xen_overcommit.policy.planning import Guest, Host, TargetSettings

_MIB = 1024
_FLAVOR_KIB = 1024 * _MIB
_NAMES = ("idle", "idle,\na peak before", "busy", "in need", "weight 2")


def guest(
    name: str, target_mib: int, used_mib: int, peak_mib: int, weight: float
) -> Guest:
    """Give a guest of 1 GiB."""
    firm_kib = int(used_mib * _MIB * 1.1) + 32 * _MIB
    return Guest(
        uuid=name,
        flavor_kib=_FLAVOR_KIB,
        floor_kib=floor.floor_kib(_FLAVOR_KIB, 0.02),
        actual_kib=target_mib * _MIB,
        target_kib=target_mib * _MIB,
        demand_kib=firm_kib,
        used_kib=used_mib * _MIB,
        weight=weight,
        firm_kib=firm_kib,
        bare_kib=used_mib * _MIB + 30 * _MIB,
        hoped_kib=max(firm_kib, (used_mib + peak_mib) * _MIB // 2),
    )


def panel(axes: Axes, title: str, guests: list[Guest], free_mib: int) -> None:
    """Draw what one plan does."""
    host = Host(free_mib * _MIB, 128 * _MIB, 16 * _MIB)
    settings = TargetSettings(max_step_kib=_FLAVOR_KIB)
    decisions = targets.plan(guests, host, settings)
    places = range(len(guests))
    bars = (
        ("before", -0.27, [g.target_kib for g in guests], "C7"),
        ("firm need", 0.0, [g.firm_need_kib for g in guests], "C2"),
        ("target", 0.27, [decisions[g.uuid].target_kib for g in guests], "C0"),
    )
    for label, shift, figures_kib, colour in bars:
        axes.bar(
            [place + shift for place in places],
            [kib / _MIB for kib in figures_kib],
            width=0.26, color=colour, label=label,
        )  # fmt: skip
    floor_mib = guests[0].floor_kib / _MIB
    axes.axhline(floor_mib, color="C3", linestyle=":", label="floor")
    axes.set(title=title, ylabel="MiB", ylim=(0, 1150))
    axes.set_xticks(places, _NAMES, fontsize=8)


def draw() -> None:
    """Draw both."""
    _figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    for axes, title, uses, free_mib in (
        (left, "Enough for all", (150, 150, 450, 700, 300), 128),
        (right, "Not enough for all", (450, 500, 650, 800, 700), 128),
    ):
        targets_mib = (620, 620, 560, 450, 620)
        peaks = (150, 900, 450, 700, 300)
        weights = (1.0, 1.0, 1.0, 1.0, 2.0)
        guests = [
            guest(name, *figures)
            for name, *figures in zip(
                _NAMES, targets_mib, uses, peaks, weights, strict=True
            )
        ]
        panel(axes, title, guests, free_mib)
    left.legend(loc="upper left", ncols=2, fontsize=8)


draw()
