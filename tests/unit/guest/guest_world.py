# SPDX-License-Identifier: Apache-2.0
"""A guest for the real publisher: its procfs, its time and its xenstore.

Time passes when the publisher pauses: ``sleep`` is a command of ours, which
puts the next state of procfs in place. Xenstore is a command that writes down
what it is given, or a file in place of the device.
"""

import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

GUEST_DIR = Path(__file__).parents[3] / "nova_xen_overcommit" / "guest"
PUBLISHER = GUEST_DIR / "nova-xen-overcommit-publisher"
SHELLS = (("dash",), ("busybox", "sh"))

_SLEEP = """#!/bin/sh
cd {root} || exit
read -r second < second
second=$((second + 1))
echo "$second" > second
[ ! -d "proc.$second" ] || {{ rm proc; ln -s "proc.$second" proc; }}
[ ! -x balloon.sh ] || ./balloon.sh "$second"
[ ! -e "end.$second" ] || kill "$PPID"
"""
# The kernel's balloon on Xen: it goes to its target, as far as the host
# allows, and the rest of the guest sees less or more memory.
_BALLOON = """#!/bin/sh
read -r target < balloon/target_kb
[ ! -e "host.$1" ] || { read -r target < "host.$1"; cp "host.$1" allowed; }
[ ! -e "allow.$1" ] || cp "allow.$1" allowed
echo "$target" > balloon/target_kb
echo "$1 $target" >> targets
read -r allowed < allowed
[ "$target" -le "$allowed" ] || target=$allowed
echo "$target" > balloon/info/current_kb
[ ! -e "used.$1" ] || cp "used.$1" used
read -r used < used
total=$((target - 65536)) available=$((target - 65536 - used))
[ "$available" -ge 0 ] || available=0
read -r swap < swap
printf '%s\\n' "MemTotal: $total kB" "MemFree: 0 kB" \\
    "MemAvailable: $available kB" "SwapTotal: $swap kB" \\
    "SwapFree: $swap kB" > proc/meminfo
echo "$1 $target" >> sizes
"""
_RECORD = """#!/bin/sh
read -r second < {root}/second
echo "$second" "$#" "$@" >> {root}/record
"""
_MEMINFO = """MemTotal:        {total} kB
MemFree:          {free} kB
{available}Buffers:           4000 kB
Cached:            6000 kB
SwapCached:            0 kB
SwapTotal:       {swap_total} kB
SwapFree:        {swap_free} kB
Dirty:                 4 kB
"""
_PRESSURE = """some avg10=0.00 avg60=0.00 avg300=0.00 total={total}
full avg10=0.00 avg60=0.00 avg300=0.00 total=7
"""


class GuestWorld:
    """One guest in a directory of its own."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        (self.root / "second").write_text("0\n")
        self._command("sleep", _SLEEP)
        self._command("record", _RECORD)
        self.environment = {
            "PATH": f"{self.root}/bin:{os.environ['PATH']}",
            "TMPDIR": "/nonexistent",
            "NXO_PROC": str(self.root / "proc"),
            "NXO_XENSTORE_WRITE": str(self.root / "bin" / "record"),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        shutil.rmtree(self.root)

    def _command(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.format(root=self.root))
        path.chmod(0o755)

    def at(
        self,
        second: int,
        total: int = 980332,
        available: int | None = 800000,
        free: int = 700000,
        swap_total: int = 1048572,
        swap_free: int = 1048572,
        swap_in_pages: int | None = 0,
        psi_us: int | None = 0,
    ) -> None:
        """Say what procfs shows from ``second`` on; None: not there."""
        proc = self.root / f"proc.{second}"
        proc.mkdir()
        if second == 0:
            (self.root / "proc").symlink_to(proc.name)
        has_available = available is not None
        (proc / "meminfo").write_text(
            _MEMINFO.format(
                total=total,
                free=free,
                available=f"MemAvailable: {available} kB\n" * has_available,
                swap_total=swap_total,
                swap_free=swap_free,
            )
        )
        if swap_in_pages is not None:
            (proc / "vmstat").write_text(
                f"nr_free_pages 9\npswpin {swap_in_pages}\npswpout 3\n"
            )
        if psi_us is not None:
            (proc / "pressure").mkdir()
            text = _PRESSURE.format(total=psi_us)
            (proc / "pressure" / "memory").write_text(text)

    def balloon(
        self, size_kib: int, used: dict[int, int], swap_kib: int | None = None
    ) -> None:
        """Give it a balloon; ``used`` says how much it uses from when on.

        It has as much swap as memory unless told.
        """
        swap_kib = size_kib if swap_kib is None else swap_kib
        (self.root / "balloon" / "info").mkdir(parents=True)
        (self.root / "balloon" / "target_kb").write_text(f"{size_kib}\n")
        (self.root / "allowed").write_text(f"{size_kib}\n")
        (self.root / "swap").write_text(f"{swap_kib}\n")
        for second, kib in used.items():
            (self.root / f"used.{second}").write_text(f"{kib}\n")
        script = self.root / "balloon.sh"
        script.write_text(_BALLOON)
        script.chmod(0o755)
        self.at(0)
        self.built_for(size_kib)
        subprocess.run(["./balloon.sh", "0"], cwd=self.root, check=True)
        self.environment |= {
            "NXO_SELF_BALLOON": "yes",
            "NXO_BALLOON": str(self.root / "balloon"),
        }

    def built_for(self, *zones_kib: int) -> None:
        """Say how much is in each of its zones, in the balloon or not."""
        (self.root / "proc" / "zoneinfo").write_text(
            "".join(
                f"Node 0, zone X\n        present  {kib // 4}\n"
                "        managed  7\n"
                for kib in zones_kib
            )
        )

    def host_sets(self, second: int, kib: int) -> None:
        """Let the host set target and cap, as libxl does, at a time."""
        (self.root / f"host.{second}").write_text(f"{kib}\n")

    def host_allows(self, second: int, kib: int) -> None:
        """Let the host allow so much at a time, unheard by the guest."""
        (self.root / f"allow.{second}").write_text(f"{kib}\n")

    @property
    def sizes(self) -> list[int]:
        """What it had, second by second."""
        return self._logged("sizes")

    @property
    def targets(self) -> list[int]:
        """What its kernel's balloon aimed at, second by second."""
        return self._logged("targets")

    def _logged(self, name: str) -> list[int]:
        lines = (self.root / name).read_text().splitlines()
        return [int(line.split()[1]) for line in lines]

    def run(
        self, shell: Sequence[str], looks: int, **environment: str
    ) -> "Outcome":
        """Run the publisher in a shell for so many looks."""
        ran = subprocess.run(
            [*shell, str(PUBLISHER)],
            env={
                **self.environment,
                "NXO_ROUNDS": str(looks),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return Outcome(self.root / "record", ran.stderr)


class Outcome:
    """What the publisher wrote, and when."""

    def __init__(self, record: Path, stderr: str) -> None:
        self.stderr = stderr
        self.lines = record.read_text().splitlines() if record.exists() else []

    @property
    def seconds(self) -> list[int]:
        """At which seconds something was written."""
        return [int(line.split()[0]) for line in self.lines]

    def figures(self, index: int = -1) -> dict[str, int]:
        """The figures of one write."""
        pairs = [w.split("=") for w in self.lines[index].split() if "=" in w]
        return {name: int(value) for name, value in pairs}


def messages(stream: bytes) -> list[tuple[int, int, int, bytes]]:
    """Take a stream to xenstore's device apart: type, request, tx, body."""
    found = []
    while stream:
        kind, request, transaction, length = struct.unpack(
            "<IIII", stream[:16]
        )
        body, stream = stream[16 : 16 + length], stream[16 + length :]
        if len(body) != length:
            raise ValueError(f"message cut at {len(body)} of {length} bytes")
        found.append((kind, request, transaction, body))
    return found
