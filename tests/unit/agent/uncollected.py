# SPDX-License-Identifier: Apache-2.0
"""Print how many objects passes leave to the collector of cycles."""

import gc

from tests.simulator import GIB, MIB
from tests.unit.agent.harness import Harness

_PASSES = 40


def main() -> None:
    """Make passes over guests of which one is in need now and then."""
    harness = Harness()
    guests = [harness.boot(flavor_kib=GIB) for _ in range(3)]
    harness.run(5)
    gc.collect()
    gc.disable()
    for number in range(_PASSES):
        guests[0].wants_kib = (60 + number % 2 * 500) * MIB
        harness.run(0.5)
    print(gc.collect())


if __name__ == "__main__":
    main()
