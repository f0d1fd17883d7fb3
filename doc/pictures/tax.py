# SPDX-License-Identifier: Apache-2.0
"""What the idle tax does to a guest's claim."""

import matplotlib.pyplot as plt

from nova_xen_overcommit.policy.planning import Guest
from nova_xen_overcommit.policy.shortage import taxed_weight

_FLAVOR_KIB = 1024 * 1024


def claim(used_percent: int, tax: float) -> float:
    """Give the claim of a guest of 1 GiB that asks for all of it."""
    guest = Guest(
        uuid="",
        flavor_kib=_FLAVOR_KIB,
        floor_kib=0,
        actual_kib=_FLAVOR_KIB,
        target_kib=_FLAVOR_KIB,
        demand_kib=_FLAVOR_KIB,
        used_kib=_FLAVOR_KIB * used_percent // 100,
    )
    return taxed_weight(guest, tax) / _FLAVOR_KIB


def draw() -> None:
    """Draw it."""
    _figure, axes = plt.subplots(figsize=(7, 3.2))
    percents = range(101)
    for tax in (0.0, 0.5, 0.75, 0.9):
        claims = [claim(percent, tax) for percent in percents]
        axes.plot(percents, claims, label=f"idle_tax = {tax:g}")
    axes.set(
        title="Claim to memory under shortage",
        xlabel="% of what the guest claims that is in use",
        ylabel="claim per MiB of flavor", ylim=(0, 1.05),
    )  # fmt: skip
    axes.legend()


draw()
