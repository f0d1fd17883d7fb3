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
    """Play the demo with five instances, and all mishaps; give faults.

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
    placed_without = demo.without()
    with demo.watched():
        placed_with = demo.with_overcommit()
        demo.remember()
        faults = outages.play(demo)
        met_s = demo.hunger()
        faults += outages.liars(demo)
        result = demo.result(placed_without, placed_with, met_s)
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
