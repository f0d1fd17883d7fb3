# SPDX-License-Identifier: Apache-2.0
"""How many 1 GiB instances a real 4 GiB Xen host takes, and how they fare.

Ends with one line RESULT and JSON; the figures come from Nova's API, from
the guests' own kernels and from Xen, none from the agent.
"""

import concurrent.futures
import contextlib
import json
import pathlib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from tests.lab import dom0, monitor, paths, steps, xenhost
from tests.lab import guests as lab_guests
from tests.lab import lab as lab_module

T = TypeVar("T")
AIM = 16
# Kinds of the first instances; all others are PV.
OTHER_KINDS = ("hvm", "pvh")
NEED_MIB = 600
# An emulated guest takes half a minute to touch that much at all, and more
# when the others are busy.
NEED_WITHIN_S = 600
# What all want at once: with their own use more than each can have.
WANT_MIB = 800
# They hold it all, and touch it all once in a while: an emulated disk takes
# minutes for what they swap.
WANT_PAUSE_MS = 60_000
_FLOOR_SHARE = 0.02


class Demo:
    """One run on one lab."""

    def __init__(self, lab: lab_module.Lab, aim: int) -> None:
        self.lab = lab
        self.aim = aim
        self.lost: list[str] = []
        self.monitor: monitor.Monitor | None = None
        self._boot_ids: dict[str, str] = {}

    # Instances.

    @property
    def monitor_log(self) -> pathlib.Path:
        """The log to read when the host misbehaves."""
        return paths.logs() / "dom0.log"

    def clear(self) -> None:
        """Delete all instances."""
        self.lab.nova.delete_all(300, self.monitor_log)

    def place(self, names: Mapping[str, str]) -> list[str]:
        """Ask for instances at once; give the names that became ACTIVE.

        Those that failed are deleted again.
        """
        ids = {self.lab.boot(n, kind): n for n, kind in names.items()}
        states = self.lab.nova.wait_settled(list(ids), 600)
        for server_id, state in states.items():
            if state != "ACTIVE":
                self._tell_fault(ids[server_id], server_id)
                self.lab.nova.delete(server_id)
        return [ids[x] for x, state in states.items() if state == "ACTIVE"]

    def _tell_fault(self, name: str, server_id: str) -> None:
        server = self.lab.nova.server(server_id)
        fault = server.get("fault", {}).get("message", "")
        steps.say(f"{name}: {server['status']} {fault[:200]}")

    # The acts.

    def without(self) -> list[str]:
        """Ask for more than stock behaviour takes; give what runs."""
        self.lab.set_mode("observe")
        self.clear()
        steps.say("mode=observe: asking for four at once")
        placed = self.place({f"pv-stock-{n}": "pv" for n in range(4)})
        steps.say(f"without overcommit: {len(placed)}")
        return placed

    def with_overcommit(self, running: Sequence[str] = ()) -> int:
        """Ask for more until the host refuses for good; count all.

        ``running`` are the names of those that are there before.
        """
        self.lab.set_mode("overcommit")
        wanted = [*OTHER_KINDS, *["pv"] * self.aim]
        placed = list(running)
        refused_since_s: float | None = None
        number = 0
        while len(placed) < self.aim:
            names: dict[str, str] = {}
            for kind in wanted[: min(2, self.aim - len(placed))]:
                names[f"{kind}-{number}"] = kind
                number += 1
            new = self.place(names)
            placed += new
            for name in new:
                wanted.remove(names[name])
            steps.say(f"{len(placed)} of {self.aim} run; {self._memory()}")
            if new:
                refused_since_s = None
                continue
            refused_since_s = refused_since_s or time.monotonic()
            if time.monotonic() - refused_since_s > 150:
                break
            time.sleep(10)
        return self._still_active(placed)

    def place_patiently(self, name: str, kind: str, seconds: float) -> bool:
        """Ask for one instance until it is placed, or time is up."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.place({name: kind}):
                return True
            time.sleep(5)
        return False

    def _still_active(self, placed: Sequence[str]) -> int:
        """Count those that live; the others are lost."""
        states = {x["name"]: x["status"] for x in self.lab.nova.servers()}
        dead = [name for name in placed if states.get(name) != "ACTIVE"]
        self.lost += [f"{name} died while others started" for name in dead]
        for server in self.lab.nova.servers():
            if server["name"] in dead:
                self.lab.nova.delete(server["id"])
        return len(placed) - len(dead)

    def _memory(self) -> str:
        inventory = self.lab.nova.memory()
        free = self.lab.ssh("xl info free_memory").strip()
        ratio = inventory.get("allocation_ratio", 0)
        return f"ratio {ratio:.2f}, {free} MiB free"

    def guests(self) -> list[lab_guests.Guest]:
        """All instances, by name."""
        return sorted(self.lab.guests(), key=lambda guest: guest.name)

    def actual_mib(self, guest: lab_guests.Guest) -> int:
        """What a guest has, as Xen says."""
        row = self.lab.ssh(f"xl list {guest.domain}").splitlines()[1]
        return int(row.split()[2])

    def explained(self, guest: lab_guests.Guest) -> str:
        """What the agent explains of a guest, or why it doesn't.

        It may have only just started, and one that doesn't answer must not
        hide what is wrong besides.
        """
        tool = "/opt/nova/bin/nova-xen-overcommit explain"
        try:
            return self.lab.ssh(f"{tool} {guest.domain}")
        except (steps.LabError, subprocess.TimeoutExpired) as error:
            return str(error)

    def wait(
        self, what: str, ready: Callable[[], bool], timeout_s: float
    ) -> float:
        """Wait for it; give the seconds that took."""
        start_s = time.monotonic()
        steps.wait_until(what, ready, timeout_s, self.monitor_log, pause_s=1)
        return round(time.monotonic() - start_s, 1)

    def pv_guests(self) -> list[lab_guests.Guest]:
        """Those of kind PV, by name."""
        return [g for g in self.guests() if g.name.startswith("pv-")]

    def remember(self) -> None:
        """Ask each guest at its console which boot it lives in."""
        everyone = self.guests()
        for guest, boot_id in zip(
            everyone,
            _each(everyone, lab_guests.Guest.wait_booted),
            strict=True,
        ):
            if self._boot_ids.setdefault(guest.name, boot_id) != boot_id:
                self.lost.append(f"{guest.name} booted anew")
        steps.say(f"{len(everyone)} guests answer at their consoles")

    def forget(self, guest: lab_guests.Guest) -> None:
        """Let a guest boot anew without being lost."""
        self._boot_ids.pop(guest.name, None)

    def check_alive(self, when: str) -> None:
        """Note guests that died, booted anew, or killed something."""
        everyone = self.guests()
        there = {guest.name for guest in everyone}
        for name in self._boot_ids.keys() - there:
            self.lost.append(f"{name} is gone {when}")
        for guest, problem in zip(
            everyone, _each(everyone, self._problem), strict=True
        ):
            if problem:
                self.lost.append(f"{guest.name} {when}: {problem}")
        steps.say(f"{when}: {len(self.lost)} lost {self.lost}")

    def _problem(self, guest: lab_guests.Guest) -> str:
        try:
            return self._harm(guest)
        except lab_guests.GuestError as error:
            # A console's shell that ended, and was started anew, swallows
            # what was typed meanwhile; a guest that is lost never answers.
            steps.say(f"{guest.name} is asked again: {error}")
        try:
            return self._harm(guest)
        except lab_guests.GuestError as error:
            return str(error)

    def _harm(self, guest: lab_guests.Guest) -> str:
        if guest.boot_id() != self._boot_ids[guest.name]:
            return "booted anew"
        if guest.oom_kills():
            return "its kernel killed a process"
        if guest.run("ls /run/eat.lost 2>/dev/null; true").strip():
            return "memory came back wrong"
        return ""

    def need(self, guest: lab_guests.Guest, mib: int = NEED_MIB) -> float:
        """Let one guest need memory; give seconds until it has all in RAM."""
        start_s = time.monotonic()
        pid = guest.eat(mib)
        while time.monotonic() - start_s < NEED_WITHIN_S:
            resident_kib, swapped_kib = guest.eaten_kib(pid)
            if resident_kib >= mib << 10 and guest.eat_passes(pid):
                break
            time.sleep(0.5)
        else:
            raise steps.LabError(
                f"{guest.name} never had its {mib} MiB, but"
                f" {resident_kib >> 10}, and {swapped_kib >> 10} in swap; the"
                f" agent explains:\n{self.explained(guest)}"
            )
        met_s = time.monotonic() - start_s
        steps.say(f"{guest.name} has its {mib} MiB after {met_s:.1f} s")
        return met_s

    def all_want(self, seconds: float) -> None:
        """Let everyone want everything, for a while."""
        everyone = self.guests()
        _each(everyone, lambda guest: guest.eat(WANT_MIB, WANT_PAUSE_MS))
        steps.say(f"all {len(everyone)} want {WANT_MIB} MiB")
        time.sleep(seconds)

    def calm(self) -> None:
        """Let everyone give everything back."""
        _each(self.guests(), lambda guest: guest.stop_eating())

    def kill_agent(self) -> None:
        """SIGKILL the agent while memory moves; systemd starts it again."""
        before = self._agent_pid()
        self.lab.ssh(f"systemctl kill -s KILL {dom0.AGENT}")
        steps.wait_until(
            "the agent's restart",
            lambda: self._agent_pid() not in ("0", before),
            60,
            self.monitor_log,
        )
        steps.say("agent killed; runs again")

    def one_needs(self, needy: lab_guests.Guest) -> float:
        """Let one need memory and give it back; tell how long it waited."""
        met_s = self.need(needy)
        needy.stop_eating()
        return met_s

    def all_want_and_the_agent_dies(self) -> None:
        """All need memory, and the agent is killed meanwhile."""
        self.all_want(90)
        self.check_alive("while all want everything")
        self.kill_agent()
        time.sleep(15)
        self.calm()
        self.check_alive("after SIGKILL of the agent")

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the hypervisor for as long as the block runs."""
        self.monitor = monitor.Monitor(self.lab.host, _FLOOR_SHARE)
        try:
            yield
        finally:
            self.monitor.close()

    def result(
        self, placed_without: int, placed_with: int, met_s: float
    ) -> dict[str, object]:
        """Give what is printed in the end; to be asked while watched."""
        assert self.monitor
        violations = self.monitor.violations()
        for violation in violations[:20]:
            steps.say(violation)
        return {
            "host_mib": xenhost.HOST_MIB,
            "flavor_mib": lab_module.FLAVOR_MIB,
            "placed_without": placed_without,
            "placed_with": placed_with,
            "need_mib": NEED_MIB,
            "need_met_s": round(met_s, 1),
            "violations": len(violations),
            "lost": len(self.lost),
        }

    def _agent_pid(self) -> str:
        show = f"systemctl show -P MainPID {dom0.AGENT}"
        return self.lab.ssh(show).strip()


def _each(
    guests: Sequence[lab_guests.Guest],
    ask: Callable[[lab_guests.Guest], T],
) -> list[T]:
    """Ask all guests at once; give the answers in their order."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(ask, guests))


def play(demo: Demo) -> dict[str, object]:
    """Play all acts; give the result."""
    placed_without = len(demo.without())
    demo.clear()
    with demo.watched():
        placed_with = demo.with_overcommit()
        demo.remember()
        met_s = demo.one_needs(demo.pv_guests()[0])
        demo.check_alive("after one needed memory")
        demo.all_want_and_the_agent_dies()
        return demo.result(placed_without, placed_with, met_s)


def main(arguments: Sequence[str]) -> int:
    """Bring a lab up if there is none, play, and end what we brought up."""
    aim = int(arguments[0]) if arguments else AIM
    with lab_module.Lab.borrowed() as lab:
        result = play(Demo(lab, aim))
    print("RESULT", json.dumps(result))
    good = (
        result["placed_without"] == 3
        and int(str(result["placed_with"])) >= min(10, aim)
        and not result["violations"]
        and not result["lost"]
    )
    return 0 if good else 1
