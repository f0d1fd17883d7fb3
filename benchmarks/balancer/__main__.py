# SPDX-License-Identifier: Apache-2.0
"""Compare our balancer with five others; ends with ``RESULT {...}``."""

import argparse
import functools
import json
import logging
import operator
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


def judge(runs: show.Runs) -> list[str]:
    """Name what ours isn't the best in, of what it has to be."""
    faults = []
    for name, by_policy in runs.items():
        for kind in ("short_guest_s", "short_mib_s"):
            figures = {
                p: getattr(r.figures, kind) for p, r in by_policy.items()
            }
            best = min(OTHERS, key=lambda policy: figures[policy])
            if figures[OURS] > figures[best]:
                faults.append(
                    f"{name}: {kind} {figures[OURS]:,.0f}, "
                    f"{best} {figures[best]:,.0f}"
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


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(prog="benchmarks.balancer")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trace", type=Path, help="npz with a real trace")
    parser.add_argument("--plot", type=Path, default="bench-balancer.png")
    parser.add_argument("--only", nargs="*", default=[], metavar="SCENARIO")
    options = parser.parse_args()
    # Guests that misbehave are part of it; no need to be told of each.
    logging.disable(logging.WARNING)
    runs = {}
    for scenario in chosen_scenarios(options):
        runs[scenario.name] = {
            name: measure.run(scenario, mover)
            for name, mover in MOVERS.items()
        }
        by_policy = runs[scenario.name]
        show.table(
            scenario.name, {n: run.figures for n, run in by_policy.items()}
        )
    sums = summed(runs)
    show.table("all scenarios", sums)
    show.draw(runs, options.plot)
    print(f"Picture: {options.plot}")
    for fault in judge(runs):
        print("Ours is not the best:", fault)
    result = {policy: found.result() for policy, found in sums.items()}
    print("RESULT", json.dumps(result))


if __name__ == "__main__":
    main()
