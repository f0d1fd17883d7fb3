# SPDX-License-Identifier: Apache-2.0
"""The named scenarios: :func:`build` makes one of them from a seed.

Each is a 4 GiB host, 3.5 GiB of it for guests, on which more guests of
1 GiB run than fit in full.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

from tests.simulator import workload
from tests.simulator.host import SimulatedHost
from tests.simulator.memory import GIB, MIB
from tests.simulator.scenario import Event, GuestPlan, Reboot, Scenario
from tests.simulator.workload import Course

_MINUTES_S = 60.0
_LENGTH_S = 10 * _MINUTES_S
# What is left free when all guests of a host begin alike.
_LEFT_KIB = 128 * MIB
_USABLE_KIB = 3584 * MIB


def _plans(rng: random.Random, courses: Sequence[Course]) -> list[GuestPlan]:
    """Give guests with equal parts of the host and files to cache."""
    part_kib = (_USABLE_KIB - _LEFT_KIB) // len(courses)
    return [
        GuestPlan(
            course=course,
            flavor_kib=GIB,
            actual_kib=min(part_kib, GIB),
            file_kib=rng.randint(50, 600) * MIB,
        )
        for course in courses
    ]


def _scenario(
    name: str, rng: random.Random, courses: Sequence[Course], **more: Any
) -> Scenario:
    """Give ten minutes of guests of one flavor; ``more`` happens to them."""
    return Scenario(
        name=name, seconds=_LENGTH_S, guests=_plans(rng, courses), **more
    )


def _idle(rng: random.Random) -> Scenario:
    courses = [workload.idle(rng) for _ in range(12)]
    return _scenario("idle", rng, courses)


def _steady(rng: random.Random) -> Scenario:
    """Guests whose sizes differ, but don't change: no memory is short."""
    sizes = [60, 60, 80, 80, 100, 100, 120, 150, 200, 300, 400, 450]
    courses = [workload.steady(rng, _LENGTH_S, kib * MIB) for kib in sizes]
    return _scenario("steady", rng, courses)


def _suddenly(rng: random.Random, count: int) -> list[Course]:
    return [
        workload.sudden(
            rng, _LENGTH_S, 60 * MIB, 700 * MIB, every_s=240, lasts_s=40
        )
        for _ in range(count)
    ]


def _sudden(rng: random.Random) -> Scenario:
    """Now and then one of four guests needs a lot at once."""
    courses = _suddenly(rng, 4) + [workload.idle(rng) for _ in range(8)]
    return _scenario("sudden", rng, courses)


def _bursts(rng: random.Random, name: str, count: int, kib: int) -> Scenario:
    moments_s = [60.0, 220.0, 400.0]
    courses = [
        workload.burst(rng, moments_s, 60 * MIB, kib, lasts_s=60)
        for _ in range(count)
    ]
    courses += [workload.idle(rng) for _ in range(12 - count)]
    return _scenario(name, rng, courses)


def _bursts_together(rng: random.Random) -> Scenario:
    """Four guests need much at once; the host has it, just so."""
    return _bursts(rng, "bursts-together", 4, 450 * MIB)


def _bursts_beyond(rng: random.Random) -> Scenario:
    """Ten guests need more at once than there is."""
    return _bursts(rng, "bursts-beyond", 10, 500 * MIB)


def _slow_growth(rng: random.Random) -> Scenario:
    courses = [
        workload.growth(_LENGTH_S, 80 * MIB, rng.randint(500, 650) * MIB)
        for _ in range(3)
    ]
    courses += [workload.idle(rng) for _ in range(9)]
    return _scenario("slow-growth", rng, courses)


def _reboots(rng: random.Random) -> Scenario:
    """Guests reboot by themselves while others need memory."""
    courses = _suddenly(rng, 4) + [workload.idle(rng) for _ in range(8)]
    reboots = [
        Reboot(rng.uniform(20, _LENGTH_S - 60), index)
        for index in range(4, 12)
    ]
    return _scenario("reboots", rng, courses, reboots=reboots)


def _thrash(rng: random.Random) -> Scenario:
    """Two guests want more than their flavors, for minutes."""
    courses = [
        Course([0.0, 60.0, 400.0], [80 * MIB, 1200 * MIB, 80 * MIB])
        for _ in range(2)
    ]
    courses += [workload.idle(rng) for _ in range(8)]
    return _scenario("thrash", rng, courses)


def _starts(rng: random.Random) -> Scenario:
    """A guest starts each half minute, until sixteen run."""
    plans = _plans(rng, [workload.idle(rng) for _ in range(6)])
    for number in range(10):
        course = workload.sudden(
            rng, _LENGTH_S, 70 * MIB, 300 * MIB, every_s=200, lasts_s=30
        )
        plans.append(
            GuestPlan(
                course=course,
                file_kib=200 * MIB,
                starts_s=20.0 + 30.0 * number,
            )
        )
    return Scenario(name="starts", seconds=_LENGTH_S, guests=plans)


def _set(index: int, **switches: object) -> Callable[[SimulatedHost], None]:
    """Give an event's action: switches of the guest with this number."""

    def act(host: SimulatedHost) -> None:
        guest = list(host.guests.values())[index]
        for name, value in switches.items():
            setattr(guest, name, value)

    return act


def _mishaps(rng: random.Random) -> Scenario:
    """As ``sudden``, but with donors that don't yield, speak or obey."""
    courses = _suddenly(rng, 4) + [workload.idle(rng) for _ in range(8)]
    events = [
        Event(10, _set(4, stuck=True)),
        Event(20, _set(5, silent=True)),
        Event(30, _set(6, intermittent_s=10.0)),
        Event(40, _set(7, fails_calls=True)),
        Event(50, _set(8, slow_calls_s=2.0)),
        Event(60, _set(9, offset_kib=-MIB)),
        Event(300, _set(4, stuck=False)),
        Event(360, _set(7, fails_calls=False)),
    ]
    return _scenario("mishaps", rng, courses, events=events)


def _sizes(rng: random.Random) -> Scenario:
    """Large and small guests side by side, each with its sudden needs."""
    plans = []
    for flavor_mib in (2048, 2048, 1024, 1024, 1024, 512, 512, 256, 256):
        course = workload.sudden(
            rng,
            _LENGTH_S,
            flavor_mib // 10 * MIB,
            flavor_mib // 2 * MIB,
            every_s=300,
            lasts_s=60,
        )
        plans.append(
            GuestPlan(
                course=course,
                flavor_kib=flavor_mib * MIB,
                actual_kib=int(flavor_mib * 0.39) * MIB,
                file_kib=flavor_mib // 4 * MIB,
            )
        )
    return Scenario(name="sizes", seconds=_LENGTH_S, guests=plans)


_BUILDERS = {
    "idle": _idle,
    "steady": _steady,
    "sudden": _sudden,
    "bursts-together": _bursts_together,
    "bursts-beyond": _bursts_beyond,
    "slow-growth": _slow_growth,
    "reboots": _reboots,
    "thrash": _thrash,
    "starts": _starts,
    "mishaps": _mishaps,
    "sizes": _sizes,
}
NAMES = tuple(_BUILDERS)


def build(name: str, seed: int) -> Scenario:
    """Give the scenario ``name`` of :data:`NAMES`, made from ``seed``."""
    return _BUILDERS[name](random.Random(f"{name}-{seed}"))
