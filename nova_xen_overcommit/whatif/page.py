# SPDX-License-Identifier: Apache-2.0
"""A replay as one page of HTML that needs nothing from elsewhere."""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nova_xen_overcommit.whatif import show

# Nothing is loaded and nothing runs, whatever names a trace brings.
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>nova-xen-overcommit simulate</title>
<style>
body { font-family: sans-serif; max-width: 64em; margin: 2em auto; }
img { max-width: 100%; }
td, th { text-align: right; padding: 0.1em 0.8em; }
</style>
</head>
<body>
<h1>What overcommit would have done</h1>
"""
_FOOT = "</body>\n</html>\n"


def page(result: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """Give the page; ``pictures`` are PNG files by name."""
    shortages, harms = (
        result["shortage"]["shortages"],
        result["guests"]["harms"],
    )
    parts = [_HEAD, "<pre>\n"]
    parts += [f"{html.escape(line)}\n" for line in show.summary(result)]
    parts.append("</pre>\n")
    parts += [_image(name, png) for name, png in pictures.items()]
    parts += _table("Deepest shortages", shortages, show.SHORTAGE_COLUMNS)
    parts += _table("Guests that were short", harms, show.HARM_COLUMNS)
    parts.append(_FOOT)
    return "".join(parts)


def _image(name: str, png: bytes) -> str:
    data = base64.b64encode(png).decode("ascii")
    return f'<img alt="{name}" src="data:image/png;base64,{data}">\n'


def _table(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
) -> list[str]:
    if not rows:
        return []
    lines = [
        _row("th", columns.values()),
        *(_row("td", cells) for cells in show.cells(rows, columns)),
    ]
    return [f"<h2>{title}</h2>\n<table>\n", *lines, "</table>\n"]


def _row(tag: str, cells: Iterable[str]) -> str:
    row = "".join(f"<{tag}>{html.escape(one)}</{tag}>" for one in cells)
    return f"<tr>{row}</tr>\n"
