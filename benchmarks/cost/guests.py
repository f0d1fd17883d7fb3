# SPDX-License-Identifier: Apache-2.0
"""Guests that publish, and the xenstore daemon they publish to.

A process of its own, so that neither counts as the agent's. It takes one
JSON command a line on its standard input and answers each with one line.
"""

import json
import subprocess
import sys
import time
from typing import Any

from tests import xenstore_double

_KIB = 1024
_KERNEL_KIB = 24 * _KIB


def line(seq: int, actual_kib: int, used_kib: int) -> str:
    """Give what a guest's publisher writes."""
    total_kib = actual_kib - _KERNEL_KIB
    return (
        f"v=1 seq={seq} mem_total_kib={total_kib} "
        f"mem_available_kib={max(0, total_kib - used_kib)} "
        f"swap_total_kib=1048572 swap_free_kib=1048572 swap_in_kib=0 "
        f"swap_out_kib=0 psi_some_us=0 period_s=5"
    )


class Guests:
    """All guests of the benchmark."""

    def __init__(self) -> None:
        self._daemon = xenstore_double.XenstoreDouble()
        self._seq = 0

    def where(self) -> str:
        """Give the daemon's socket."""
        return self._daemon.path

    def speak(
        self, domain_ids: list[int], actual_kib: int, used_kib: int
    ) -> float:
        """Let guests publish; give the moment just before the first."""
        began_s = time.monotonic()
        self._seq += 1
        said = line(self._seq, actual_kib, used_kib)
        for domain_id in domain_ids:
            self._daemon.guest_writes(domain_id, nova_xen_overcommit=said)
        return began_s

    def close(self) -> None:
        """End the daemon."""
        self._daemon.__exit__()


class GuestsProcess:
    """The same, from the benchmark's side."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.socket_path: str = self._ask("where")

    def speak(
        self, domain_ids: list[int], actual_kib: int, used_kib: int
    ) -> float:
        """Let guests publish; see :meth:`Guests.speak`."""
        said: float = self._ask("speak", domain_ids, actual_kib, used_kib)
        return said

    def _ask(self, method: str, *arguments: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([method, arguments]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def main() -> None:
    """Do as told until the standard input ends."""
    guests = Guests()
    try:
        for command in sys.stdin:
            method, arguments = json.loads(command)
            answer = getattr(guests, method)(*arguments)
            print(json.dumps(answer), flush=True)
    finally:
        guests.close()


if __name__ == "__main__":
    main()
