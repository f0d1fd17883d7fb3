# SPDX-License-Identifier: Apache-2.0
"""Draws a past as PNG, without any display."""

import datetime
import io
from collections.abc import Mapping

from matplotlib import dates
from matplotlib.figure import Figure

from nova_xen_overcommit.cli import past, pasttable, printable

_INCHES = (10.0, 4.5)
_DPI = 100
_KIB_PER_GIB = 1024 * 1024


def png(told: past.Past, uuid: str, names: Mapping[str, str]) -> bytes:
    """Give the PNG of a guest, or of the host."""
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    points = pasttable.points(told, uuid)
    times = [
        datetime.datetime.fromtimestamp(time_s, datetime.UTC)
        for time_s in told.span.times()
    ]
    known = [points.get(time_s) for time_s in told.span.times()]
    for label, name in (
        ("flavor" if uuid else "sum of flavors", "size_kib"),
        ("demand (with head room)", "demand_kib"),
        ("used", "used_kib"),
    ):
        # Where nothing is known the line has a gap.
        gib = [
            getattr(one, name) / _KIB_PER_GIB
            if one is not None and getattr(one, name)
            else float("nan")
            for one in known
        ]
        axes.step(times, gib, where="post", label=label)
    title = f"Guest {names.get(uuid, '')} {uuid}" if uuid else "Host"
    # A name is shown as it is, never read as a formula.
    title = printable.clean(title).replace("$", r"\$")
    axes.set(title=title, ylabel="GiB")
    axes.set_ylim(bottom=0)
    axes.set_xlim(
        times[0],
        times[-1] + datetime.timedelta(seconds=told.span.step_s),
    )
    locator = dates.AutoDateLocator(tz=datetime.UTC)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        dates.ConciseDateFormatter(locator, tz=datetime.UTC)
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
