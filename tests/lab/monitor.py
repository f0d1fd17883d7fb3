# SPDX-License-Identifier: Apache-2.0
"""Watch the hypervisor, and judge it by the rules."""

import dataclasses
import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from nova_xen_overcommit.policy import floor
from tests.lab import paths, processes, xenhost

_SLACK_KIB = 2048
# libvirt's states of a domain that is being torn down: shutdown, shutoff,
# crashed. Its memory goes away bit by bit.
_ENDING = (4, 5, 6)


class Monitor:
    """Samples of every guest's memory, each second, as Xen has it."""

    def __init__(self, host: xenhost.XenHost, floor_share: float) -> None:
        self._share = floor_share
        self.path = paths.logs() / "monitor.jsonl"
        self.path.unlink(missing_ok=True)
        with self.path.open("ab") as out:
            self._process = subprocess.Popen(
                host.command("python3 -u /root/lab/monitor.py"),
                stdin=subprocess.DEVNULL,
                stdout=out,
                env=processes.environment(),
            )

    def samples(self) -> list[dict[str, object]]:
        """All whole samples so far."""
        lines = self.path.read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def sizes_kib(self, name: str, since_s: float) -> list[int]:
        """What a guest had since then, by dom0's clock."""
        return [
            sample["guests"][name][2]  # type: ignore[index]
            for sample in self.samples()
            if name in sample["guests"]  # type: ignore[operator]
            and float(str(sample["t_s"])) >= since_s
        ]

    def violations(self, since_s: float = 0.0) -> list[str]:
        """Each time that a guest was outside its floor and its flavor.

        ``since_s`` is by dom0's clock.
        """
        return violations(self.samples(), self._share, since_s)

    def close(self) -> None:
        """Stop watching."""
        self._process.terminate()
        self._process.wait()


def violations(
    samples: Sequence[Mapping[str, Any]], share: float, since_s: float
) -> list[str]:
    """Each time that a guest was outside its floor and its flavor.

    A domain gets its memory bit by bit while it is built, and loses it so
    while it is torn down, whatever libvirt calls it then: what it has before
    it first has its floor, or after it last had it where it is gone by now,
    is no choice of anybody's.
    """
    looks: dict[tuple[str, int], list[_Look]] = {}
    for sample in samples:
        for name, figures in sample["guests"].items():
            state, most_kib, actual_kib, number = figures
            if state not in _ENDING:
                look = _Look(sample["t_s"], most_kib, actual_kib, share)
                looks.setdefault((name, number), []).append(look)
    there = samples[-1]["guests"] if samples else {}
    found = []
    for (name, number), seen in looks.items():
        gone = name not in there or there[name][3] != number
        found += [
            f"{name} {look.wrong}"
            for look in _of_its_life(seen, gone=gone)
            if look.wrong and look.time_s >= since_s
        ]
    return found


@dataclasses.dataclass(frozen=True)
class _Look:
    """What one domain had at a moment; KiB."""

    time_s: float
    most_kib: int
    actual_kib: int
    share: float

    @property
    def is_below(self) -> bool:
        least_kib = floor.floor_kib(self.most_kib, self.share)
        return self.actual_kib < least_kib - _SLACK_KIB

    @property
    def wrong(self) -> str:
        if self.is_below:
            return f"below its floor: {self.actual_kib}"
        if self.actual_kib > self.most_kib + _SLACK_KIB:
            return f"above its flavor: {self.actual_kib}"
        return ""


def _of_its_life(seen: Sequence[_Look], *, gone: bool) -> Sequence[_Look]:
    """Leave out what is of its building, and of its end."""
    whole = [n for n, look in enumerate(seen) if not look.is_below]
    if not whole:
        return []
    return seen[whole[0] : whole[-1] + 1 if gone else None]
