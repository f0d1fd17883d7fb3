# SPDX-License-Identifier: Apache-2.0
"""Compare predictors on a trace; ends with ``RESULT {...}``."""

import argparse
import json
import random
import sys
from pathlib import Path

from rich.progress import track

from benchmarks.promise import forecasts, show, synthetic
from benchmarks.promise.trace import BadTrace, Trace, load
from benchmarks.promise.walk import HostFigures, Walk, judge

# The option's default: what an operator may raise it to is for the operator.
_FLOOR_SHARE = 0.02


def walk_hosts(
    trace: Trace, hosts: int, guests: int, seed: int
) -> dict[str, dict[str, show.Figures]]:
    """Give the figures of each family and parameter over random hosts."""
    rng = random.Random(seed)
    found: dict[str, dict[str, list[HostFigures]]] = {}
    everyone = range(len(trace.flavors_kib))
    for _ in track(range(hosts), "hosts", transient=True):
        walk = Walk.of(trace, rng.sample(everyone, guests))
        families = forecasts.classic(walk) | {"ours": forecasts.ours(walk)}
        for family, labels in families.items():
            for label, peaks_kib in labels.items():
                of_family = found.setdefault(family, {})
                of_family.setdefault(label, []).append(
                    judge(walk, peaks_kib, _FLOOR_SHARE)
                )
    return {
        family: {label: show.Figures(each) for label, each in labels.items()}
        for family, labels in found.items()
    }


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(prog="benchmarks.promise")
    parser.add_argument(
        "--trace",
        required=True,
        help="an npz, or "
        + ", ".join(synthetic.PREFIX + kind for kind in synthetic.KINDS),
    )
    parser.add_argument("--array", default="active_mib", help="the demand")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--guests", type=int, default=40)
    parser.add_argument("--plot", type=Path, default="bench-promise.png")
    options = parser.parse_args()
    try:
        if options.trace.startswith(synthetic.PREFIX):
            trace = synthetic.make(options.trace, options.seed)
        else:
            trace = load(Path(options.trace), options.array, options.guests)
    except (BadTrace, OSError, ValueError) as error:
        sys.exit(f"No trace to judge by: {error}")
    print(
        f"{len(trace.flavors_kib)} guests, {trace.dropped} left out; "
        f"{options.hosts} hosts of {options.guests}, seed {options.seed}"
    )
    found = walk_hosts(trace, options.hosts, options.guests, options.seed)
    show.table(found)
    show.draw(found, options.plot)
    print(f"Picture: {options.plot}")
    for label in forecasts.OURS:
        show.deepest(label, found["ours"][label])
    result = {
        label: figures.result()
        for labels in found.values()
        for label, figures in labels.items()
    }
    print("RESULT", json.dumps(result))


if __name__ == "__main__":
    main()
