# SPDX-License-Identifier: Apache-2.0
"""Draws the live table; whatever was told is text, never markup."""

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich import console as consoles
from rich import table, text

from nova_xen_overcommit import report
from nova_xen_overcommit.agent import status
from nova_xen_overcommit.cli import picture, rows

if TYPE_CHECKING:
    from nova_xen_overcommit.cli.live import Order

_KEYS = "q quit   s sort by the next column   r reverse"
_HEADER_LINES = 2
_STYLES = {
    status.STARVED: "bold red",
    "uncooperative": "red",
    "stuck": "yellow",
    status.SILENT: "yellow",
    status.FROZEN: "cyan",
    status.EXEMPT: "dim",
    "moving": "green",
}
_HOST_STYLES = {
    report.EMERGENCY: "bold red",
    report.PRESSURE: "red",
    report.RECLAIMING: "yellow",
}


def page(
    told: Mapping[str, Any],
    order: "Order",
    size: consoles.ConsoleDimensions,
    complaint: str = "",
    late_s: int = 0,
) -> consoles.Group:
    """Give one screen: the host, as many guests as fit, the keys."""
    head = _head(told, complaint, late_s)
    used = sum(len(textwrap.wrap(one.plain, size.width)) for one in head)
    room = max(1, size.height - used - _HEADER_LINES - 2)
    guests = rows.ordered(told["guests"], order.sort, order.reverse)
    left = len(guests) - room
    if left > 0:
        guests = guests[:room]
    more = f"{left} more guests; " if left > 0 else ""
    way = ", reversed" if order.reverse else ""
    foot = text.Text(f"{more}by {order.sort}{way}   {_KEYS}", style="dim")
    foot.truncate(size.width)
    return consoles.Group(*head, guest_table(guests, size.width), foot)


def _head(
    told: Mapping[str, Any], complaint: str, late_s: int
) -> list[text.Text]:
    lines = [text.Text(line) for line in picture.lines(told)]
    if told["host"] is not None:
        lines[0].stylize(_HOST_STYLES.get(told["host"]["state"], "bold"))
    if complaint:
        lines.append(
            text.Text(f"As of {late_s} s ago: {complaint}", style="bold red")
        )
    return lines


def guest_table(guests: list[rows.Guest], width: int) -> table.Table:
    """Give the table of some guests for a terminal of this width."""
    columns = [one for one in rows.COLUMNS if width >= one.width]
    drawn = table.Table(box=None, pad_edge=False, expand=False)
    for column in columns:
        drawn.add_column(
            text.Text(column.header, style="bold"),
            justify="right" if column.number else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for guest in guests:
        style = _STYLES.get(guest["state"], "")
        drawn.add_row(
            *(text.Text(column.text(guest)) for column in columns), style=style
        )
    return drawn
