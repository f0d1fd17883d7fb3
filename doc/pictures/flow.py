# SPDX-License-Identifier: Apache-2.0
"""The way of the data, from the guests to Placement."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

_ZONES = (
    (0.0, 2.1, "guest"),
    (2.5, 4.3, "compute host"),
    (7.2, 2.9, "control plane"),
)
_AGENT = """nova-xen-overcommit-agent
sense, demand, targets, act
history, promise, report"""
_DRIVER = "nova-compute\nXenOvercommitDriver\nreserves before a start"
_SCHEDULER = """nova-scheduler
XenOvercommitFilter (veto)
XenOvercommitWeigher"""
_BOXES = (
    (0.15, 2.3, 1.8, "publisher\nmeminfo, swap, PSI"),
    (0.15, 0.6, 1.8, "balloon driver"),
    (2.7, 2.3, 3.9, _AGENT),
    (2.7, 0.6, 3.9, _DRIVER),
    (7.35, 2.3, 2.6, _SCHEDULER),
    (7.35, 0.6, 2.6, "Placement\nMEMORY_MB capacity\n= the promise"),
)
_HIGH = 1.1
_ARROWS = (
    ((1.95, 2.85), (2.7, 2.85), "xenstore"),
    ((2.7, 2.4), (1.95, 1.5), "setMemory"),
    ((4.65, 2.3), (4.65, 1.7), "  Unix socket: report, reservations"),
    ((6.6, 1.6), (7.35, 2.4), "stats"),
    ((6.6, 0.95), (7.35, 0.95), "ratio"),
    ((8.65, 1.7), (8.65, 2.3), "  candidates"),
)


def arrow(
    axes: Axes, begin: tuple[float, float], end: tuple[float, float], text: str
) -> None:
    """Draw an arrow and what it carries."""
    axes.annotate(
        "", xy=end, xytext=begin, arrowprops={"arrowstyle": "-|>", "lw": 1.2}
    )
    middle = (begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2
    side = "left" if text.startswith(" ") else "center"
    lift = 0.0 if side == "left" else 0.08
    axes.text(middle[0], middle[1] + lift, text, ha=side, fontsize=7.5)


def draw() -> None:
    """Draw it."""
    _figure, axes = plt.subplots(figsize=(10, 3.9))
    for left, width, name in _ZONES:
        axes.add_patch(Rectangle((left, 0.3), width, 3.5, fc="0.95"))
        axes.text(left + width / 2, 3.74, name, ha="center", va="top")
    for left, bottom, width, text in _BOXES:
        box = FancyBboxPatch(
            (left, bottom), width, _HIGH, boxstyle="round,pad=0.02", fc="white"
        )
        axes.add_patch(box)
        axes.text(
            left + width / 2, bottom + _HIGH / 2, text,
            ha="center", va="center", fontsize=8.5,
        )  # fmt: skip
    for begin, end, text in _ARROWS:
        arrow(axes, begin, end, text)
    axes.set(xlim=(-0.2, 10.3), ylim=(0, 4.1))
    axes.axis("off")


draw()
