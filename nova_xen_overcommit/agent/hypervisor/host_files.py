# SPDX-License-Identifier: Apache-2.0
"""What the host's kernel says of its memory: /proc and control groups.

On KVM guests are processes: what is left for them is what the kernel can
give, less if a control group bounds them (machine.slice, where libvirt puts
them under systemd). A kernel that makes processes stall for memory (PSI)
has none to give, whatever it counts as available.
"""

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence

from nova_xen_overcommit.agent import pressure

_BYTES_PER_KIB = 1024
_US_PER_S = 1_000_000
# Version 1 writes this for a group without a limit, rounded to its pages.
_NO_LIMIT_KIB = 1 << 52
# Where libvirt puts guests under systemd; version 2, then 1.
MACHINES = (
    "/sys/fs/cgroup/machine.slice",
    "/sys/fs/cgroup/memory/machine.slice",
)
_PRESSURE = "memory.pressure"
# Shorter, and one stall would look like many.
_LEAST_WINDOW_S = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Bound:
    """A control group's limit, and how far it is from it; KiB."""

    limit_kib: int
    left_kib: int


class HostFiles:
    """Reads them anew at each call; what can't be read is None.

    ``group`` is the directory of the guests' control group, "" for where
    libvirt puts them; ``proc`` is replaced in tests.
    """

    def __init__(
        self,
        group: str = "",
        proc: pathlib.Path = pathlib.Path("/proc"),
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._groups = [
            pathlib.Path(p) for p in ([group] if group else MACHINES)
        ]
        self._proc = proc
        self._monotonic_s = monotonic_s
        self._stalls: tuple[float, int] | None = None
        self._stalled_percent = 0.0

    def available_kib(self, total_kib: int) -> int | None:
        """Give MemAvailable, if ``total_kib`` tells that it is our host."""
        figures: dict[str, int] = {}
        with contextlib.suppress(OSError, ValueError):
            for line in (self._proc / "meminfo").read_text().splitlines():
                name, _colon, rest = line.partition(":")
                figures[name] = int(rest.split()[0])
        if figures.get("MemTotal") != total_kib:
            return None
        return figures.get("MemAvailable")

    def bound(self) -> Bound | None:
        """Give what bounds the guests together, if anything does.

        File pages of the group count as left: its kernel drops them first.
        """
        for group in self._groups:
            for limit, used, cache in _VERSIONS:
                found = _number_kib(group / limit)
                held = _number_kib(group / used)
                if found is None or held is None:
                    continue
                files_kib = _files_kib(group / "memory.stat", cache)
                left_kib = max(0, found - held + files_kib)
                return Bound(found, min(found, left_kib))
        return None

    def stalled_percent(self) -> float:
        """Give the share of time in which guests stall for memory.

        Since the last call that was at least a second ago. Of the guests'
        group where the kernel counts that (version 2), else of all.
        """
        stalled_us = next(self._stalled_us(), None)
        now_s = self._monotonic_s()
        if stalled_us is None:
            return 0.0
        before = self._stalls
        if before is None or stalled_us < before[1]:
            self._stalls = now_s, stalled_us
            return 0.0
        elapsed_s = now_s - before[0]
        if elapsed_s >= _LEAST_WINDOW_S:
            grown_us = stalled_us - before[1]
            self._stalls = now_s, stalled_us
            self._stalled_percent = 100.0 * grown_us / _US_PER_S / elapsed_s
        return min(100.0, self._stalled_percent)

    def _stalled_us(self) -> Iterator[int]:
        groups = [group / _PRESSURE for group in self._groups]
        for path in (*groups, self._proc / "pressure/memory"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                yield int(pressure.figures(path)["some"]["total"])


# By version: files of limit and use, and what memory.stat calls file pages.
_VERSIONS: Sequence[tuple[str, str, Sequence[str]]] = (
    ("memory.max", "memory.current", ("inactive_file", "active_file")),
    (
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_inactive_file", "total_active_file"),
    ),
)


def _number_kib(path: pathlib.Path) -> int | None:
    """Read a number of bytes; None for no limit, or no such file."""
    try:
        kib = int(path.read_text()) // _BYTES_PER_KIB
    except (OSError, ValueError):
        return None
    return kib if kib < _NO_LIMIT_KIB else None


def _files_kib(path: pathlib.Path, names: Sequence[str]) -> int:
    found = 0
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            name, _space, value = line.partition(" ")
            if name in names:
                found += int(value) // _BYTES_PER_KIB
    return found
