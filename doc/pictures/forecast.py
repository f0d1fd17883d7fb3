# SPDX-License-Identifier: Apache-2.0
"""A host's summed demand over two weeks, and the peaks foretold for it."""

import math
import random

import matplotlib.pyplot as plt

from nova_xen_overcommit.policy.predictors import GuestPast, HostPast, Surge

_MIB = 1024
_STEP_S = 900
_DAY = 86400 // _STEP_S
_GUESTS = 20
_FLAVOR_KIB = 1024 * _MIB


def sums_kib() -> list[int]:
    """Give the sum at each step: days and nights, and a surge on day 9."""
    draw = random.Random(1)  # noqa: S311 # for a picture that stays
    sums = []
    for step in range(14 * _DAY):
        day = 1 + 0.25 * math.sin(2 * math.pi * (step / _DAY - 0.3))
        surge = 3400 if 9.3 * _DAY <= step < 9.4 * _DAY else 0
        noise = abs(draw.gauss(0, 120))
        sums.append(int((4800 * day + noise + surge) * _MIB))
    return sums


def foretold_kib(sums: list[int], step: int, risk: float) -> int:
    """Give the peak foretold from the week before a step."""
    known = sums[max(0, step - 7 * _DAY) : step]
    peak_kib = max(known) // _GUESTS
    guests = [GuestPast(_FLAVOR_KIB, len(known), peak_kib)] * _GUESTS
    past = HostPast(_STEP_S, step * _STEP_S, known, guests)
    # As the agent does: guests can't need more than their flavors.
    return min(_GUESTS * _FLAVOR_KIB, Surge(risk=risk).peak_kib(past))


def draw() -> None:
    """Draw it."""
    sums = sums_kib()
    steps = range(_DAY // 8, len(sums), 4)
    _figure, axes = plt.subplots(figsize=(9, 4))
    days = [step / _DAY for step in steps]
    axes.fill_between(
        [step / _DAY for step in range(len(sums))],
        [kib / _MIB / 1024 for kib in sums],
        alpha=0.35, label="demand of 20 guests",
    )  # fmt: skip
    for risk, style in ((0.001, "C1-"), (0.0001, "C3--")):
        peaks = [foretold_kib(sums, s, risk) / _MIB / 1024 for s in steps]
        axes.plot(days, peaks, style, label=f"foretold peak, risk {risk:g}")
    axes.axhline(20, color="k", linestyle=":", label="their flavors")
    axes.set(
        title="What the predictor surge foretells, hour by hour",
        xlabel="days", ylabel="GiB", ylim=(0, 22),
    )  # fmt: skip
    axes.legend(loc="upper left", ncols=2, bbox_to_anchor=(0.1, 0.9))


draw()
