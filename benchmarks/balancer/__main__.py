# SPDX-License-Identifier: Apache-2.0
"""Compare our balancer with five others; ends with ``RESULT {...}``.

Says where ours isn't the best; the exit code is 1 where that is so of all
scenarios together.
"""

import argparse
import functools
import json
import logging
import operator
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.balancer import measure, show
from benchmarks.balancer.policies import MOVERS, OTHERS, OURS
from tests.simulator import scenarios
from tests.simulator.scenario import Scenario


def chosen_scenarios(options: argparse.Namespace) -> list[Scenario]:
    """Give the named scenarios, and those of the trace if there is one."""
    chosen = [scenarios.build(name, options.seed) for name in scenarios.NAMES]
    if options.trace:
        # Numpy isn't needed otherwise.
        from benchmarks.balancer import trace

        chosen += trace.scenarios(options.trace, options.seed)
    return [s for s in chosen if s.name in options.only or not options.only]


def behind(
    name: str, figures: Mapping[str, measure.Figures], *, ahead: bool = False
) -> list[str]:
    """Name the shortages in which ours is behind the best of the others.

    ``ahead``: where it isn't ahead of it, too.
    """
    faults = []
    for kind in ("short_guest_s", "short_mib_s"):
        short = {policy: getattr(figures[policy], kind) for policy in figures}
        best = min(OTHERS, key=lambda policy: short[policy])
        if short[OURS] > short[best] or (ahead and short[OURS] == short[best]):
            faults.append(
                f"{name}: {kind} {short[OURS]:,.0f}, {best} {short[best]:,.0f}"
            )
    return faults


def summed(runs: show.Runs) -> Mapping[str, measure.Figures]:
    """Give each policy's figures over all scenarios."""
    return {
        policy: functools.reduce(
            operator.add,
            [by_policy[policy].figures for by_policy in runs.values()],
        )
        for policy in MOVERS
    }


def main() -> int:
    """Run everything; give the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.balancer")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trace", type=Path, help="npz with a real trace")
    parser.add_argument("--plot", type=Path, default="bench-balancer.png")
    parser.add_argument("--only", nargs="*", default=[], metavar="SCENARIO")
    options = parser.parse_args()
    # Guests that misbehave are part of it; no need to be told of each.
    logging.disable(logging.WARNING)
    runs: dict[str, dict[str, measure.Run]] = {}
    faults = []
    for scenario in chosen_scenarios(options):
        runs[scenario.name] = {
            name: measure.run(scenario, mover)
            for name, mover in MOVERS.items()
        }
        figures = {n: run.figures for n, run in runs[scenario.name].items()}
        show.table(scenario.name, figures)
        faults += behind(scenario.name, figures)
    sums = summed(runs)
    show.table("all scenarios", sums)
    lost = behind("all scenarios", sums, ahead=True)
    show.draw(runs, options.plot)
    print(f"Picture: {options.plot}")
    for fault in faults + lost:
        print("Ours is not the best:", fault)
    result = {policy: found.result() for policy, found in sums.items()}
    print("RESULT", json.dumps(result))
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
