# SPDX-License-Identifier: Apache-2.0
"""A guest that moves its own balloon, without an agent and with one.

Ends with one line RESULT and JSON; sizes come from Xen, times from the
guest's own kernel and from what Xen said each second.
"""

import json
import time
from collections.abc import Sequence

from tests.lab import demo as lab_demo
from tests.lab import dom0, steps
from tests.lab import guests as lab_guests
from tests.lab import lab as lab_module

# An idle guest of 1 GiB needs less than that.
IDLE_MIB = 400
# It gives a tenth of what it has above its need each second: half a minute,
# where the processor isn't emulated.
SHRINKS_WITHIN_S = 240
# From when memory is eaten until Xen sees the guest grow: it looks at itself
# each second, but its shell is emulated, too.
GROWS_WITHIN_S = 60
RECOGNISED_WITHIN_S = 90
# With it, more than fit the host without overcommit.
OTHERS = 3
_GROWN_KIB = 32 << 10
_KIB_PER_MIB = 1024
_PUBLISHER = "/usr/bin/nova-xen-overcommit-publisher"
# The wrapper has the publisher's name, so that init starts it instead.
_MOVE_ITSELF = (
    f"mv {_PUBLISHER} /usr/bin/publisher;"
    " printf '#!/bin/sh\\nexport NXO_SELF_BALLOON=yes\\n"
    f"exec /usr/bin/publisher\\n' >{_PUBLISHER};"
    f" chmod +x {_PUBLISHER};"
    " killall nova-xen-overcommit-publisher 2>/dev/null; true"
)
_TOLD = "xenstore-read data/nova_xen_overcommit | grep -c self_more_kib; true"


class SelfBalloon:
    """One run on one lab."""

    def __init__(self, lab: lab_module.Lab) -> None:
        self.lab = lab
        self.demo = lab_demo.Demo(lab, 1 + OTHERS)
        self.faults: list[str] = []
        self.result: dict[str, object] = {}

    # What Xen says.

    def _cap_mib(self, guest: lab_guests.Guest) -> int:
        """What the host allows: libxl sets target and hard cap together."""
        path = f"/local/domain/$(xl domid {guest.domain})/memory/target"
        return int(self.lab.ssh(f"xenstore-read {path}")) // _KIB_PER_MIB

    # The acts.

    def begin(self) -> lab_guests.Guest:
        """Start one instance, and end the agent."""
        self.lab.set_mode("overcommit")
        self.demo.clear()
        if not self.demo.place_patiently("pv-self", "pv", 300):
            raise steps.LabError("the first instance could not be placed")
        self.demo.remember()
        self.lab.dom0.stop(dom0.AGENT)
        guest = self.demo.pv_guests()[0]
        actual_mib = self.demo.actual_mib(guest)
        steps.say(f"agent stopped; {guest.domain} has {actual_mib} MiB")
        return guest

    def shrinks(self, guest: lab_guests.Guest) -> None:
        """Let it move its own balloon: idle, it gives most of it."""
        allowed_mib = self._cap_mib(guest)
        guest.run(_MOVE_ITSELF)
        self.demo.wait(
            "the publisher's other mode",
            lambda: "1" in guest.run(_TOLD).split(),
            60,
        )
        self._wait_until_idle(guest)
        self.result["idle_mib"] = self.demo.actual_mib(guest)
        if self._cap_mib(guest) != allowed_mib:
            self.faults.append("it shrank, but the host changed its target")

    def _wait_until_idle(self, guest: lab_guests.Guest) -> None:
        took_s = self.demo.wait(
            f"the idle guest to shrink to {IDLE_MIB} MiB",
            lambda: self._rests_idle(guest),
            SHRINKS_WITHIN_S,
        )
        actual_mib = self.demo.actual_mib(guest)
        steps.say(f"idle, it rests at {actual_mib} MiB after {took_s} s")

    def _rests_idle(self, guest: lab_guests.Guest) -> bool:
        before_mib = self.demo.actual_mib(guest)
        if before_mib > IDLE_MIB:
            return False
        time.sleep(10)
        return abs(self.demo.actual_mib(guest) - before_mib) <= 1

    def grows(self, guest: lab_guests.Guest) -> None:
        """Let it need memory without an agent."""
        before_kib = self.demo.actual_mib(guest) * _KIB_PER_MIB
        began_s = float(self.lab.ssh("date +%s.%N"))
        self.result["need_met_s"] = round(self.demo.need(guest), 1)
        grown_s = self._grown_at_s(guest, before_kib, began_s)
        self.result["grew_s"] = round(grown_s - began_s, 1)
        if grown_s - began_s > GROWS_WITHIN_S:
            self.faults.append(f"it grew after {self.result['grew_s']} s")
        guest.stop_eating()
        self._wait_until_idle(guest)

    def _grown_at_s(
        self, guest: lab_guests.Guest, before_kib: int, since_s: float
    ) -> float:
        """When Xen first saw it with clearly more, on dom0's clock."""
        assert self.demo.monitor
        for sample in self.demo.monitor.samples():
            seen: dict[str, list[int]] = sample["guests"]  # type: ignore[assignment]
            at_s = float(str(sample["t_s"]))
            if at_s < since_s or guest.domain not in seen:
                continue
            if seen[guest.domain][2] > before_kib + _GROWN_KIB:
                return at_s
        raise steps.LabError("it never grew, as Xen has it")

    def recognised(self, guest: lab_guests.Guest) -> None:
        """Start the agent: it knows the guest, and leaves it alone."""
        before_mib = self.demo.actual_mib(guest)
        self.lab.dom0.restart(dom0.AGENT)
        self.result["recognised_s"] = self.demo.wait(
            "the agent to recognise it",
            lambda: bool(self._status(guest).get("balloons_itself")),
            RECOGNISED_WITHIN_S,
        )
        self._explain(guest)
        status = self._status(guest)
        if status["status"] != "settled":
            self.faults.append(f"its status is {status['status']}")
        if abs(self.demo.actual_mib(guest) - before_mib) > 32:
            self.faults.append("the agent's start moved its balloon")

    def _status(self, guest: lab_guests.Guest) -> dict[str, object]:
        """What the agent says of it; nothing as long as it knows nothing."""
        try:
            told = self.lab.dom0.agent_status()
        except steps.LabError:
            return {}
        for one in told.get("guests", []):
            if one["uuid"] == guest.uuid:
                return dict(one)
        return {}

    def _explain(self, guest: lab_guests.Guest) -> None:
        told = self.demo.explained(guest)
        steps.say(f"the agent explains:\n{told}")
        if "moves its own balloon" not in told:
            self.faults.append("explain doesn't tell that it does so")

    def makes_room(self, guest: lab_guests.Guest) -> None:
        """Start as many as fit the host beside it, and one more."""
        idle_mib = self.demo.actual_mib(guest)
        placed = [
            name
            for name in (f"pv-{number}" for number in range(OTHERS))
            if self.demo.place_patiently(name, "pv", 300)
        ]
        self.demo.remember()
        self.result["instances"] = 1 + len(placed)
        if len(placed) < OTHERS:
            self.faults.append(f"only {placed} could be placed beside it")
        cap_mib, actual_mib = self._cap_mib(guest), self.demo.actual_mib(guest)
        self.result["cap_mib"] = cap_mib
        steps.say(f"its cap is {cap_mib} MiB now, it has {actual_mib}")
        if cap_mib >= lab_module.FLAVOR_MIB - IDLE_MIB // 4:
            self.faults.append(f"its cap is still {cap_mib} MiB")
        if actual_mib < idle_mib - 32:
            self.faults.append(
                f"it was made smaller, {idle_mib} -> {actual_mib} MiB"
            )

    def gets_more(self, guest: lab_guests.Guest) -> None:
        """Let it need more than its cap: the agent raises that."""
        self.result["met_beyond_cap_s"] = round(self.demo.need(guest), 1)
        guest.stop_eating()
        self.demo.check_alive("after all")

    def play(self) -> None:
        """Play all acts."""
        guest = self.begin()
        try:
            with self.demo.watched():
                self.shrinks(guest)
                self.grows(guest)
                self.recognised(guest)
                self.makes_room(guest)
                self.gets_more(guest)
                assert self.demo.monitor
                self.faults += self.demo.monitor.violations()[:20]
        finally:
            self.lab.dom0.restart(dom0.AGENT)
        self.faults += self.demo.lost
        self.demo.clear()


def main(arguments: Sequence[str]) -> int:
    """Run on the lab that is up, or on one of its own."""
    del arguments
    with lab_module.Lab.borrowed() as lab:
        run = SelfBalloon(lab)
        run.play()
    for fault in run.faults:
        steps.say(f"FAULT {fault}")
    print("RESULT", json.dumps({**run.result, "faults": len(run.faults)}))
    return 1 if run.faults else 0
