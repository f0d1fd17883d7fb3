# SPDX-License-Identifier: Apache-2.0
"""Traces as arrays: ``vm_ids``, ``t_seconds``, ``configured_mib`` and what
was used by VM and time, NaN where there is no sample.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from nova_xen_overcommit import exception
from nova_xen_overcommit.whatif import trace

_KIB_PER_MIB = 1024.0
USED = ("active_mib", "granted_mib")


def read(path: Path, used: str, bad: trace.BadRows) -> trace.Trace:
    """Read a file; ``used`` is the name of the array with what was used.

    :raises InvalidTrace: it isn't such a file, or nothing is in it.
    """
    arrays = _arrays(path, used)
    times_s = arrays["t_seconds"].astype(float)
    steps_s = np.diff(times_s)
    if not len(times_s) or (steps_s <= 0).any():
        raise exception.InvalidTrace(f"{path}: t_seconds doesn't rise")
    step_s = float(steps_s[0]) if len(steps_s) else 1.0
    if (np.abs(steps_s - step_s) > step_s / 2).any():
        raise exception.InvalidTrace(f"{path}: t_seconds has unequal steps")
    sizes_mib = arrays["configured_mib"].astype(float)
    used_mib = arrays[used].astype(float)
    names = [str(name) for name in arrays["vm_ids"]]
    _check(path, names, sizes_mib, used_mib, used, bad)
    trace.require_grid(path, len(names), len(times_s), step_s)
    known = np.isfinite(used_mib)
    used_kib = np.full(used_mib.shape, trace.GAP, dtype=np.int64)
    used_kib[known] = np.rint(used_mib[known] * _KIB_PER_MIB)
    sizes_kib = np.rint(np.nan_to_num(sizes_mib) * _KIB_PER_MIB)
    return trace.made(
        path,
        names,
        sizes_kib.astype(np.int64),
        used_kib,
        float(times_s[0]),
        step_s,
        bad,
    )


def _arrays(path: Path, used: str) -> dict[str, Any]:
    names = ("vm_ids", "t_seconds", "configured_mib", used)
    try:
        with path.open("rb") as file, np.load(file) as data:
            missing = [name for name in names if name not in data.files]
            if missing:
                raise exception.InvalidTrace(
                    f"{path}: no array {missing[0]}; it has "
                    f"{', '.join(data.files)}"
                )
            arrays = {name: data[name] for name in names}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise exception.InvalidTrace(f"{path}: no npz: {error}") from error
    shape = (len(arrays["vm_ids"]), len(arrays["t_seconds"]))
    for name, expected in ((used, shape), ("configured_mib", shape[:1])):
        if arrays[name].shape != expected:
            raise exception.InvalidTrace(
                f"{path}: {name} has the shape {arrays[name].shape}, "
                f"expected {expected}"
            )
    return arrays


def _check(
    path: Path,
    names: list[str],
    sizes_mib: Any,
    used_mib: Any,
    used: str,
    bad: trace.BadRows,
) -> None:
    """Take out what can't be: it becomes a gap."""
    seen: set[str] = set()
    for row, name in enumerate(names):
        where = f"{path}:configured_mib[{row}]"
        if name in seen:
            bad.add(where, f"another row of {name!r:.40}")
        elif not (np.isfinite(sizes_mib[row]) and sizes_mib[row] > 0):
            bad.add(where, f"size of {name!r:.40} is {sizes_mib[row]}")
        else:
            seen.add(name)
            continue
        used_mib[row] = np.nan
    wrong = (used_mib < 0) | np.isinf(used_mib)
    wrong |= used_mib > sizes_mib[:, np.newaxis] + 1 / _KIB_PER_MIB
    for row, at in np.argwhere(wrong):
        bad.add(
            f"{path}:{used}[{row},{at}]",
            f"{names[row]!r:.40} uses {used_mib[row, at]} MiB of "
            f"{sizes_mib[row]} MiB",
        )
    used_mib[wrong] = np.nan
