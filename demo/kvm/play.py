# SPDX-License-Identifier: Apache-2.0
"""The play: stock, overcommit, and a guest that suddenly needs memory."""

import contextlib
import dataclasses
import math
import re
import threading
import time
from collections.abc import Callable

import libvirt

from demo import play
from demo.kvm.stack import FLAVOR_MIB, KvmStack
from demo.kvm.watch import KIB, Watch
from tests.kvm import guests
from tests.kvm.agent import Agent
from tests.lab.guests import Guest, GuestError

HOST_MIB = 2048
# What eight QEMU take beside their guests' memory.
QEMU_MIB = 320
LIMIT_MIB = HOST_MIB + QEMU_MIB
NEED_MIB = 300
_PATIENCE_S = {"observe": 8.0, "overcommit": 30.0}
_BOOTS_WITHIN_S = 300.0
_KNOWN_WITHIN_S = 120.0
_NEED_WITHIN_S = 120.0
NEED_MET_WITHIN_S = 2.0
_POLL_S = 0.05
# Less than this part of what a guest has is available: it lacks memory.
_LACKS_BELOW = 10
# By the guest's own clock, from the start of the program that needs memory
# until all of its pages are in RAM.
_EAT = (
    "read a rest </proc/uptime; eat {mib} 200 >/run/eat.log 2>&1 & p=$!;"
    " while r=$(grep ^VmRSS /proc/$p/status | tr -dc 0-9);"
    " [ ${{r:-0}} -lt {kib} ]; do usleep 20000; done;"
    " read b rest </proc/uptime; echo took $a $b;"
    " grep -E '^Vm(RSS|Swap)' /proc/$p/status"
)


@dataclasses.dataclass(slots=True)
class Stage:
    """Everything that takes part."""

    nova: KvmStack
    agent: Agent
    watch: Watch
    connection: libvirt.virConnect
    consoles: guests.Consoles
    say: Callable[[str], None]

    def guest(self, uuid: str) -> Guest:
        """Give the way to speak to an instance."""
        domain = self.connection.lookupByUUIDString(uuid)
        return guests.named(self.consoles, domain)

    def settle(self, uuid: str) -> None:
        """Wait until a guest has booted and the agent knows its use."""
        guest = self.guest(uuid)
        began_s = time.monotonic()
        until(_BOOTS_WITHIN_S, lambda: guest.run("true", 5) is not None)
        until(_KNOWN_WITHIN_S, lambda: self.told(uuid)["used_kib"] is not None)
        took_s = time.monotonic() - began_s
        row = self.told(uuid)
        self.say(
            f"  booted and known after {took_s:.1f} s: uses "
            f"{row['used_kib'] // KIB} of {row['actual_kib'] // KIB} MiB"
        )

    def told(self, uuid: str) -> dict[str, int]:
        """Give the agent's row of a guest."""
        rows = self.agent.client.status()["guests"]
        return next(row for row in rows if row["uuid"] == uuid)


def until(timeout_s: float, ready: Callable[[], bool]) -> None:
    """Wait until ``ready``; what isn't there yet is asked again.

    :raises RuntimeError: it was not in time.
    """
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        with contextlib.suppress(GuestError, StopIteration, KeyError):
            if ready():
                return
        time.sleep(_POLL_S)
    raise RuntimeError(f"a guest was not ready after {timeout_s:.0f} s")


def perform(stage: Stage) -> play.Outcome:
    """Play all acts."""
    outcome = play.Outcome(host_mib=HOST_MIB, flavor_mib=FLAVOR_MIB)
    started: list[str] = []
    for mode in ("observe", "overcommit"):
        stage.say(f"mode = {mode}")
        stage.nova.set_mode(mode)
        stage.agent.reload(mode=mode)
        play.fill(
            stage.nova, stage.say, started, _PATIENCE_S[mode], stage.settle
        )
        _tell(stage)
        if mode == "observe":
            outcome.placed_without = len(started)
    outcome.placed_with = len(started)
    _need(stage, outcome, started[1])
    _tell(stage)
    outcome.lost = _lost(stage, started)
    outcome.violations = stage.watch.faults.total()
    return outcome


def _tell(stage: Stage) -> None:
    moment = stage.watch.look()
    held_kib = sum(guest.actual_kib for guest in moment.guests)
    stage.say(
        f"{len(moment.guests)} guests have {held_kib // KIB} MiB; RSS of all "
        f"QEMU {moment.resident_kib // KIB}, their control group "
        f"{moment.used_kib // KIB} of {LIMIT_MIB} MiB; host swap used: "
        f"{moment.swap_kib} KiB"
    )


class _Grant:
    """Notes when a guest's balloon leaves it what it needs.

    ``told_s`` is when its statistics first showed that it lacks memory: less
    than a tenth of what it has is available. ``begun_s`` is when its balloon
    first left it more, and ``had_s`` when all of what it needs; seconds since
    its program was started.
    """

    def __init__(self, domain: libvirt.virDomain, wanted_kib: int) -> None:
        self._domain = domain
        self._wanted_kib = wanted_kib
        self._first = domain.memoryStats()
        self._began_s = time.monotonic()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.told_s = self.begun_s = self.had_s = math.nan

    def __enter__(self) -> "_Grant":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._leaving.set()
        self._thread.join(5.0)

    def _watch(self) -> None:
        while not self._leaving.wait(_POLL_S) and math.isnan(self.had_s):
            told = self._domain.memoryStats()
            now_s = time.monotonic() - self._began_s
            if math.isnan(self.told_s) and _lacks(told):
                self.told_s = now_s
            if math.isnan(self.begun_s) and (
                told["actual"] > self._first["actual"] + 4 * KIB
            ):
                self.begun_s = now_s
            if told["actual"] >= self._wanted_kib:
                self.had_s = now_s


def _lacks(told: dict[str, int]) -> bool:
    return told.get("usable", 0) < told["actual"] // _LACKS_BELOW


def _need(stage: Stage, outcome: play.Outcome, uuid: str) -> None:
    """Let one guest need memory.

    It has it when its balloon leaves it that much, counted from when its
    statistics, which come once a second, tell that it lacks memory, or from
    the first grant where that came before. When all of it is in use, by the
    guest's own clock, is told beside: under emulation that is how long
    touching so much memory takes.
    """
    outcome.need_mib = NEED_MIB
    guest = stage.guest(uuid)
    row = stage.told(uuid)
    stage.say(
        f"{guest.name} needs {NEED_MIB} MiB at once; it uses "
        f"{row['used_kib'] // KIB} of {row['actual_kib'] // KIB} MiB"
    )
    wanted_kib = row["used_kib"] + NEED_MIB * KIB
    domain = stage.connection.lookupByUUIDString(uuid)
    command = _EAT.format(mib=NEED_MIB, kib=NEED_MIB * KIB)
    with _Grant(domain, wanted_kib) as grant:
        told = guest.run(command, _NEED_WITHIN_S)
    began, ended = re.findall(r"took (\S+) (\S+)", told)[0]
    used_s = float(ended) - float(began)
    if math.isnan(grant.had_s):
        raise RuntimeError("its balloon never left it what it needs")
    since_s = grant.begun_s if math.isnan(grant.told_s) else grant.told_s
    outcome.need_met_s = round(max(0.0, grant.had_s - since_s), 2)
    sizes = dict(re.findall(r"Vm(RSS|Swap):\s+(\d+)", told))
    stage.say(
        f"lacked memory after {grant.told_s:.1f} s, granted from "
        f"{grant.begun_s:.1f} to {grant.had_s:.1f} s; all of it in RAM after "
        f"{used_s:.1f} s ({int(sizes['RSS']) // KIB} MiB, "
        f"{int(sizes['Swap']) // KIB} in swap)"
    )


def _lost(stage: Stage, started: list[str]) -> int:
    """Count guests that don't answer any more, or whom Nova has lost."""
    running = stage.nova.running()
    lost = 0
    for uuid in started:
        try:
            stage.guest(uuid).run("true", 60)
        except (GuestError, libvirt.libvirtError):
            lost += 1
            continue
        lost += uuid not in running
    return lost
