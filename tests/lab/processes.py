# SPDX-License-Identifier: Apache-2.0
"""The lab's processes outside of the emulator: started, found, ended.

Each carries a mark in its environment, and so do its children. Ending the
lab means ending whatever carries the mark, whoever started it and whether
that one still lives.
"""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence

from tests.lab import paths

_MARK = "NOVA_XEN_OVERCOMMIT_LAB_RUN"
_TERM_WAIT_S = 5.0


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A clean environment that carries the mark."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    # setproctitle, used by the services, would overwrite the mark.
    mark = {_MARK: str(paths.run()), "SPT_NOENV": "1"}
    return {**env, **(extra or {}), **mark}


def start(
    name: str,
    argv: Sequence[str | os.PathLike[str]],
    env: Mapping[str, str] | None = None,
) -> int:
    """Start a server in a session of its own; give its process id.

    Its output goes to ``logs/NAME.log``.
    """
    log = paths.logs() / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment(env),
            cwd=paths.run(),
            start_new_session=True,
        )
    pids = paths.run() / "pids"
    pids.mkdir(exist_ok=True)
    (pids / name).write_text(f"{process.pid}\n")
    return process.pid


def pid_of(name: str) -> int | None:
    """The process id of a server that was started and still lives."""
    try:
        pid = int((paths.run() / "pids" / name).read_text())
    except (OSError, ValueError):
        return None
    mark = f"{_MARK}={paths.run()}".encode()
    # One look isn't enough: /proc shows nothing for a moment at times.
    for _ in range(3):
        if _has_mark(pid, mark):
            return pid
        time.sleep(0.1)
    return None


def names() -> list[str]:
    """Servers that were started in this run."""
    pids = paths.run() / "pids"
    return sorted(p.name for p in pids.iterdir()) if pids.is_dir() else []


def _has_mark(pid: int, mark: bytes) -> bool:
    try:
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        state = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    zombie = state.rpartition(")")[2].split()[0] == "Z"
    return mark in environment.split(b"\0") and not zombie


def marked() -> set[int]:
    """Ids of all processes of this lab."""
    mark = f"{_MARK}={paths.run()}".encode()
    found = (int(p.name) for p in pathlib.Path("/proc").glob("[0-9]*"))
    return {p for p in found if p != os.getpid() and _has_mark(p, mark)}


def _signal(pids: set[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def stop(pids: set[int]) -> None:
    """End processes: politely, then by force."""
    _signal(pids, signal.SIGTERM)
    end = time.monotonic() + _TERM_WAIT_S
    while pids & marked() and time.monotonic() < end:
        _reap()
        time.sleep(0.1)
    while left := pids & marked():
        _signal(left, signal.SIGKILL)
        _reap()
        time.sleep(0.1)


def stop_server(name: str) -> None:
    """End one server with all of its session."""
    pid = pid_of(name)
    if pid is None:
        return
    session = {p for p in marked() if _session(p) == pid}
    stop(session)


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


def stop_all() -> None:
    """End everything that carries the mark."""
    while left := marked():
        stop(left)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody uses now."""
    sockets = []
    for _ in range(count):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        sockets.append(listener)
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def answers(port: int) -> bool:
    """Whether someone listens on 127.0.0.1:port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
