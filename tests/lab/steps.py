# SPDX-License-Identifier: Apache-2.0
"""Run commands with a log each, and tell how far the lab has come."""

import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

_START_S = time.monotonic()
_SAY = threading.Lock()


class LabError(Exception):
    """A step of the lab failed; the message names the log to read."""


def say(text: str) -> None:
    """Print one line of progress with the seconds since the start."""
    with _SAY:
        print(
            f"[{time.monotonic() - _START_S:6.1f}s] {text}",
            file=sys.stderr,
            flush=True,
        )


def run(
    argv: Sequence[str | os.PathLike[str]],
    log: pathlib.Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: pathlib.Path | None = None,
    stdin: str | None = None,
) -> None:
    """Run a command, its output appended to ``log``.

    :raises LabError: when it cannot be run or fails; names ``log``.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as out:
        out.write(f"\n$ {' '.join(map(str, argv))}\n")
        out.flush()
        try:
            done = subprocess.run(
                argv,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                input=stdin or "",
                text=True,
                check=False,
            )
        except OSError as error:
            raise LabError(f"{argv[0]}: {error}; log: {log}") from error
    if done.returncode:
        raise LabError(f"{argv[0]} ended with {done.returncode}; read {log}")


def wait_until(
    what: str,
    ready: Callable[[], bool],
    timeout_s: float,
    log: pathlib.Path,
    *,
    pause_s: float = 0.5,
) -> None:
    """Poll ``ready`` until it is true.

    :raises LabError: after ``timeout_s``; names ``log``.
    """
    end = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > end:
            raise LabError(
                f"{what}: not ready after {timeout_s:.0f} s; read {log}"
            )
        time.sleep(pause_s)
