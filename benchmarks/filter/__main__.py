# SPDX-License-Identifier: Apache-2.0
"""Measure what the filter costs; ends with a line ``RESULT {...}``."""

import argparse
import json
import sys

from benchmarks.filter import cloud, measure


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """Give figures that can be read."""
    return {name: round(figure, 2) for name, figure in figures.items()}


def say(line: str) -> None:
    """Print, although Nova's fixtures take what is printed."""
    print(line, file=sys.__stdout__, flush=True)


def main() -> None:
    """Make a cloud and measure in it."""
    parser = argparse.ArgumentParser(prog="benchmarks.filter")
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=40)
    chosen = parser.parse_args()
    say(f"making a cloud of {chosen.hosts} hosts")
    with cloud.made(chosen.hosts) as made:
        per_host = rounded(measure.us_per_host(made, chosen.rounds))
        for name, figure in per_host.items():
            say(f"{figure:8.2f} us a host  {name}")
        whole = rounded(measure.select_destinations_ms(made, chosen.rounds))
        for name, figure in whole.items():
            say(f"{figure:8.1f} ms  select_destinations: {name}")
    share = per_host[cloud.FILTER] / per_host[measure.RIVALS[1]]
    say(f"{share:.2f} of {measure.RIVALS[1]} per host")
    say(f"{whole['with'] / whole['without']:.4f} of scheduling without")
    result = {"us_per_host": per_host, "select_destinations_ms": whole}
    say(f"RESULT {json.dumps(result)}")


if __name__ == "__main__":
    main()
