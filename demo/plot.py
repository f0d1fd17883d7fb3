# SPDX-License-Identifier: Apache-2.0
"""The picture: every guest's actual, demand and target over time."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no display

from matplotlib import pyplot

from demo import host, rules

_COLUMNS = 4
Series = tuple[list[float], list[float]]


def draw(
    moments: Sequence[rules.Moment],
    marks: Mapping[str, float],
    path: Path,
) -> None:
    """Draw ``moments`` into a PNG; ``marks`` are names of times in s."""
    names = _in_order(moments)
    rows = math.ceil(len(names) / _COLUMNS)
    figure = pyplot.figure(figsize=(16, 4.5 + 2.2 * rows), dpi=90)
    grid = figure.add_gridspec(
        rows + 1, _COLUMNS, height_ratios=[2.0, *[1.0] * rows]
    )
    top = figure.add_subplot(grid[0, :])
    _draw_host(top, moments, names)
    _mark(top, marks, named=True)
    for index, uuid in enumerate(names):
        row, column = divmod(index, _COLUMNS)
        axes = figure.add_subplot(grid[row + 1, column])
        _draw_guest(axes, moments, uuid)
        axes.set_title(f"guest {index + 1}", fontsize=9, loc="left")
        axes.set_xlim(0, moments[-1].time_s)
        _mark(axes, marks, named=False)
        if index == 0:
            axes.legend(fontsize=7, loc="upper right")
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def _in_order(moments: Sequence[rules.Moment]) -> list[str]:
    order: dict[str, int] = {}
    for moment in moments:
        for guest in moment.guests:
            order.setdefault(guest.uuid, guest.domain_id)
    return sorted(order, key=lambda uuid: order[uuid])


def _draw_host(
    axes: Any, moments: Sequence[rules.Moment], names: Sequence[str]
) -> None:
    times_s = [moment.time_s for moment in moments]
    stacks = [_held(moments, uuid) for uuid in names]
    axes.stackplot(times_s, stacks, linewidth=0.3, edgecolor="white")
    flavors = [sum(g.flavor_kib for g in m.guests) / host.KIB for m in moments]
    capacity = [moment.capacity_mib for moment in moments]
    axes.plot(times_s, flavors, "k-", label="sum of flavors (placed)")
    axes.plot(times_s, capacity, "b--", label="Placement's capacity")
    axes.axhline(
        rules.USABLE_KIB / host.KIB,
        color="red",
        label="memory that guests can have",
    )
    axes.set_ylabel(f"MiB held on a host of {host.HOST_MIB}, stacked")
    axes.set_xlim(0, times_s[-1])
    axes.legend(loc="center left", fontsize=8)


def _held(moments: Sequence[rules.Moment], uuid: str) -> list[float]:
    return [
        sum(g.actual_kib for g in moment.guests if g.uuid == uuid) / host.KIB
        for moment in moments
    ]


def _draw_guest(axes: Any, moments: Sequence[rules.Moment], uuid: str) -> None:
    actual = _series(moments, uuid, _actual_of)
    axes.fill_between(*actual, color="tab:green", alpha=0.3)
    axes.plot(*actual, color="tab:green", label="actual")
    target = _series(moments, uuid, _target_of)
    axes.plot(*target, "k:", linewidth=1, label="target")
    demand = _series(moments, uuid, _demand_of)
    axes.plot(*demand, color="tab:red", linewidth=1, label="demand")
    axes.set_ylim(0, 1100)
    axes.tick_params(labelsize=7)


def _series(moments: Sequence[rules.Moment], uuid: str, pick: Any) -> Series:
    points = [(moment.time_s, pick(moment, uuid)) for moment in moments]
    known = [(time_s, kib) for time_s, kib in points if kib is not None]
    return (
        [time_s for time_s, _kib in known],
        [kib / host.KIB for _time_s, kib in known],
    )


def _actual_of(moment: rules.Moment, uuid: str) -> int | None:
    return next((g.actual_kib for g in moment.guests if g.uuid == uuid), None)


def _target_of(moment: rules.Moment, uuid: str) -> int | None:
    told = moment.told.get(uuid)
    return told.target_kib if told else None


def _demand_of(moment: rules.Moment, uuid: str) -> int | None:
    told = moment.told.get(uuid)
    return told.demand_kib if told else None


def _mark(axes: Any, marks: Mapping[str, float], named: bool) -> None:
    for name, time_s in marks.items():
        axes.axvline(time_s, color="grey", linewidth=0.8, linestyle="--")
        if named:
            axes.annotate(
                name,
                (time_s, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                fontsize=8,
                ha="left",
            )
