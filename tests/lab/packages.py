# SPDX-License-Identifier: Apache-2.0
"""Install the outer machine's Debian packages that the lab needs."""

import contextlib
import os
import pathlib
import re
import subprocess
from collections.abc import Iterator

from tests.lab import paths, steps

_POLICY = pathlib.Path("/usr/sbin/policy-rc.d")
_LINE = re.compile(r"^(\S+)\s*\[([^]]*)\]")


def wanted(bindep: str, profile: str = "lab") -> list[str]:
    """Names of the packages of ``profile``."""
    found = [_LINE.match(line) for line in bindep.splitlines()]
    return [m[1] for m in found if m and profile in m[2].split()]


def _missing(names: list[str]) -> list[str]:
    told = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    there = {
        line.split()[0]
        for line in told.splitlines()
        if line.split()[1:] == ["installed"]
    }
    return [name for name in names if name not in there]


@contextlib.contextmanager
def _no_service_starts() -> Iterator[None]:
    """Keep Debian from starting the servers that it installs."""
    before = _POLICY.read_bytes() if _POLICY.exists() else None
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if before is None:
            _POLICY.unlink()
        else:
            _POLICY.write_bytes(before)


def install(log: pathlib.Path, profile: str = "lab") -> None:
    """Install what is missing of ``profile``; no server is started.

    :raises LabError: apt-get failed, or we aren't root.
    """
    bindep = (paths.TREE / "bindep.txt").read_text()
    names = _missing(wanted(bindep, profile))
    if not names:
        return
    steps.say(f"installing {len(names)} packages: {' '.join(names)}")
    # RabbitMQ's epmd must not listen on all addresses, ever.
    env = dict(
        os.environ,
        DEBIAN_FRONTEND="noninteractive",
        ERL_EPMD_ADDRESS="127.0.0.1",
    )
    get = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    with _no_service_starts():
        steps.run([*get, "update"], log, env=env)
        steps.run(
            [*get, "install", "--no-install-recommends", *names], log, env=env
        )
