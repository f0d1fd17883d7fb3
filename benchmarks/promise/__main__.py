# SPDX-License-Identifier: Apache-2.0
"""Compare predictors on a trace; ends with ``RESULT {...}``."""

import argparse
import json
import math
import random
import sys
from pathlib import Path

from rich.progress import track

from benchmarks.promise import forecasts, show, synthetic
from benchmarks.promise.trace import Trace, load
from benchmarks.promise.walk import HostFigures, Judged, Walk, judge
from nova_xen_overcommit import exception

# The option's default: what an operator may raise it to is for the operator.
_FLOOR_SHARE = 0.02


def possible(trace: Trace, hosts: int, guests: int) -> tuple[int, int]:
    """Give how many hosts of how many guests the trace is enough for.

    Says so if it is fewer than wished for.
    """
    fit = len(trace.flavors_kib)
    if fit < guests:
        print(f"Warning: hosts have {fit} guests, not {guests}: no more fit")
    most = min(fit, guests)
    return min(hosts, math.comb(fit, most)), most


def walk_hosts(
    trace: Trace, hosts: int, guests: int, seed: int
) -> dict[str, dict[str, show.Figures]]:
    """Give the figures of each family and parameter over random hosts."""
    rng = random.Random(seed)
    found: dict[str, dict[str, list[HostFigures]]] = {}
    everyone = range(len(trace.flavors_kib))
    for _ in track(range(hosts), "hosts", transient=True):
        walk = Walk.of(trace, rng.sample(everyone, guests))
        judged = Judged.of(walk, _FLOOR_SHARE)
        pasts = [walk.past(forecast) for forecast in range(walk.forecasts)]
        families = forecasts.classic(pasts) | {"ours": forecasts.ours(pasts)}
        for family, labels in families.items():
            for label, peaks_kib in labels.items():
                of_family = found.setdefault(family, {})
                of_family.setdefault(label, []).append(
                    judge(judged, peaks_kib)
                )
    return {
        family: {label: show.Figures(each) for label, each in labels.items()}
        for family, labels in found.items()
    }


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return int(text)


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
    parser.add_argument("--hosts", type=_positive, default=100)
    parser.add_argument("--guests", type=_positive, default=40)
    parser.add_argument("--plot", type=Path, default="bench-promise.png")
    options = parser.parse_args()
    try:
        if options.trace.startswith(synthetic.PREFIX):
            trace = synthetic.make(options.trace, options.seed)
        else:
            trace = load(Path(options.trace), options.array, options.guests)
    except exception.InvalidTrace as error:
        sys.exit(f"No trace to judge by: {error}")
    hosts, guests = possible(trace, options.hosts, options.guests)
    print(
        f"{len(trace.flavors_kib)} guests, {trace.dropped} left out; "
        f"{hosts} hosts of {guests}, seed {options.seed}"
    )
    found = walk_hosts(trace, hosts, guests, options.seed)
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
