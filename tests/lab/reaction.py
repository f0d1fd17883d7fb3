# SPDX-License-Identifier: Apache-2.0
"""How soon a guest in need gets memory, beside a bare setMemory.

Both in turn on the same guest of the real Xen host. Its publisher is
replaced by one in dom0, so that the time counts from the publication, not
from whenever an emulated guest gets round to it.
"""

import json
import statistics
from collections.abc import Sequence

from tests.lab import demo as lab_demo
from tests.lab import dom0, steps
from tests.lab import guests as lab_guests
from tests.lab import lab as lab_module

ROUNDS = 9
LOW_MIB = 400
HIGH_MIB = lab_module.FLAVOR_MIB


def _grow(
    lab: lab_module.Lab, guest: lab_guests.Guest, what: str, mib: int
) -> dict[str, float]:
    command = f"python3 /root/lab/grow.py {guest.domain} {what} {mib}"
    told = lab.ssh(command, timeout_s=400)
    return dict(json.loads(told)) if told.strip() else {}


def _round(
    lab: lab_module.Lab, guest: lab_guests.Guest
) -> tuple[dict[str, float], dict[str, float]]:
    """Grow it by hand, and again by the agent."""
    lab.dom0.stop(dom0.AGENT)
    _grow(lab, guest, "shrink", LOW_MIB)
    bare = _grow(lab, guest, "bare", HIGH_MIB)
    _grow(lab, guest, "shrink", LOW_MIB)
    lab.dom0.restart(dom0.AGENT)
    agent = _grow(lab, guest, "need", HIGH_MIB)
    steps.say(f"bare {bare}, agent {agent}")
    return bare, agent


def play(lab: lab_module.Lab) -> dict[str, object]:
    """Give medians, and the worst first memory."""
    lab.set_mode("balance")
    demo = lab_demo.Demo(lab, 1)
    demo.clear()
    if not demo.place({"pv-reaction": "pv"}):
        raise steps.LabError("the one guest was not placed")
    demo.remember()
    guest = demo.guests()[0]
    guest.run(f"{lab_guests.STOP_PUBLISHER} true")
    rounds = [_round(lab, guest) for _ in range(ROUNDS)]

    def median(which: int, key: str) -> float:
        return statistics.median(each[which][key] for each in rounds)

    bare, agent = median(0, "mib_s"), median(1, "mib_s")
    return {
        "first_memory_s": {
            "p50": median(1, "first_s"),
            "max": max(each[1]["first_s"] for each in rounds),
            "bare_p50": median(0, "first_s"),
        },
        "bare_mib_s": bare,
        "agent_mib_s": agent,
        "ratio": round(agent / bare, 2),
    }


def main(arguments: Sequence[str]) -> int:
    """Measure on the lab that is up, or on one of its own."""
    del arguments
    with lab_module.Lab.borrowed() as lab:
        result = play(lab)
    print("RESULT", json.dumps(result))
    return 0
