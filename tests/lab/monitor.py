# SPDX-License-Identifier: Apache-2.0
"""Watch the hypervisor, and judge it by the rules."""

import json
import subprocess

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
        found = []
        for sample in self.samples():
            if float(str(sample["t_s"])) < since_s:
                continue
            guests: dict[str, list[int]] = sample["guests"]  # type: ignore[assignment]
            for name, (state, most_kib, actual_kib) in guests.items():
                least_kib = floor.floor_kib(most_kib, self._share)
                if state in _ENDING:
                    continue
                # One that is being built has nothing yet.
                if actual_kib < least_kib - _SLACK_KIB and actual_kib:
                    found.append(f"{name} below its floor: {actual_kib}")
                if actual_kib > most_kib + _SLACK_KIB:
                    found.append(f"{name} above its flavor: {actual_kib}")
        return found

    def close(self) -> None:
        """Stop watching."""
        self._process.terminate()
        self._process.wait()
