# SPDX-License-Identifier: Apache-2.0
"""Compare our balancer with five others; ends with ``RESULT {...}``.

Each scenario is drawn several times, from seeds that follow each other, and
its figures are the sums: in a single draw who is best may be who was lucky.
Says where ours isn't the best, in sum and in single draws; the exit code is 1
where that is so of all scenarios together.
"""

import argparse
import concurrent.futures
import dataclasses
import functools
import itertools
import json
import logging
import operator
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.balancer import measure, show
from benchmarks.balancer.policies import MOVERS, OTHERS, OURS
from tests.simulator import scenarios
from tests.simulator.scenario import Scenario

Drawn = Mapping[str, measure.Run]


@dataclasses.dataclass(frozen=True)
class Order:
    """A scenario to be drawn from a seed and played under each policy."""

    name: str
    seed: int
    trace: Path | None

    def scenario(self) -> Scenario:
        """Draw it."""
        if self.name in scenarios.NAMES:
            return scenarios.build(self.name, self.seed)
        # Numpy isn't needed otherwise.
        from benchmarks.balancer import trace

        assert self.trace is not None
        drawn = trace.scenarios(self.trace, self.seed)
        return next(one for one in drawn if one.name == self.name)


def names(options: argparse.Namespace) -> list[str]:
    """Give the named scenarios, and those of the trace if there is one."""
    found = list(scenarios.NAMES)
    if options.trace:
        found += ["trace-mixed", "trace-kin"]
    return [name for name in found if name in options.only or not options.only]


def play(order: Order) -> Drawn:
    """Play it under each policy."""
    # Guests that misbehave are part of it; no need to be told of each.
    logging.disable(logging.WARNING)
    scenario = order.scenario()
    return {
        name: measure.run(scenario, mover) for name, mover in MOVERS.items()
    }


def played(options: argparse.Namespace) -> Iterator[tuple[str, list[Drawn]]]:
    """Give each scenario's name and its draws, as soon as they are played."""
    seeds = range(options.seed, options.seed + options.draws)
    chosen = names(options)
    orders = [
        Order(name, seed, options.trace)
        for name, seed in itertools.product(chosen, seeds)
    ]
    with concurrent.futures.ProcessPoolExecutor() as pool:
        drawn = pool.map(play, orders)
        for name in chosen:
            yield name, list(itertools.islice(drawn, len(seeds)))


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


def summed(
    draws: list[Mapping[str, measure.Figures]],
) -> Mapping[str, measure.Figures]:
    """Give each policy's figures over several draws or scenarios."""
    return {
        policy: functools.reduce(operator.add, [one[policy] for one in draws])
        for policy in MOVERS
    }


def figures_of(drawn: Drawn) -> Mapping[str, measure.Figures]:
    """Give each policy's figures in one draw."""
    return {policy: run.figures for policy, run in drawn.items()}


def main() -> int:
    """Run everything; give the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.balancer")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--draws", type=int, default=5, help="seeds for each scenario"
    )
    parser.add_argument("--trace", type=Path, help="npz with a real trace")
    parser.add_argument("--plot", type=Path, default="bench-balancer.png")
    parser.add_argument("--only", nargs="*", default=[], metavar="SCENARIO")
    options = parser.parse_args()
    if options.draws < 1:
        parser.error(f"--draws {options.draws}: at least 1")
    pictures: dict[str, Drawn] = {}
    by_scenario = []
    faults, unlucky = [], []
    for name, draws in played(options):
        pictures[name] = draws[0]
        found = [figures_of(drawn) for drawn in draws]
        for seed, figures in enumerate(found, options.seed):
            unlucky += behind(f"{name} of seed {seed}", figures)
        together = summed(found)
        by_scenario.append(together)
        show.table(name, together)
        faults += behind(name, together)
    sums = summed(by_scenario)
    show.table("all scenarios", sums)
    lost = behind("all scenarios", sums, ahead=True)
    show.draw(pictures, options.plot)
    print(f"Picture (of the first draw of each): {options.plot}")
    for fault in unlucky:
        print("Behind in a single draw:", fault)
    for fault in faults + lost:
        print("Ours is not the best:", fault)
    result = {policy: found.result() for policy, found in sums.items()}
    print("RESULT", json.dumps(result))
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
