# SPDX-License-Identifier: Apache-2.0
"""Pictures of a replay, as PNG; drawn without any display."""

import io
from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nova_xen_overcommit.whatif import show

_DAY_S = 86400.0
_GIB = 1024
_INCHES = (10.0, 4.5)
_DPI = 100


def pictures(result: Mapping[str, Any]) -> dict[str, bytes]:
    """Give PNG files by name, in the order in which they are shown."""
    drawers: dict[str, Callable[[Axes, Mapping[str, Any]], None]] = {
        "hosts": _hosts,
        "memory": _memory,
        "promise": _promise,
        "shortage": _shortage,
        "guests": _guests,
    }
    return {name: _png(draw, result) for name, draw in drawers.items()}


def _png(
    draw: Callable[[Axes, Mapping[str, Any]], None], result: Mapping[str, Any]
) -> bytes:
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    draw(axes, result)
    axes.grid(alpha=0.3)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _days(times_s: list[float]) -> list[float]:
    return [time_s / _DAY_S for time_s in times_s]


def _hosts(axes: Axes, result: Mapping[str, Any]) -> None:
    series = result["promise"]["over_time"]
    days = _days(series["time_s"])
    axes.step(days, series["stock_hosts"], label="without overcommit")
    axes.step(days, series["hosts"], label="with overcommit")
    axes.set(title="Hosts", xlabel="days", ylabel="hosts", ylim=(0, None))
    axes.legend(loc="upper left")


def _memory(axes: Axes, result: Mapping[str, Any]) -> None:
    promise = result["promise"]
    series = promise["over_time"]
    days = _days(series["time_s"])
    usable = [n * promise["usable_mib_per_host"] for n in series["hosts"]]
    for label, figures_mib in (
        ("promised", series["promise_mib"]),
        ("flavors placed", series["committed_mib"]),
        ("usable memory", usable),
        ("demand (with head room)", series["demand_mib"]),
        ("used", series["used_mib"]),
    ):
        axes.plot(days, [mib / _GIB for mib in figures_mib], label=label)
    axes.set(title="Memory of all hosts", xlabel="days", ylabel="GiB")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left")


def _promise(axes: Axes, result: Mapping[str, Any]) -> None:
    promise = result["promise"]
    usable_mib = promise["usable_mib_per_host"]
    for host, series in enumerate(promise["by_host"]):
        axes.plot(
            _days(series["time_s"]),
            [mib / usable_mib for mib in series["promise_mib"]],
            label=f"host {host}",
            linewidth=0.8,
        )
    axes.axhline(1.0, color="black", linestyle=":")
    axes.set(
        title="What each host promises",
        xlabel="days",
        ylabel="multiple of usable memory",
    )
    axes.set_ylim(bottom=0)
    if len(promise["by_host"]) <= show.WORST:
        axes.legend(loc="upper left")


def _shortage(axes: Axes, result: Mapping[str, Any]) -> None:
    found = result["shortage"]["shortages"]
    axes.scatter(
        [one["length_s"] / 60 for one in found],
        [100 * one["depth_share"] for one in found],
        s=18,
    )
    axes.set(
        title=f"Shortages of hosts: {len(found)}",
        xlabel="minutes",
        ylabel="deepest, % of the host's memory",
    )
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)


def _guests(axes: Axes, result: Mapping[str, Any]) -> None:
    harms = result["guests"]["harms"][: 2 * show.WORST]
    # A name is shown as it is, never read as a formula.
    names = [harm["vm"].replace("$", r"\$") for harm in harms]
    axes.barh(names, [harm["short_s"] / 60 for harm in harms])
    axes.invert_yaxis()
    axes.set(title="Guests that were short, the worst", xlabel="minutes short")
