# SPDX-License-Identifier: Apache-2.0
"""The lab's short run: fewer instances than the demo, and more mishaps."""

import json
from collections.abc import Sequence

from tests.lab import demo as lab_demo
from tests.lab import lab as lab_module
from tests.lab import outages, steps

# More than three 1 GiB instances fit in no 4 GiB host without ballooning.
AIM = 5


def run(lab: lab_module.Lab) -> list[str]:
    """Play the demo with five instances, and more mishaps; give faults.

    :raises LabError: the lab failed, and nothing was lost before.
    """
    demo = lab_demo.Demo(lab, AIM)
    try:
        return _play(demo)
    except steps.LabError as error:
        if not demo.lost:
            raise
        return [*demo.lost, str(error)]


def _play(demo: lab_demo.Demo) -> list[str]:
    running = demo.without()
    with demo.watched():
        # Nobody is asked to stop: those that run make room for more.
        placed_with = demo.with_overcommit(running)
        demo.remember()
        needy = demo.pv_guests()[0]
        with outages.nova_gone(demo.lab):
            met_s = demo.one_needs(needy)
        demo.check_alive("after one needed memory without Nova")
        demo.all_want_and_the_agent_dies()
        faults = outages.play(demo)
        result = demo.result(len(running), placed_with, met_s)
    print("RESULT", json.dumps(result))
    expected = {
        "placed_without": 3,
        "placed_with": AIM,
        "violations": 0,
        "lost": 0,
    }
    faults += [
        f"{name} is {result[name]}, not {value}"
        for name, value in expected.items()
        if result[name] != value
    ]
    return faults + demo.lost


def main(arguments: Sequence[str]) -> int:
    """Run on the lab that is up, or on one of its own."""
    del arguments
    with lab_module.Lab.borrowed() as lab:
        faults = run(lab)
    for fault in faults:
        steps.say(f"FAULT {fault}")
    return 1 if faults else 0
