# SPDX-License-Identifier: Apache-2.0
"""The measurements; each is meant for a process of its own."""

import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt

from benchmarks.cost.world import MIB, START_KIB, World, rss_mib
from nova_xen_overcommit.agent import core

_SETTLE_PASSES = 3
_PASSES = 15
_CALM_SHARE = 5
_REACTION_GUESTS = 300
_PATIENCE_S = 5.0
# Each guest is looked at five times a second at most.
_HEARD_AFTER_S = 0.3
_NEED_KIB = 350 * MIB
# What the agent gives the disk before it goes on without.
_HISTORY_PATIENCE_S = 60.0


def _timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Give CPU and wall milliseconds of this process."""
    wall_s, cpu_s = time.monotonic(), time.process_time()
    work()
    return (
        (time.process_time() - cpu_s) * 1000,
        (time.monotonic() - wall_s) * 1000,
    )


def plain_loop(connection: Any) -> None:
    """Read all guests in the plainest way."""
    for handle in connection.listAllDomains():
        handle.info()
        handle.memoryStats()


def passes(count: int) -> dict[str, float]:
    """Measure passes over ``count`` guests.

    Before each pass every fifth guest has published anew, as calm guests
    do: each 5 s, at one pass a second. ``heard_cpu_ms`` is what it cost to
    listen to them, between the passes. ``all_cpu_ms`` is for all of them
    having something new to say each time. ``rss_mib`` is the agent's. The
    embedded hypervisor keeps its guests in the same process, unlike libvirtd
    and Xen; what they took there is ``host_rss_mib``.
    """
    world = World(count)
    calm, heard, busy, plain = [], [], [], []
    with world.agent.listening():
        for _ in range(_SETTLE_PASSES):
            _heard_ms(world, slice(None))
            world.agent.tick()
        for number in range(_PASSES):
            some = slice(number % _CALM_SHARE, None, _CALM_SHARE)
            heard.append(_heard_ms(world, some))
            calm.append(_timed(world.agent.tick))
            _heard_ms(world, slice(None))
            busy.append(_timed(world.agent.tick))
            plain.append(_timed(lambda: plain_loop(world.connection)))
    check(world)
    figures = {
        "cpu_ms": statistics.median(cpu for cpu, _wall in calm),
        "wall_ms": statistics.median(wall for _cpu, wall in calm),
        "rss_mib": rss_mib() - world.host_rss_mib,
        "plain_cpu_ms": statistics.median(cpu for cpu, _wall in plain),
        "heard_cpu_ms": statistics.median(heard),
        "all_cpu_ms": statistics.median(cpu for cpu, _wall in busy),
        "host_rss_mib": world.host_rss_mib,
    }
    world.close()
    return figures


def _heard_ms(world: World, which: slice) -> float:
    """Let guests publish; give what it cost to hear them, CPU."""

    def hear() -> None:
        world.speak(which)
        time.sleep(_HEARD_AFTER_S)

    cpu_ms, _wall_ms = _timed(hear)
    return cpu_ms


def with_history(count: int, directory: Path) -> dict[str, float]:
    """Measure memory with the history of ``count`` guests in it.

    It is read from ``directory`` as at each start of the agent, so that
    what reading needs counts too.
    """
    world = World(count, directory)
    world.await_history(_HISTORY_PATIENCE_S)
    for number in range(_PASSES):
        world.speak(slice(number % _CALM_SHARE, None, _CALM_SHARE))
        world.agent.tick()
    world.speak()
    world.agent.tick()
    check(world)
    figures = {"rss_mib": rss_mib() - world.host_rss_mib}
    world.close()
    return figures


def check(world: World) -> None:
    """See that the passes did read all guests.

    :raises RuntimeError: they didn't, so the figures mean nothing.
    """
    status = world.agent.status()
    unread = [g["name"] for g in status["guests"] if g["used_kib"] is None]
    if status["failures"] or unread or not status["guests"]:
        raise RuntimeError(f"unread: {unread[:5]}, {status['complaint']}")


class Balancing:
    """The agent at work in its thread, until the context is left."""

    def __init__(self, world: World) -> None:
        self._agent = world.agent
        self._leaving = threading.Event()
        self._thread = threading.Thread(
            target=core.balance, args=(world.agent, self._leaving)
        )

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_exc: object) -> None:
        self._leaving.set()
        self._agent.wake.set()
        self._thread.join()


def reaction() -> dict[str, float]:
    """Measure from the publication of a need to setMemory.

    Guests are in need one after another, at moments that have nothing to
    do with the agent's ticks.
    """
    world = World(_REACTION_GUESTS)
    world.speak()
    took_ms = []
    with Balancing(world):
        time.sleep(2.0)
        world.speak()
        # A publisher looks at its guest once a second.
        time.sleep(1.0)
        # Once each: who is starved may have its whole flavor at once.
        for domain_id in world.ids:
            took_ms.append(_answer_ms(world, domain_id, _NEED_KIB))
            time.sleep(0.037)
    world.close()
    cuts = statistics.quantiles(took_ms, n=100)
    return {"p50": cuts[49], "p99": cuts[98]}


def _answer_ms(world: World, domain_id: int, used_kib: int) -> float:
    uuid = world.uuids[domain_id]
    world.connection.set_s.pop(uuid, None)
    actual_kib = START_KIB
    began_s = world.guests.speak([domain_id], actual_kib, used_kib)
    while uuid not in world.connection.set_s:
        if time.monotonic() - began_s > _PATIENCE_S:
            raise RuntimeError(f"guest {domain_id} got nothing")
        time.sleep(0.0005)
    return (world.connection.set_s[uuid] - began_s) * 1000


def give_back() -> dict[str, float]:
    """Measure how many guests a second get memory while all want it.

    Beside it ``bare``: the same calls to libvirt and nothing else. The
    embedded hypervisor moves no memory, so this compares the ways there.
    """
    world = World(_REACTION_GUESTS)
    world.speak()
    with Balancing(world):
        time.sleep(2.0)
        world.speak()
        time.sleep(1.0)
        ours_s = _give_all_s(world, _NEED_KIB)
        bare_s = _bare_s(world)
    world.close()
    given = len(world.ids)
    return {"ours": given / ours_s, "bare": given / bare_s}


def _give_all_s(world: World, used_kib: int) -> float:
    world.connection.set_s.clear()
    began_s = world.guests.speak(world.ids, START_KIB, used_kib)
    while len(world.connection.set_s) < len(world.ids):
        if time.monotonic() - began_s > _PATIENCE_S:
            raise RuntimeError("not all guests got memory")
        time.sleep(0.0005)
    return max(world.connection.set_s.values()) - began_s


def _bare_s(world: World) -> float:
    began_s = time.monotonic()
    for handle in world.connection.listAllDomains():
        _state, _max_kib, actual_kib, _vcpus, _cpu_ns = handle.info()
        handle.setMemoryFlags(actual_kib, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    return time.monotonic() - began_s
