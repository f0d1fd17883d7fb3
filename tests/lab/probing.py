# SPDX-License-Identifier: Apache-2.0
"""A guest that says nothing: memory is taken from it, and given back.

Judged from outside only, on the real Xen host. Ends with one line RESULT
and JSON; sizes come from Xen.
"""

import json
from collections.abc import Sequence

from tests.lab import demo as lab_demo
from tests.lab import dom0, steps
from tests.lab import guests as lab_guests
from tests.lab import lab as lab_module

# With it, more than fit the host without overcommit.
OTHERS = 3
# Its first three minutes, and one in which it is calm; emulated.
WATCHED_WITHIN_S = 420
# Steps of 10 MiB each 10 s.
TAKE_MIB = 80
TAKEN_WITHIN_S = 600
# With the swap that it then needs it is clearly seen to hurt.
EAT_MIB = 900
GROWS_WITHIN_S = 300
WHOLE_WITHIN_S = 480
# A balloon rests some pages beside its target.
_NEAR_MIB = 3
_KIB_PER_MIB = 1024
# Its publisher also wrote what other guest tools write.
_SAY_NOTHING = (
    "for key in nova_xen_overcommit meminfo_total meminfo_free;"
    " do xenstore-rm data/$key; done; true"
)
_PROBING = {"xen_overcommit": {"probe_silent_guests": True}}


class Probing:
    """One run on one lab."""

    def __init__(self, lab: lab_module.Lab) -> None:
        self.lab = lab
        self.demo = lab_demo.Demo(lab, 1 + OTHERS)
        self.faults: list[str] = []
        self.result: dict[str, object] = {}

    def silent(self) -> lab_guests.Guest:
        """Start one instance and silence it; the agent never heard it."""
        self.lab.set_mode("overcommit")
        self.demo.clear()
        if not self.demo.place_patiently("pv-silent", "pv", 300):
            raise steps.LabError("the silent instance could not be placed")
        self.demo.remember()
        guest = self.demo.pv_guests()[0]
        guest.run(f"{lab_guests.STOP_PUBLISHER} sleep 2; {_SAY_NOTHING}")
        self.lab.dom0.configure("overcommit", _PROBING)
        self.lab.dom0.restart(dom0.AGENT)
        return guest

    def others(self) -> list[lab_guests.Guest]:
        """Start the others, which speak."""
        for number in range(OTHERS):
            if not self.demo.place_patiently(f"pv-{number}", "pv", 300):
                raise steps.LabError(f"pv-{number} could not be placed")
        self.demo.remember()
        return [g for g in self.demo.pv_guests() if g.name != "pv-silent"]

    def taken(
        self, guest: lab_guests.Guest, others: list[lab_guests.Guest]
    ) -> None:
        """Let the others want what the silent one has."""
        self.result["calm_s"] = self.demo.wait(
            "the silent guest to be known as calm",
            lambda: "is calm" in self.demo.explained(guest),
            WATCHED_WITHIN_S,
        )
        before_mib = self.demo.actual_mib(guest)
        for other in others:
            other.eat(lab_demo.WANT_MIB, lab_demo.WANT_PAUSE_MS)
        steps.say(f"{len(others)} others want {lab_demo.WANT_MIB} MiB each")
        self.result["taken_s"] = self.demo.wait(
            f"{TAKE_MIB} MiB to be taken",
            lambda: before_mib - self.demo.actual_mib(guest) >= TAKE_MIB,
            TAKEN_WITHIN_S,
        )
        self.result["before_mib"] = before_mib
        self.result["taken_to_mib"] = self.demo.actual_mib(guest)
        steps.say(f"the agent explains:\n{self.demo.explained(guest)}")

    def hurts(
        self, guest: lab_guests.Guest, others: list[lab_guests.Guest]
    ) -> None:
        """Let it need what it gave: its disks tell, and it has all back."""
        began_s = float(self.lab.ssh("date +%s.%N"))
        guest.eat(EAT_MIB)
        # More may be taken until it swaps.
        self.result["grew_s"] = self.demo.wait(
            "the first memory to come back",
            lambda: self._has_grown(guest, began_s),
            GROWS_WITHIN_S,
        )
        steps.say(f"the agent explains:\n{self.demo.explained(guest)}")
        for other in others:
            other.stop_eating()
        self.result["whole_s"] = self.demo.wait(
            "its flavor",
            lambda: (
                self.demo.actual_mib(guest)
                >= lab_module.FLAVOR_MIB - _NEAR_MIB
            ),
            WHOLE_WITHIN_S,
        )
        self.demo.check_alive("after it had its memory back")

    def _has_grown(self, guest: lab_guests.Guest, since_s: float) -> bool:
        """Whether Xen saw it with clearly more than at its lowest."""
        assert self.demo.monitor
        sizes_mib = [
            sample["guests"][guest.domain][2] // _KIB_PER_MIB  # type: ignore[index]
            for sample in self.demo.monitor.samples()
            if float(str(sample["t_s"])) >= since_s
        ]
        return bool(sizes_mib) and sizes_mib[-1] > min(sizes_mib) + _NEAR_MIB

    def play(self) -> None:
        """Play all acts."""
        try:
            guest = self.silent()
            others = self.others()
            with self.demo.watched():
                self.taken(guest, others)
                self.hurts(guest, others)
                assert self.demo.monitor
                self.faults += self.demo.monitor.violations()[:20]
            self.faults += self.demo.lost
        finally:
            self.demo.clear()
            self.lab.dom0.configure("overcommit")
            self.lab.dom0.restart(dom0.AGENT)


def main(arguments: Sequence[str]) -> int:
    """Run on the lab that is up, or on one of its own."""
    del arguments
    with lab_module.Lab.borrowed() as lab:
        run = Probing(lab)
        run.play()
    for fault in run.faults:
        steps.say(f"FAULT {fault}")
    print("RESULT", json.dumps({**run.result, "faults": len(run.faults)}))
    return 1 if run.faults else 0
