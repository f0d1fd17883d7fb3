# SPDX-License-Identifier: Apache-2.0
"""Reads a trace, whatever its format."""

from pathlib import Path

from nova_xen_overcommit import exception
from nova_xen_overcommit.whatif import csv_trace, npz_trace, trace

# What a zip archive, and so an npz, begins with.
_ZIP = b"PK"


def read(
    path: Path,
    *,
    unit: str = "mib",
    step_s: float | None = None,
    used: str = npz_trace.USED[0],
    skip_bad: bool = False,
) -> trace.Trace:
    """Read a trace; ``unit`` and ``step_s`` are for CSV, ``used`` for npz.

    :raises InvalidTrace: there is none, or it has bad rows that are not to
        be skipped; the message names file, line and reason.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(len(_ZIP))
    except OSError as error:
        raise exception.InvalidTrace(
            f"--trace {path}: {error.strerror}"
        ) from None
    bad = trace.BadRows()
    try:
        if begin == _ZIP:
            made = npz_trace.read(path, used, bad)
        else:
            made = csv_trace.read(path, unit, step_s, bad)
    except exception.InvalidTrace:
        # Bad rows may be why nothing was left.
        bad.settle(skip_bad)
        raise
    bad.settle(skip_bad)
    return made
