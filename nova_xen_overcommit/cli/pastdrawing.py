# SPDX-License-Identifier: Apache-2.0
"""Draws a past on a terminal, as wide as that is."""

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich import console as consoles
from rich import table, text

from nova_xen_overcommit.cli import graph, past, pasttable, printable

_LABEL = 10
_LEAST_WIDTH = 20
_STYLES = ("blue", "yellow", "green")
_SIGNS = "#=*"
_NAMES = ("flavors", "demand", "used")
_COLUMNS = (
    ("flavor", "size_mib"),
    ("demand", "demand_max_mib"),
    ("used", "used_max_mib"),
    ("mean", "used_mean_mib"),
)
# What the figures take of a line, and what sparks may.
_FIGURES = 36
_LEAST_SPARKS, _MOST_SPARKS = 8, 40
# What stands around the plot: title, axis, legend, the table's head and
# the next prompt.
_AROUND = 7


def draw(
    out: TextIO, told: past.Past, uuid: str, names: Mapping[str, str]
) -> None:
    """Draw a guest, or the host and its guests."""
    screen = consoles.Console(file=out, highlight=False, emoji=False)
    dots = "utf" in (screen.encoding or "").lower()
    who = f"Guest {names.get(uuid, '')} {uuid}" if uuid else "Host"
    span = told.span
    title = f"{who}, {pasttable.when(span.since_s)} to "
    title += f"{pasttable.when(span.until_s)}"
    screen.print(text.Text(printable.clean(title), style="bold"))
    height = max(4, min(16, screen.height // 2 - _AROUND // 2))
    points = pasttable.points(told, uuid)
    for line in _plot(points, span, screen.width, height, dots):
        screen.print(line, no_wrap=True, crop=True)
    if not uuid:
        room = max(3, screen.height - height - _AROUND)
        screen.print(_guests(told, names, screen.width, room, dots))


def _plot(
    points: Mapping[int, past.Point],
    span: past.Span,
    width: int,
    height: int,
    dots: bool,
) -> list[text.Text]:
    across = max(_LEAST_WIDTH, width - _LABEL - 3)
    lines = _lines(points, span)
    highest = max(value or 0 for line in lines for value in line.values)
    cells = graph.drawn(lines, across, height, highest, dots)
    shown = []
    for number, row in enumerate(cells):
        share = (height - 1 - number) / (height - 1)
        label = graph.size(highest * share) if number % 3 == 0 else ""
        if number == height - 1:
            label = "0"
        line = text.Text(f"{label:>{_LABEL}} | ")
        for cell in row:
            style = _STYLES[cell.line] if cell.line >= 0 else ""
            line.append(cell.character, style=style)
        shown.append(line)
    begin, end = pasttable.when(span.since_s), pasttable.when(span.until_s)
    axis = f"{begin[11:16]}{end[11:16]:>{across - 5}}"
    if span.until_s - span.since_s > 86400:
        axis = f"{begin[:10]}{end[:10]:>{across - 10}}"
    shown.append(text.Text(" " * (_LABEL + 3) + axis, style="dim"))
    shown.append(_legend(dots))
    return shown


def _lines(
    points: Mapping[int, past.Point], span: past.Span
) -> list[graph.Line]:
    known = [points.get(time_s) for time_s in span.times()]
    figures: Sequence[Sequence[int | None]] = (
        [(one and one.size_kib) or None for one in known],
        [(one and one.demand_kib) or None for one in known],
        [(one and one.used_kib) or None for one in known],
    )
    return [
        graph.Line(name, sign, values)
        for name, sign, values in zip(_NAMES, _SIGNS, figures, strict=True)
    ]


def _legend(dots: bool) -> text.Text:
    line = text.Text(" " * (_LABEL + 3))
    for name, sign, style in zip(_NAMES, _SIGNS, _STYLES, strict=True):
        line.append(f"{'━' if dots else sign} {name}   ", style=style)
    return line


def _guests(
    told: past.Past,
    names: Mapping[str, str],
    width: int,
    room: int,
    dots: bool,
) -> table.Table:
    """Give the neediest guests, with what they used over time."""
    summed = pasttable.summary(told, names)
    shown = summed[:room]
    labels = [printable.clean(one["name"] or one["uuid"]) for one in shown]
    sparks = width - max(map(len, labels), default=0) - _FIGURES
    drawn = table.Table(box=None, pad_edge=False)
    drawn.add_column(text.Text("guest"), no_wrap=True, overflow="ellipsis")
    for header, _name in _COLUMNS:
        drawn.add_column(text.Text(header), justify="right", min_width=6)
    if sparks >= _LEAST_SPARKS:
        drawn.add_column(text.Text("used, of its flavor"), no_wrap=True)
    for label, one in zip(labels, shown, strict=True):
        cells = [
            text.Text(label),
            *(_shown(one[name]) for _h, name in _COLUMNS),
        ]
        if sparks >= _LEAST_SPARKS:
            cells.append(_sparks(told, one, min(sparks, _MOST_SPARKS), dots))
        drawn.add_row(*cells)
    left = len(summed) - room
    if left > 0:
        drawn.caption = text.Text(f"{left} more guests; --json has all")
        drawn.caption_justify = "left"
    return drawn


def _sparks(
    told: past.Past, one: Mapping[str, Any], width: int, dots: bool
) -> text.Text:
    points = told.guests[one["uuid"]]
    used = [
        (point and point.used_kib) or None
        for point in map(points.get, told.span.times())
    ]
    highest_kib = 1024 * (one["size_mib"] or 0)
    return text.Text(graph.sparkline(used, width, highest_kib, dots))


def _shown(mib: int | None) -> text.Text:
    return text.Text("-" if mib is None else str(mib))
