# SPDX-License-Identifier: Apache-2.0
"""Which bound decides a promise, guest by guest."""

import matplotlib.pyplot as plt

from nova_xen_overcommit.policy import floor, promise

_MIB = 1024
_FLAVOR_KIB = 1024 * _MIB
_PEAK_KIB = 260 * _MIB
_FLOORS = floor.FloorRule(0.02, guest_swap=True)
_RATIO = 4.0
_USABLE_KIB = 32 * 1024 * _MIB


def account(guests: int, swap_share: float, ratio: float) -> promise.Account:
    """Give a host of 32 GiB with so many idle guests of 1 GiB."""
    swap_kib = int(_FLAVOR_KIB * swap_share)
    floor_kib = _FLOORS.floor_kib(_FLAVOR_KIB, swap_kib)
    return promise.Account(
        usable_kib=_USABLE_KIB,
        reserve_kib=128 * _MIB,
        committed_kib=guests * _FLAVOR_KIB,
        peak_kib=guests * max(_PEAK_KIB, floor_kib),
        floors_kib=guests * floor_kib,
        overhead_kib=0,
        floor_share=floor_kib / _FLAVOR_KIB,
        max_ratio=ratio,
        swap_kib=guests * swap_kib,
    )


def draw() -> None:
    """Draw it."""
    _figure, axes = plt.subplots(figsize=(8, 4))
    counts = range(135)
    for label, swap_share, ratio, style in (
        (
            "swap as large as memory, max_overcommit_ratio 4",
            1.0,
            _RATIO,
            "C0-",
        ),
        ("swap as large as memory, max_overcommit_ratio 2", 1.0, 2.0, "C2-"),
        ("swap half as large, max_overcommit_ratio 4", 0.5, _RATIO, "C1-"),
        ("no swap", 0.0, _RATIO, "C3-"),
    ):
        made = [
            promise.promise(account(count, swap_share, ratio))
            for count in counts
        ]
        gib = [one.promise_kib / _MIB / 1024 for one in made]
        axes.plot(counts, gib, style, label=label)
    placed = [count * _FLAVOR_KIB / _MIB / 1024 for count in counts]
    axes.plot(counts, placed, "k:", label="placed: a promise here is used up")
    axes.set(
        title="32 GiB, guests of 1 GiB that need 260 MiB at their peak",
        xlabel="guests", ylabel="promise, GiB",
    )  # fmt: skip
    axes.legend(fontsize=8)


draw()
