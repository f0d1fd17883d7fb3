# SPDX-License-Identifier: Apache-2.0
"""Measure what the agent costs; ends with a line ``RESULT {...}``.

Each measurement has a process of its own, so that memory and caches of one
don't count in another.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.cost import measure, week, world

# As the agent's own process has it: its modules count in its memory.
from nova_xen_overcommit.cmd import agent as agent_process  # noqa: F401

SIZES = (10, 100, 1000, 5000)
WEEK_GUESTS = 1000
NAMES = ("cpu_ms", "wall_ms", "rss_mib", "plain_cpu_ms")


def environment() -> dict[str, str]:
    """Give the environment of a measurement."""
    found = dict(os.environ)
    # What is installed was compiled then: the agent doesn't do it.
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found


def alone(*arguments: str) -> dict[str, float]:
    """Run one measurement in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.cost", *arguments]
    done = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def alone_with_week(count: int) -> dict[str, float]:
    """Measure with a week of history on disk."""
    uuids = [world.guest_uuid(number) for number in range(count)]
    with tempfile.TemporaryDirectory() as directory:
        week.write(Path(directory), uuids, int(time.time()))
        return alone("--passes", str(count), "--history", directory)


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """Give figures that can be read."""
    return {name: round(figure, 2) for name, figure in figures.items()}


def measure_all(sizes: list[int]) -> dict[str, Any]:
    """Run all measurements, showing each."""
    print(
        "guests   pass CPU  (all spoke)  pass wall  listening  plain CPU"
        "   RSS (and the hypervisor's)"
    )
    guests = {}
    for size in sizes:
        found = alone("--passes", str(size))
        print(
            f"{size:6}  {found['cpu_ms']:6.2f} ms  {found['all_cpu_ms']:8.2f}"
            f" ms  {found['wall_ms']:6.2f} ms  {found['heard_cpu_ms']:6.2f} ms"
            f"  {found['plain_cpu_ms']:6.2f} ms"
            f"  {found['rss_mib']:5.1f} ({found['host_rss_mib']:.1f}) MiB",
            flush=True,
        )
        guests[str(size)] = rounded({name: found[name] for name in NAMES})
    known = alone_with_week(WEEK_GUESTS)
    print(
        f"{WEEK_GUESTS:6} guests of which a week is known: RSS "
        f"{known['rss_mib']:.1f} MiB"
    )
    reaction = rounded(alone("--reaction"))
    print(
        f"need published -> setMemory: median {reaction['p50']} ms, "
        f"99th percentile {reaction['p99']} ms"
    )
    given = rounded(alone("--give-back"))
    print(
        f"guests a second that get memory while all want it: {given['ours']}, "
        f"by bare calls {given['bare']}"
    )
    return {"guests": guests, "reaction_ms": reaction}


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks.cost")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--passes", type=int, help="only this measurement")
    parser.add_argument(
        "--history", type=Path, help="with --passes: memory with this history"
    )
    parser.add_argument("--reaction", action="store_true", help="the same")
    parser.add_argument("--give-back", action="store_true", help="the same")
    chosen = parser.parse_args()
    if chosen.passes and chosen.history:
        known = measure.with_history(chosen.passes, chosen.history)
        print(json.dumps(known))
    elif chosen.passes:
        print(json.dumps(measure.passes(chosen.passes)))
    elif chosen.reaction:
        print(json.dumps(measure.reaction()))
    elif chosen.give_back:
        print(json.dumps(measure.give_back()))
    else:
        print("RESULT", json.dumps(measure_all(chosen.sizes)))


if __name__ == "__main__":
    main()
