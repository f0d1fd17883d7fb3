# SPDX-License-Identifier: Apache-2.0
"""Floors and starts by the size of the flavor."""

import matplotlib.pyplot as plt

from nova_xen_overcommit.policy import floor

_KIB_PER_MIB = 1024
_FLOOR_SHARE, _START_SHARE = 0.02, 0.25


def draw() -> None:
    """Draw them."""
    flavors_kib = [64 * 1.1**n * _KIB_PER_MIB for n in range(76)]
    floors = [floor.floor_kib(int(kib), _FLOOR_SHARE) for kib in flavors_kib]
    starts = [
        floor.start_kib(int(kib), floor_kib, _START_SHARE)
        for kib, floor_kib in zip(flavors_kib, floors, strict=True)
    ]
    olds = [floor.xenballoond_floor_kib(int(kib)) for kib in flavors_kib]
    gib = [kib / _KIB_PER_MIB / 1024 for kib in flavors_kib]
    _figure, axes = plt.subplots()
    for label, figures_kib, style in (
        ("flavor", flavors_kib, "k:"),
        ("least at start (start_share 0.25)", starts, "C2-"),
        ("floor (floor_share 0.02)", floors, "C0-"),
        ("xenballoond's minimum of 2008", olds, "C1--"),
    ):
        mib = [kib / _KIB_PER_MIB for kib in figures_kib]
        axes.plot(gib, mib, style, label=label)
    axes.set(
        title="Floors", xlabel="flavor, GiB", ylabel="MiB",
        xscale="log", yscale="log",
    )  # fmt: skip
    axes.set_xticks(
        [0.125, 0.5, 2, 8, 32, 64], ["⅛", "½", "2", "8", "32", "64"]
    )
    axes.legend()


draw()
