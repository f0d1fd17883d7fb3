#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run commands in guests over their consoles; runs in dom0.

Reads one JSON object a line, {"id", "guest", "command", "timeout_s"}, and
answers in any order with {"id", "output", "status"} or {"id", "error"}.
"""

import concurrent.futures
import contextlib
import json
import os
import re
import secrets
import select
import subprocess
import sys
import termios
import threading
import time
import tty
from typing import Any

import libvirt

_locks: dict[str, threading.Lock] = {}
_answer = threading.Lock()


def _terminal(connection: libvirt.virConnect, guest: str) -> str:
    """Path of the terminal of the guest's paravirtual console."""
    number = connection.lookupByName(guest).ID()
    path = f"/local/domain/{number}/console/tty"
    told = subprocess.run(
        ["xenstore-read", path], capture_output=True, text=True, check=True
    )
    return told.stdout.strip()


def converse(path: str, command: str, timeout_s: float) -> tuple[str, int]:
    """Send ``command`` and read until its end mark."""
    mark = secrets.token_hex(6)
    # The marks are put together by the guest's shell, so that an echo of
    # what is typed never looks like one.
    half, rest = mark[:6], mark[6:]
    text = (
        f"\x15echo {half}''{rest}; {{ {command}\n}} 2>&1;"
        f" echo; echo {half}''{rest} $?\n"
    )
    end = re.compile(rf"{mark}\r?\n(.*)\r?\n{mark} (\d+)\r?\n", re.DOTALL)
    terminal = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        tty.setraw(terminal, termios.TCSANOW)
        termios.tcflush(terminal, termios.TCIFLUSH)
        return _exchange(terminal, text, end, timeout_s)
    finally:
        os.close(terminal)


def _exchange(
    terminal: int, text: str, end: re.Pattern[str], timeout_s: float
) -> tuple[str, int]:
    deadline = time.monotonic() + timeout_s
    told = ""
    waiting = text.encode()
    while time.monotonic() < deadline:
        wanted = [terminal] if waiting else []
        readable, writable, _ = select.select([terminal], wanted, [], 1)
        # Whoever else has the terminal open may be quicker.
        if writable:
            with contextlib.suppress(BlockingIOError):
                waiting = waiting[os.write(terminal, waiting[:64]) :]
        if readable:
            with contextlib.suppress(BlockingIOError):
                told += os.read(terminal, 65536).decode(errors="replace")
            found = end.search(told)
            if found:
                output = found[1].replace("\r\n", "\n").rstrip("\n")
                return output, int(found[2])
    raise TimeoutError(f"no answer in {timeout_s} s; heard {told[-300:]!r}")


def _serve_one(connection: libvirt.virConnect, asked: dict[str, Any]) -> None:
    answer = {"id": asked["id"]}
    guest = asked["guest"]
    try:
        with _locks.setdefault(guest, threading.Lock()):
            path = _terminal(connection, guest)
            answer["output"], answer["status"] = converse(
                path, asked["command"], asked["timeout_s"]
            )
    except Exception as error:  # noqa: BLE001 - told to who asked
        answer["error"] = f"{type(error).__name__}: {error}"
    with _answer:
        print(json.dumps(answer), flush=True)


def main() -> None:
    connection = libvirt.open("xen:///system")
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        for line in sys.stdin:
            pool.submit(_serve_one, connection, json.loads(line))


if __name__ == "__main__":
    main()
