# SPDX-License-Identifier: Apache-2.0
"""Table and picture of a benchmark."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no display

from matplotlib import pyplot
from rich.console import Console
from rich.table import Table

from benchmarks.balancer.measure import Figures, Run
from benchmarks.balancer.policies import OURS

# By scenario and policy.
Runs = Mapping[str, Mapping[str, Run]]

_COLUMNS = (
    ("short", "guest s"),
    ("short", "MiB s"),
    ("wasted", "MiB h"),
    ("need met", "p99 s"),
    ("swap", "MiB"),
    ("moves", "per h"),
)
_PER_ROW = 3


def table(title: str, figures: Mapping[str, Figures]) -> None:
    """Print one table, a line for each policy."""
    shown = Table(title=title, title_justify="left")
    shown.add_column("policy")
    for what, unit in _COLUMNS:
        shown.add_column(f"{what}\n{unit}", justify="right")
    for name, found in figures.items():
        cells = [f"{figure:,.0f}" for figure in found.result().values()]
        shown.add_row(name, *cells, style="bold" if name == OURS else "")
    Console(width=100).print(shown)


def draw(runs: Runs, path: Path) -> None:
    """Draw what was missing over time, a graph for each scenario."""
    rows = -(-len(runs) // _PER_ROW)
    figure, grid = pyplot.subplots(
        rows, _PER_ROW, figsize=(16, 3.2 * rows), squeeze=False, dpi=90
    )
    for axes, (name, by_policy) in zip(grid.flat, runs.items(), strict=False):
        for policy, run in by_policy.items():
            ours = policy == OURS
            axes.plot(
                [now_s for now_s, _mib in run.history],
                [mib for _now_s, mib in run.history],
                label=policy,
                color="black" if ours else None,
                linewidth=1.6 if ours else 0.8,
                zorder=3 if ours else 2,
            )
        axes.set_title(f"{name}: MiB short over s", loc="left", fontsize=9)
        axes.set_yscale("symlog", linthresh=100)
        axes.set_ylim(bottom=0)
    for axes in list(grid.flat)[len(runs) :]:
        axes.set_axis_off()
    grid.flat[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
