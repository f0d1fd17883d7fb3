# SPDX-License-Identifier: Apache-2.0
"""The tool as a process on a terminal of its own."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from typing import Any

_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# A machine may be busy with other tests.
PATIENCE_S = 180


class Terminal:
    """A pseudo-terminal on which the tool runs with ``words``."""

    def __init__(
        self, *words: str, columns: int = 120, lines: int = 30, **env: str
    ) -> None:
        self._master, self._slave = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self._slave)
        self.raw = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nova_xen_overcommit.cmd.tool", *words],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            preexec_fn=self._own,
            env={
                **os.environ,
                "TERM": "xterm-256color",
                "LC_ALL": "C.UTF-8",
                **env,
            },
        )

    def _own(self) -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size."""
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, size)

    def press(self, keys: str) -> None:
        """Press keys; what they mean is the terminal's matter."""
        os.write(self._master, keys.encode())

    def read(self, wait_s: float = 0.1) -> str:
        """Give what was written by now, in all."""
        while select.select([self._master], [], [], wait_s)[0]:
            try:
                self.raw += os.read(self._master, 65536).decode()
            except OSError:
                break
        return self.raw

    def text(self, since: int = 0) -> str:
        """Give what was written without what only moves and colours."""
        return _SEQUENCE.sub("", self.read()[since:])

    def await_text(self, wanted: str, since: int = 0) -> None:
        """Wait for some text.

        :raises AssertionError: it doesn't come.
        """
        deadline_s = time.monotonic() + PATIENCE_S
        while wanted not in self.text(since):
            if time.monotonic() > deadline_s or self.process.poll():
                raise AssertionError(
                    f"no {wanted!r} in {self.text(since)[-2000:]!r}"
                )

    def ended(self) -> int:
        """Wait for the end; give the exit code.

        What it writes is read meanwhile, or it would wait for that.
        """
        deadline_s = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            self.read()
            if time.monotonic() > deadline_s:
                raise AssertionError(f"it goes on: {self.raw[-1000:]!r}")
        self.read()
        return self.process.returncode

    def modes(self) -> list[Any]:
        """Give the terminal's modes as they are."""
        return termios.tcgetattr(self._slave)

    def close(self) -> None:
        """End what still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
        os.close(self._slave)
