# SPDX-License-Identifier: Apache-2.0
"""Worlds that several tests begin with."""

import contextlib
import dataclasses
import logging
import unittest
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.guest_metadata import GuestMetadata
from nova_xen_overcommit.policy import floor
from nova_xen_overcommit.policy.floor import FloorRule
from nova_xen_overcommit.policy.limits import Limit
from tests.simulator import GIB, MIB, SimulatedGuest, SimulatedHost
from tests.simulator.world import Client, World


class Quiet(unittest.TestCase):
    """Guests that misbehave are part of it; no need to be told of each."""

    def setUp(self) -> None:
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)


def world_of(
    *sizes_mib: int,
    free_mib: int = 0,
    wants_mib: int = 60,
    swap_kib: int | None = None,
    **options: Any,
) -> World:
    """Give guests of 1 GiB that have these sizes, and what is left free."""
    physical_kib = (sum(sizes_mib) + free_mib + 512) * MIB
    world = World(SimulatedHost(physical_kib), **options)
    for size_mib in sizes_mib:
        world.appear(
            GIB,
            actual_kib=size_mib * MIB,
            wants_kib=wants_mib * MIB,
            swap_kib=swap_kib,
        )
    world.run(5)
    return world


def guests_of(world: World) -> list[SimulatedGuest]:
    return list(world.host.guests.values())


def wait(world: World, **more: Any) -> Client:
    """Ask for a start that isn't built even when it is granted."""
    client = world.ask(more.pop("flavor_kib", GIB), **more)
    world.clients.remove(client)
    return client


class ProtectionTest(Quiet):
    """Plays a world twice: as it is, and with a protection switched off."""

    def assert_needed(
        self, check: str, play: Callable[[], World], off: Any
    ) -> None:
        """Show that ``check`` fails with ``off``, and none does without."""
        self.assertEqual([], play().broken)
        with off:
            broken = {v.check for v in play().judge.broken}
        self.assertIn(check, broken)


def changed(owner: Any, name: str, change: Callable[[Any], Any]) -> Any:
    """Patch a method or property so that ``change`` has the last word."""
    original = owner.__dict__[name]
    if isinstance(original, property):
        getter = original.fget
        assert getter is not None
        return mock.patch.object(
            owner, name, property(lambda self: change(getter(self)))
        )
    return mock.patch.object(
        owner,
        name,
        lambda self, *args, **more: change(original(self, *args, **more)),
    )


@contextlib.contextmanager
def together(*offs: Any) -> Iterator[None]:
    """Switch several protections off."""
    with contextlib.ExitStack() as stack:
        for off in offs:
            stack.enter_context(off)
        yield


def blind_to_swap() -> Any:
    """Let floors be made as if guests needed no swap."""

    def floor_kib(
        rule: FloorRule, flavor_kib: int, _swap_kib: int, asked_kib: int = 0
    ) -> int:
        return floor.floor_kib(flavor_kib, rule.share, asked_kib)

    return mock.patch.object(FloorRule, "floor_kib", floor_kib)


def planned(**changes: object) -> Any:
    """Let the planner see each guest with ``changes``."""
    return changed(
        TrackedGuest,
        "planned",
        lambda guest: dataclasses.replace(guest, **changes),
    )


def without(limit: Limit) -> Any:
    """Let this never be a reason to take nothing from a guest."""
    return changed(
        TrackedGuest, "hold", lambda hold: None if hold is limit else hold
    )


def squeezed(world: World, flavor_mib: int = 1024) -> World:
    """Let a start want more than is free."""
    kib = flavor_mib * MIB
    wait(
        world,
        flavor_kib=kib,
        metadata=GuestMetadata(swap_kib=GIB, overcommit=False),
    )
    world.run(30)
    return world
