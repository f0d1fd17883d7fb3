# SPDX-License-Identifier: Apache-2.0
"""A replay's figures for people, as lines of text."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# So many of the worst are told in text and pictures; JSON has all.
WORST = 10

SHORTAGE_COLUMNS = {
    "host": "host",
    "begin": "begins",
    "length_s": "s",
    "depth_mib": "MiB short",
    "depth_share": "of host",
    "mib_s": "MiB x s",
    "guests": "guests",
}
HARM_COLUMNS = {
    "vm": "VM",
    "size_mib": "MiB",
    "short_s": "s short",
    "time_share": "of its time",
    "mib_s": "MiB x s",
    "worst_mib": "worst MiB",
    "worst_share": "of its size",
    "beyond_swap_mib": "beyond swap",
}


def text(result: Mapping[str, Any]) -> str:
    """Give all that people want to read first."""
    lines = [*summary(result), ""]
    shortage, guests = result["shortage"], result["guests"]
    if shortage["shortages"]:
        lines.append("Deepest shortages")
        lines += table(shortage["shortages"], SHORTAGE_COLUMNS)
        lines.append("")
    if guests["harms"]:
        lines.append("Guests that were short, the worst first")
        lines += table(guests["harms"], HARM_COLUMNS)
        lines.append("")
    return "\n".join(lines)


def summary(result: Mapping[str, Any]) -> list[str]:
    """Give what was asked and the main figures, line by line."""
    trace, asked = result["trace"], result["asked"]
    hosts, promise = result["hosts"], result["promise"]
    shortage, guests = result["shortage"], result["guests"]
    lines = [
        "{vms} VMs over {days:g} days from {begin}, steps of {step_s:g} "
        "s".format(**trace),
        "Hosts of {host_gib:g} GiB, {kept_mib} MiB of it their own; "
        "predictor {predictor}, risk {risk:g}".format(**asked),
        "Assumed: guests have swap of {0} of their size; those of the "
        "first step come within {fill_days:g} days (seed {seed})".format(
            percent(asked["guest_swap_share"]), **asked
        ),
        "",
        "Hosts needed:    {stock} without overcommit, {overcommit} with it: "
        "{saved} saved ({0})".format(percent(hosts["saved_share"]), **hosts),
        "Host-hours:      {stock_host_h:,.0f} without, "
        "{overcommit_host_h:,.0f} with it".format(**hosts),
        "Promise:         {mean_ratio:.2f} x usable memory on average, "
        "{least_ratio:.2f} to {most_ratio:.2f}".format(**promise),
        "Short of memory: {0} of host-time ({host_h:g} of {of_host_h:,.0f} "
        "h), {count} times; deepest {deepest_mib} MiB ({1} of the host), "
        "longest {longest_s:g} s".format(
            percent(shortage["host_time_share"]),
            percent(shortage["deepest_share_of_host"]),
            **shortage,
        ),
        "Guests short:    {harmed}, {0} of all guests' time; {beyond_swap} "
        "by more than their swap".format(
            percent(guests["time_share"]), **guests
        ),
    ]
    if trace["bad_rows"]:
        lines.append(f"Bad rows left out: {trace['bad_rows']}")
        lines += [f"  {one}" for one in trace["complaints"]]
    return lines


def percent(share: float) -> str:
    """Give a share in percent, with as many digits as tell something."""
    return f"{100 * share:.3g} %"


def table(
    rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]
) -> list[str]:
    """Give the first rows of a table as lines."""
    return _aligned([list(columns.values()), *cells(rows, columns)])


def cells(
    rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]
) -> list[list[str]]:
    """Give the first rows of a table as text."""
    return [
        [_cell(name, row[name]) for name in columns]
        for row in list(rows)[:WORST]
    ]


def _cell(name: str, value: Any) -> str:
    if name.endswith("_share"):
        return percent(value)
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) for cell, width in zip(row, widths, strict=True)
        )
        for row in rows
    ]
