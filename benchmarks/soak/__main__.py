# SPDX-License-Identifier: Apache-2.0
"""Soak the balancer in faulty worlds; ends with ``RESULT {...}``."""

import argparse
import collections
import json
import sys
import time

from benchmarks.soak import run

_TELL_EVERY_S = 10.0


class Tally:
    """What was seen so far; says so now and then."""

    def __init__(self, passes: int) -> None:
        self._wanted = passes
        self._began_s = self._told_s = time.monotonic()
        self.passes = self.worlds = self.calls = self.violations = 0
        self.faults: collections.Counter[str] = collections.Counter()

    def add(self, outcome: run.Outcome) -> None:
        """Take one world."""
        self.worlds += 1
        self.passes += outcome.passes
        self.calls += outcome.calls
        self.violations += len(outcome.broken)
        self.faults += outcome.faults
        now_s = time.monotonic()
        if now_s - self._told_s >= _TELL_EVERY_S:
            self._told_s = now_s
            self.tell()

    def tell(self) -> None:
        """Print how far it is."""
        rate = self.passes / max(0.001, time.monotonic() - self._began_s)
        left_min = (self._wanted - self.passes) / max(1, rate) / 60
        print(
            f"{self.passes:,} of {self._wanted:,} passes, "
            f"{self.worlds:,} worlds, {self.calls:,} balloons moved, "
            f"{self.faults.total():,} faults, {self.violations} rules "
            f"broken, {rate:,.0f} passes/s, {left_min:.0f} min to go",
            flush=True,
        )

    def result(self) -> str:
        """Give the last line."""
        faults = dict(sorted(self.faults.items()))
        figures = {
            "passes": self.passes,
            "violations": self.violations,
            "faults": faults,
        }
        return f"RESULT {json.dumps(figures)}"


def show_broken(outcome: run.Outcome) -> None:
    """Say what was broken, how it came to that, and how to see it again."""
    order = outcome.order
    print(f"Seed {order.seed}, world {order.world}: rules are broken.")
    for event in outcome.events:
        print("   ", event)
    for broken in outcome.broken:
        print("BROKEN", broken)
    print(f"Again: make soak SEED={order.seed} WORLD={order.world}")


def main() -> int:
    """Run all worlds, or the one that is asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak")
    parser.add_argument("--passes", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--world", type=int, help="play only this one")
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    passes, seed = options.passes, options.seed
    if options.world is None:
        outcomes = run.play_all(seed, passes, options.workers)
    else:
        passes = run.length(seed, options.world)
        order = run.Order(seed, options.world, passes)
        outcomes = map(run.play, [order])
    tally = Tally(passes)
    for outcome in outcomes:
        tally.add(outcome)
        if outcome.broken:
            show_broken(outcome)
            break
    tally.tell()
    print(tally.result())
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
