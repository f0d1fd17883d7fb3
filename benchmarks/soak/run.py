# SPDX-License-Identifier: Apache-2.0
"""Many short worlds, each made from the run's seed and its own number."""

import collections
import concurrent.futures
import dataclasses
import itertools
import logging
import os
import random
import traceback
from collections.abc import Iterator, Sequence

from tests.simulator.chaos import Chaos

_LENGTHS = (100, 300, 300, 1000, 3000)


@dataclasses.dataclass(frozen=True)
class Order:
    """One world to be played for so many passes."""

    seed: int
    world: int
    passes: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a world went; it ends with the first rule that is broken.

    A world in which the simulator itself fails is as broken.
    """

    order: Order
    passes: int
    calls: int
    faults: collections.Counter[str]
    broken: Sequence[str]
    events: Sequence[str]


def length(seed: int, world: int) -> int:
    """Give how many passes a world has, unless it is the run's last."""
    return random.Random(f"length {seed} {world}").choice(_LENGTHS)


def orders(seed: int, passes: int) -> Iterator[Order]:
    """Give worlds that have so many passes in all."""
    for world in itertools.count():
        if passes <= 0:
            return
        yield Order(seed, world, min(length(seed, world), passes))
        passes -= length(seed, world)


def play(order: Order) -> Outcome:
    """Play one world."""
    # Guests that misbehave are part of it; no need to be told of each.
    logging.disable(logging.CRITICAL)
    chaos = Chaos(f"{order.seed} {order.world}")
    judge, failure = chaos.world.judge, []
    try:
        while chaos.world.passes < order.passes and not judge.broken:
            chaos.step()
    except Exception:  # noqa: BLE001
        # Without the world's number nobody could look into it.
        failure = [f"the simulator failed: {traceback.format_exc()}"]
    return Outcome(
        order,
        chaos.world.passes,
        judge.calls,
        chaos.faults,
        chaos.world.broken + failure,
        tuple(chaos.events),
    )


def play_all(seed: int, passes: int, workers: int = 0) -> Iterator[Outcome]:
    """Play worlds in as many processes as there are cores, in any order."""
    workers = workers or os.cpu_count() or 1
    waiting = orders(seed, passes)
    with concurrent.futures.ProcessPoolExecutor(workers) as pool:
        running = {
            pool.submit(play, order)
            for order in itertools.islice(waiting, 2 * workers)
        }
        try:
            while running:
                done, running = concurrent.futures.wait(
                    running, return_when=concurrent.futures.FIRST_COMPLETED
                )
                next_ones = itertools.islice(waiting, len(done))
                running |= {pool.submit(play, order) for order in next_ones}
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)
