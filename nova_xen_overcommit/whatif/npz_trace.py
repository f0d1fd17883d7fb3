# SPDX-License-Identifier: Apache-2.0
"""Traces as arrays: ``vm_ids``, ``t_seconds``, ``configured_mib`` and what
was used by VM and time, NaN where there is no sample.
"""

import dataclasses
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from nova_xen_overcommit import exception
from nova_xen_overcommit.whatif import trace
from nova_xen_overcommit.whatif.arrays import Floats, Ints

_KIB_PER_MIB = 1024.0
USED = ("active_mib", "granted_mib")
# What an array must hold, and numpy's name for it, if it isn't numbers.
_KINDS = {"vm_ids": ("text", "str")}
# What comes of a file that is cut off, broken, locked or something else.
_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclasses.dataclass(frozen=True)
class Samples:
    """What a file says; MiB and seconds.

    ``used_mib`` is by VM and sample, ``steps`` the step that each sample is
    of. Of sizes and use nothing is checked but that they are numbers.
    """

    names: tuple[str, ...]
    begin_s: float
    step_s: float
    steps: Ints
    sizes_mib: Floats
    used_mib: Floats

    def on_grid(self) -> Floats:
        """Give what was used by VM and step; NaN where there is no sample."""
        steps = int(self.steps[-1]) + 1
        if steps == len(self.steps):
            return self.used_mib
        used_mib = np.full((len(self.names), steps), np.nan)
        used_mib[:, self.steps] = self.used_mib
        return used_mib


def read(path: Path, used: str, bad: trace.BadRows) -> trace.Trace:
    """Read a file; ``used`` is the name of the array with what was used.

    :raises InvalidTrace: it isn't such a file, or nothing is in it.
    """
    samples = load(path, used)
    _check(path, samples, used, bad)
    used_mib = samples.on_grid()
    known = np.isfinite(used_mib)
    used_kib = np.full(used_mib.shape, trace.GAP, dtype=np.int64)
    used_kib[known] = np.rint(used_mib[known] * _KIB_PER_MIB)
    sizes_kib = np.rint(np.nan_to_num(samples.sizes_mib) * _KIB_PER_MIB)
    return trace.made(
        path,
        list(samples.names),
        sizes_kib.astype(np.int64),
        used_kib,
        samples.begin_s,
        samples.step_s,
        bad,
    )


def load(path: Path, used: str) -> Samples:
    """Read a file as it is.

    :raises InvalidTrace: it isn't such a file, or its times make no grid.
    """
    arrays = _arrays(path, used)
    times_s = _floats(path, "t_seconds", arrays)
    strides, step_s = _strides(path, times_s)
    guests, steps = len(arrays["vm_ids"]), int(strides.sum()) + 1
    trace.require_grid(path, guests, steps, step_s)
    return Samples(
        names=tuple(str(name) for name in arrays["vm_ids"]),
        begin_s=float(times_s[0]),
        step_s=step_s,
        steps=np.concatenate(([0], np.cumsum(strides))).astype(np.int64),
        sizes_mib=_floats(path, "configured_mib", arrays),
        used_mib=_floats(path, used, arrays),
    )


def _arrays(path: Path, used: str) -> dict[str, Any]:
    names = ("vm_ids", "t_seconds", "configured_mib", used)
    try:
        with path.open("rb") as file:
            data = np.load(file)
            if not isinstance(data, np.lib.npyio.NpzFile):
                raise exception.InvalidTrace(
                    f"{path}: no npz: it is a single array"
                )
            with data:
                arrays = {name: _array(path, data, name) for name in names}
    except _UNREADABLE as error:
        raise exception.InvalidTrace(f"{path}: no npz: {error}") from error
    shape = (arrays["vm_ids"].size, arrays["t_seconds"].size)
    for name, expected in (
        ("vm_ids", shape[:1]),
        ("t_seconds", shape[1:]),
        ("configured_mib", shape[:1]),
        (used, shape),
    ):
        if arrays[name].shape != expected:
            raise exception.InvalidTrace(
                f"{path}: {name} has the shape {arrays[name].shape}, "
                f"expected {expected}"
            )
    return arrays


def _array(path: Path, data: Any, name: str) -> Any:
    if name not in data.files:
        raise exception.InvalidTrace(
            f"{path}: no array {name}; it has {', '.join(data.files)}"
        )
    try:
        return data[name]
    except ValueError as error:
        # Reading them would run whatever code the file brings along.
        if "Object arrays" not in str(error):
            raise
        kind, dtype = _KINDS.get(name, ("numbers", "float"))
        raise exception.InvalidTrace(
            f"{path}: {name} has Python objects; save it as {kind}: "
            f".astype({dtype})"
        ) from None


def _floats(path: Path, name: str, arrays: dict[str, Any]) -> Floats:
    try:
        floats: Floats = arrays[name].astype(float)
    except (TypeError, ValueError) as error:
        raise exception.InvalidTrace(
            f"{path}: {name} has no numbers: {error}"
        ) from None
    return floats


def _strides(path: Path, times_s: Floats) -> tuple[Floats, float]:
    """Give how many steps lie between samples, and a step's length (s)."""
    if not len(times_s):
        raise exception.InvalidTrace(f"{path}: t_seconds is empty")
    for time_s in times_s.tolist():
        fault = trace.time_fault(time_s)
        if fault:
            raise exception.InvalidTrace(
                f"{path}: t_seconds has {time_s:g}, {fault}"
            )
    distances_s = np.diff(times_s)
    if not len(distances_s):
        return distances_s, 1.0
    if (distances_s <= 0).any():
        raise exception.InvalidTrace(f"{path}: t_seconds doesn't rise")
    step_s = float(np.quantile(distances_s, 0.5, method="lower"))
    if (distances_s < step_s / 2).any():
        raise exception.InvalidTrace(f"{path}: t_seconds has unequal steps")
    # Half a step may be lateness; from there on a sample is missing.
    return np.maximum(1.0, np.rint(distances_s / step_s)), step_s


def _check(
    path: Path, samples: Samples, used: str, bad: trace.BadRows
) -> None:
    """Take out what can't be: it becomes a gap."""
    sizes_mib, used_mib = samples.sizes_mib, samples.used_mib
    seen: set[str] = set()
    for row, name in enumerate(samples.names):
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
            f"{samples.names[row]!r:.40} uses {used_mib[row, at]} MiB of "
            f"{sizes_mib[row]} MiB",
        )
    used_mib[wrong] = np.nan
