# SPDX-License-Identifier: Apache-2.0
"""Guests that take commands at their consoles."""

import concurrent.futures
import dataclasses
import itertools
import json
import re
import subprocess
import threading
import time

from tests.lab import paths, processes, steps, xenhost

# The name keeps the loop in a guest's init from starting another.
STOP_PUBLISHER = (
    "rm /usr/bin/nova-xen-overcommit-publisher;"
    " killall nova-xen-overcommit-publisher 2>/dev/null;"
)


# An emulated guest takes this long to boot among others.
_BOOTED_WITHIN_S = 600
# A guest that boots drops what is typed, or answers late: it is asked again,
# but not often, since a console whose 1 KiB is full before the guest reads it
# stays so for good.
_ASKED_EVERY_S = 75


class GuestError(steps.LabError):
    """A guest didn't answer, or its command failed."""


class Consoles:
    """One connection to dom0 over which all consoles are used."""

    def __init__(self, host: xenhost.XenHost) -> None:
        self._numbers = itertools.count()
        self._waiting: dict[
            int, concurrent.futures.Future[dict[str, object]]
        ] = {}
        self._lock = threading.Lock()
        log = (paths.logs() / "consoles.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                host.command("python3 -u /root/lab/consoles.py"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=processes.environment(),
            )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            answer = json.loads(line)
            with self._lock:
                waiting = self._waiting.pop(answer["id"])
            waiting.set_result(answer)

    def ask(self, guest: str, command: str, timeout_s: float) -> str:
        """Run a command in a guest and give what it printed.

        :raises GuestError: no answer, or it ended with an error.
        """
        assert self._process.stdin
        waiting: concurrent.futures.Future[dict[str, object]]
        waiting = concurrent.futures.Future()
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = waiting
            asked = {
                "id": number,
                "guest": guest,
                "command": command,
                "timeout_s": timeout_s,
            }
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
        try:
            answer = waiting.result(timeout_s + 60)
        except TimeoutError as error:
            raise GuestError(f"{guest}: dom0 doesn't answer") from error
        if "error" in answer or answer["status"]:
            raise GuestError(f"{guest}: {command!r}: {answer}")
        return str(answer["output"])

    def close(self) -> None:
        """End the connection."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait()


@dataclasses.dataclass(frozen=True)
class Guest:
    """``name`` is the user's, ``domain`` libvirt's."""

    consoles: Consoles
    name: str
    uuid: str
    domain: str

    def run(self, command: str, timeout_s: float = 240) -> str:
        """Run a shell command inside and give what it printed.

        A guest that swaps on an emulated disk may take minutes to answer.

        :raises GuestError: no answer, or it ended with an error.
        """
        return self.consoles.ask(self.domain, command, timeout_s)

    def boot_id(self, timeout_s: float = 240) -> str:
        """Changes when the guest boots anew."""
        told = self.run("cat /proc/sys/kernel/random/boot_id", timeout_s)
        return told.strip()

    def wait_booted(
        self, before: str = "", within_s: float = _BOOTED_WITHIN_S
    ) -> str:
        """Ask until it answers, out of another boot than ``before``.

        :return: the boot id.
        :raises GuestError: it doesn't in time.
        """
        end_s = time.monotonic() + within_s
        problem = "is still in the same boot"
        while time.monotonic() < end_s:
            try:
                boot_id = self.boot_id(_ASKED_EVERY_S)
            except GuestError as error:
                problem = f"{error}"
            else:
                if boot_id != before:
                    return boot_id
                time.sleep(3)
        raise GuestError(f"{self.name} did not boot: {problem}")

    def reboot(self) -> None:
        """Reboot from inside, as its user would."""
        self.run("(sleep 1; reboot -f) >/dev/null 2>&1 &")

    def oom_kills(self) -> int:
        """How many processes its kernel has killed for want of memory."""
        told = self.run("grep ^oom_kill /proc/vmstat")
        return int(told.split("oom_kill ")[1].split()[0])

    def eat(self, mib: int, pause_ms: int = 1000) -> int:
        """Use memory over and over from now on; give the process id."""
        told = self.run(
            f"eat {mib} {pause_ms} >/run/eat.log 2>&1 & echo pid $!"
        )
        return int(told.split("pid ")[1].split()[0])

    def eaten_kib(self, pid: int) -> tuple[int, int]:
        """What an eater has in RAM, and in swap."""
        told = self.run(f"grep -E '^Vm(RSS|Swap)' /proc/{pid}/status")
        # The kernel may have said something at the console, too.
        found = dict(re.findall(r"^(Vm\w+):\s+(\d+) kB", told, re.MULTILINE))
        return int(found["VmRSS"]), int(found["VmSwap"])

    def eat_passes(self, pid: int) -> int:
        """How often an eater has touched all of its memory."""
        told = self.run(f"cat /run/eat.{pid} 2>/dev/null || echo 0")
        return int(told.split()[0]) if told.split() else 0

    def stop_eating(self) -> None:
        """Give everything back."""
        self.run("killall eat 2>/dev/null; true")
