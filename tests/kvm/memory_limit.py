# SPDX-License-Identifier: Apache-2.0
"""A control group that bounds the memory of a host's guests for real."""

import contextlib
import dataclasses
import os
import pathlib
import time

_CGROUPS = pathlib.Path("/sys/fs/cgroup")
_MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class MemoryLimit:
    """A group whose members get no more, and no swap.

    ``files`` are what it is measured by: use, swap and kills.
    """

    path: pathlib.Path
    used_file: str
    procs_file: str = "cgroup.procs"

    @classmethod
    def make(cls, limit_mib: int) -> "MemoryLimit | None":
        """Make one; None where this machine doesn't let us."""
        name = f"nova-xen-overcommit-kvm-{os.getpid()}"
        for made in (_version_2, _version_1):
            with contextlib.suppress(OSError):
                return made(name, limit_mib * _MIB)
        return None

    def used_kib(self) -> int:
        """What the kernel counts as the group's, page cache included."""
        return int((self.path / self.used_file).read_text()) // 1024

    def killed(self) -> int:
        """How many processes were killed for want of memory."""
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError):
                lines = (self.path / name).read_text().splitlines()
                found = [x.split() for x in lines if x.startswith("oom_kill ")]
                return int(found[0][1]) if found else 0
        return 0

    def remove(self) -> None:
        """Remove it, once its last process is gone."""
        for _ in range(50):
            try:
                self.path.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.1)
            else:
                return


def _version_2(name: str, limit_bytes: int) -> MemoryLimit:
    controllers = (_CGROUPS / "cgroup.subtree_control").read_text().split()
    if "memory" not in controllers:
        (_CGROUPS / "cgroup.subtree_control").write_text("+memory")
    path = _CGROUPS / name
    path.mkdir()
    try:
        (path / "memory.max").write_text(str(limit_bytes))
        swap = path / "memory.swap.max"
        if swap.exists():
            swap.write_text("0")
    except OSError:
        path.rmdir()
        raise
    return MemoryLimit(path, "memory.current")


def _version_1(name: str, limit_bytes: int) -> MemoryLimit:
    path = _CGROUPS / "memory" / name
    path.mkdir()
    try:
        (path / "memory.limit_in_bytes").write_text(str(limit_bytes))
        both = path / "memory.memsw.limit_in_bytes"
        if both.exists():
            both.write_text(str(limit_bytes))
    except OSError:
        path.rmdir()
        raise
    return MemoryLimit(path, "memory.usage_in_bytes")
