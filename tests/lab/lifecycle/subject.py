# SPDX-License-Identifier: Apache-2.0
"""The instance that operations are tried on, and what must hold after one."""

import dataclasses
import secrets
import time
from collections.abc import Callable
from typing import Any

from tests.lab import guests as lab_guests
from tests.lab import lab as lab_module
from tests.lab import monitor as lab_monitor
from tests.lab import steps, volumes
from tests.lab.lifecycle import debian

# Emulated, a start takes half a minute, with others beside it two.
STATUS_WITHIN_S = 600
ANSWER_WITHIN_S = 900
_SECTOR = 512
_LEFT_WITHIN_S = 60


@dataclasses.dataclass
class Subject:
    """One instance of a kind: ``pv``, ``pvh``, ``hvm`` or ``debian``.

    A mark in the last sector of its root disk tells whose data it has, and
    ``sectors`` how large that is: a disk in another format has the mark at
    its end, too. ``boot`` is the id of the boot it lives in, ``extras`` what
    is attached to it: names of devices that its kernel must show.
    """

    lab: lab_module.Lab
    monitor: lab_monitor.Monitor
    kind: str
    guest: lab_guests.Guest
    mark: str = ""
    sectors: int = 0
    boot: str = ""
    eater: int = 0
    volume: str = ""
    port: str = ""
    extras: set[str] = dataclasses.field(default_factory=set)

    @property
    def uuid(self) -> str:
        """Nova's id."""
        return self.guest.uuid

    # Through the API.

    def ask(self, action: str, value: object = None, status: str = "") -> None:
        """Ask for an action and wait until it has been done.

        :raises LabError: it failed, with Nova's reason, or took too long.
        """
        request = self.lab.nova.act(self.uuid, action, value)
        self.wait_done(action, request, status or "ACTIVE")

    def wait_done(self, what: str, request: str, status: str) -> None:
        """Wait until a request is done and the instance has a status."""
        end_s = time.monotonic() + STATUS_WITHIN_S
        while time.monotonic() < end_s:
            server = self.lab.nova.server(self.uuid)
            idle = server["OS-EXT-STS:task_state"] is None
            events = self.lab.nova.events(self.uuid, request)
            _require_success(what, server, events, idle=idle)
            running = any(not event.get("finish_time") for event in events)
            if idle and not running and server["status"] == status:
                return
            time.sleep(2)
        raise steps.LabError(
            f"{what}: {server['status']}, {server['OS-EXT-STS:task_state']}"
            f" after {STATUS_WITHIN_S} s"
        )

    def status(self) -> str:
        """Nova's status."""
        return str(self.lab.nova.server(self.uuid)["status"])

    # Inside.

    def run(self, command: str, timeout_s: float = 60) -> str:
        """Run a command inside; asked again until it answers.

        :raises LabError: it never answered, or the command fails.
        """
        end_s = time.monotonic() + ANSWER_WITHIN_S
        while True:
            try:
                return self.guest.run(command, timeout_s)
            except lab_guests.GuestError:
                if time.monotonic() > end_s:
                    raise

    def write_mark(self, device: str = "xvda") -> str:
        """Write a new mark into the last sector of a disk; give it."""
        mark = secrets.token_hex(8)
        sectors = self._sectors(device)
        self.run(
            f"printf %-{_SECTOR}s {mark} | dd of=/dev/{device}"
            f" bs={_SECTOR} seek={sectors - 1} conv=fsync 2>/dev/null"
        )
        if device == "xvda":
            self.sectors = sectors
        return mark

    def read_mark(self, device: str = "xvda") -> str:
        """Give the mark of a disk, "" if there is none."""
        told = self.run(
            f"n=$(cat /sys/class/block/{device}/size);"
            f" dd if=/dev/{device} bs={_SECTOR} skip=$((n - 1)) count=1"
            " 2>/dev/null | tr -d '\\000 '"
        )
        return told.strip()

    def expect_mark(self, device: str = "xvda") -> None:
        """Require that a disk holds what was written to it."""
        found, sectors = self.read_mark(device), self._sectors(device)
        if found != self.mark:
            raise steps.LabError(f"{device} has lost its data: {found!r}")
        if sectors != self.sectors:
            raise steps.LabError(
                f"{device} has {sectors} sectors, not {self.sectors}"
            )

    def _sectors(self, device: str) -> int:
        return int(self.run(f"cat /sys/class/block/{device}/size"))

    def devices(self) -> set[str]:
        """Names of disks and interfaces that the kernel shows."""
        told = self.run("ls /sys/class/block /sys/class/net")
        return set(told.split())

    # What must hold.

    def remember(self) -> None:
        """Take the boot it lives in for granted from now on."""
        self.boot = self.guest.wait_booted(within_s=ANSWER_WITHIN_S)

    def check(self, *, same_boot: bool) -> None:
        """Require that it lives, whole, and its memory is what it may be.

        :raises LabError: says what is wrong.
        """
        boot = self.run("cat /proc/sys/kernel/random/boot_id").strip()
        if same_boot != (boot == self.boot):
            raise steps.LabError(
                "booted anew" if same_boot else "did not boot anew"
            )
        self.boot = boot
        if not same_boot:
            self.eater = 0
        self._require_unharmed()
        missing = self.extras - self.devices()
        if missing:
            raise steps.LabError(f"{', '.join(sorted(missing))} is gone")

    def _require_unharmed(self) -> None:
        told = self.run("grep ^oom_kill /proc/vmstat; ls /run/eat.lost; true")
        if "oom_kill 0" not in told:
            raise steps.LabError(f"its kernel killed a process: {told!r}")
        if "No such file" not in told:
            raise steps.LabError("memory came back wrong")

    def check_agent(self, failures: int) -> None:
        """Require that the agent has no fault and holds nothing for it.

        ``failures`` is how many passes had failed before.
        """
        end_s = time.monotonic() + _LEFT_WITHIN_S
        while True:
            told = self.lab.dom0.agent_status()
            if told["failures"] > failures:
                raise steps.LabError(f"a pass failed: {told['complaint']}")
            starting = {start["uuid"] for start in told["starts"]}
            left = self.uuid in starting or self.uuid in told["held"]
            if not left:
                return
            if time.monotonic() > end_s:
                raise steps.LabError("the agent still holds something for it")
            time.sleep(3)

    def eat(self, mib: int) -> None:
        """Use memory from now on; what it holds is checked by and by."""
        if self.kind == debian.IMAGE:
            told = self.run(debian.EAT.format(mib=mib))
            self.eater = int(told.split("pid ")[1].split()[0])
        else:
            self.eater = self.guest.eat(mib, 10_000)

    def stop_eating(self) -> None:
        """Give it back."""
        if self.kind == debian.IMAGE:
            self.run(debian.STOP_EATING)
        else:
            self.guest.stop_eating()
        self.eater = 0

    def size_kib(self) -> int:
        """What it has now, as Xen says."""
        sizes_kib = self.monitor.sizes_kib(self.guest.domain, 0.0)
        return sizes_kib[-1] if sizes_kib else 0

    def volume_file(self) -> str:
        """Where the file of the attached volume is in dom0."""
        return volumes.path_of(self.volume)


def _require_success(
    what: str,
    server: dict[str, Any],
    events: list[dict[str, Any]],
    *,
    idle: bool,
) -> None:
    failed = [e for e in events if e.get("result") == "Error"]
    if failed and idle:
        detail = failed[-1].get("details") or failed[-1].get("traceback")
        raise steps.LabError(f"{what}: {failed[-1]['event']}: {detail}")
    if server["status"] == "ERROR" and idle:
        fault = server.get("fault", {}).get("message", "")
        raise steps.LabError(f"{what}: {fault}")


def wait_for(
    what: str, ready: Callable[[], bool], timeout_s: float = 300
) -> None:
    """Wait for it.

    :raises LabError: in vain.
    """
    end_s = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > end_s:
            raise steps.LabError(f"{what}: not in {timeout_s:.0f} s")
        time.sleep(2)
