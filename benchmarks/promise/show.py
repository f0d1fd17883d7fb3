# SPDX-License-Identifier: Apache-2.0
"""Table and picture of the predictors side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no display

from matplotlib import pyplot
from rich.console import Console
from rich.table import Table

from benchmarks.promise.forecasts import OURS
from benchmarks.promise.walk import HostFigures

_COLUMNS = (
    ("capacity", "x oracle"),
    ("short", "% of time"),
    ("worst host", "% of time"),
    ("deepest", "% of host"),
    ("filled:", "x oracle"),
    ("filled: short", "% of time"),
)


@dataclass(frozen=True)
class Figures:
    """How one predictor did on all hosts; see ``HostFigures``."""

    hosts: list[HostFigures]

    @property
    def capacity(self) -> float:
        """What it promised, as multiple of the oracle's promise."""
        return self._mean("capacity")

    @property
    def short(self) -> float:
        """The share of all hosts' time that was short."""
        return self._mean("short")

    @property
    def worst(self) -> float:
        """The share of time that the host that was worst was short."""
        return max(host.short for host in self.hosts)

    @property
    def deepest(self) -> HostFigures:
        """The host with the deepest shortage."""
        return max(self.hosts, key=lambda host: host.deepest_share)

    def result(self) -> dict[str, float]:
        """Give what ``RESULT`` tells."""
        return {
            "capacity_vs_oracle": round(self.capacity, 4),
            "short_share": round(self.short, 7),
            "worst_short_share_of_host": round(self.worst, 7),
        }

    def cells(self) -> list[str]:
        """Give a line of the table."""
        return [
            f"{self.capacity:.3f}",
            f"{100 * self.short:.4f}",
            f"{100 * self.worst:.3f}",
            f"{100 * self.deepest.deepest_share:.0f}",
            f"{self._mean('filled_capacity'):.3f}",
            f"{100 * self._mean('filled_short'):.2f}",
        ]

    def _mean(self, name: str) -> float:
        total = sum(getattr(host, name) for host in self.hosts)
        return float(total) / len(self.hosts)


# By family, then by label.
Found = Mapping[str, Mapping[str, Figures]]


def table(found: Found) -> None:
    """Print a line for each predictor and parameter."""
    shown = Table(title="predictors", title_justify="left")
    shown.add_column("predictor")
    for what, unit in _COLUMNS:
        shown.add_column(f"{what}\n{unit}", justify="right")
    for labels in found.values():
        for label, figures in labels.items():
            bold = "bold" if label in OURS else ""
            shown.add_row(label, *figures.cells(), style=bold)
        shown.add_section()
    Console(width=100).print(shown)


def deepest(label: str, figures: Figures) -> None:
    """Say how deep the deepest shortage was, and what absorbs it."""
    host = figures.deepest
    print(
        f"{label}: deepest shortage {host.deepest_share:.1%} of the host, "
        f"{host.deepest_kib / 1024:,.0f} MiB per guest. Floors take "
        f"{host.floors_share:.1%}, guest swap holds {host.swap_share:.0%}"
    )


def draw(found: Found, path: Path) -> None:
    """Draw capacity over share of time short, a line for each family."""
    figure, axes = pyplot.subplots(figsize=(9, 6), dpi=90)
    for family, labels in found.items():
        points = sorted((f.short, f.capacity) for f in labels.values())
        ours = family == "ours"
        axes.plot(
            [100 * short for short, _capacity in points],
            [capacity for _short, capacity in points],
            label=family,
            marker=".",
            color="black" if ours else None,
            linewidth=2 if ours else 1,
        )
    axes.set_xscale("symlog", linthresh=0.001)
    axes.set_xlabel("host-time short, %")
    axes.set_ylabel("capacity, multiple of the oracle's")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
