# SPDX-License-Identifier: Apache-2.0
"""A world in which anything may happen, made from a seed.

Each kind of mishap is a method of :class:`Chaos`; which are likely, and how
often they come, is another draw for each world, so that there are calm
worlds, stormy ones, and ones in which one thing goes wrong again and again.
"""

import collections
import heapq
import itertools
import random
from collections.abc import Callable

from nova_xen_overcommit.guest_metadata import GuestMetadata
from nova_xen_overcommit.policy import floor
from nova_xen_overcommit.policy.sample import MemorySample
from tests.simulator import draw
from tests.simulator.guest import SimulatedGuest
from tests.simulator.host import AgentKilled
from tests.simulator.memory import GIB, MIB
from tests.simulator.world import Client, World
from tests.simulator.xenstore import xenstore_gone

_REMEMBERED = 60
# A pass has about so many steps if two calls are made for each of ten guests:
# listing, measuring, reading, setting.
_STEPS = 24
_FROZEN = ("paused", "migrating", "saving", "in build", "shutting down")
_GARBAGE = [
    b"\xff\xfe\x00garbage",
    b"v=1 seq=1",
    b"v=99 seq=1 mem_total_kib=1 mem_available_kib=1",
    b"v=1 seq=x mem_total_kib=1 mem_available_kib=1 swap_total_kib=0",
    b"v=1 seq=7 seq=8",
    b"A" * 5000,
]


class Chaos:
    """One seeded world and all that goes wrong in it."""

    def __init__(self, seed: str) -> None:
        self._rng = rng = random.Random(seed)
        watched, kvm = rng.random() < 0.5, rng.random() < 0.25
        self.world = World(draw.host(rng), watched, kvm, **draw.options(rng))
        # Since the epoch, so that it may be set back by a day.
        self.world.host.clock.wall_offset_s = 1.7e9
        self.faults: collections.Counter[str] = collections.Counter()
        self.events: collections.deque[str] = collections.deque(
            maxlen=_REMEMBERED
        )
        self._ends: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._kinds = sorted(_KINDS)
        self._weights = [rng.random() ** 3 for _ in self._kinds]
        self._rate = rng.choice([0.01, 0.05, 0.1, 0.3])
        self._most_guests = rng.choice([3, 6, 6, 10])
        # Guests that move their own balloons, and those without publisher.
        self._own_share = 0.0 if kvm else rng.choice([0.0, 0.0, 0.3, 1.0])
        self._mute_share = rng.choice([0.0, 0.0, 0.0, 0.3, 1.0])
        # Which Nova made the guests of a KVM host says this.
        self._deflate = kvm and rng.random() < 0.5
        self._calls_seen = 0
        for _ in range(rng.randint(1, self._most_guests)):
            self.start()

    def step(self) -> None:
        """Let something happen, or nothing, and do a pass."""
        rng, world = self._rng, self.world
        now_s = world.host.clock.now_s
        while self._ends and self._ends[0][0] <= now_s:
            heapq.heappop(self._ends)[2]()
        if rng.random() < self._rate:
            kind = rng.choices(self._kinds, self._weights)[0]
            if _KINDS[kind](self) is not False:
                self.faults[kind] += 1
        there = len(world.host.guests) + len(world.clients)
        if there < self._most_guests and rng.random() < self._rate:
            self.start()
        world.step()
        calls = world.host.calls
        for uuid, target_kib in calls[self._calls_seen :]:
            self._say(f"{uuid[-12:]} is asked for {target_kib} KiB")
        self._calls_seen = len(calls)

    def _say(self, text: str) -> None:
        now_s = self.world.host.clock.now_s
        self.events.append(f"{now_s:.1f} s: {text}")

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        due_s = self.world.host.clock.now_s + seconds
        heapq.heappush(self._ends, (due_s, next(self._number), act))

    def _anyone(self) -> SimulatedGuest | None:
        guests = list(self.world.host.guests.values())
        return self._rng.choice(guests) if guests else None

    def _for_a_while(self, name: str, value: object, end: object) -> bool:
        """Switch a fault of some guest on, and off after a while."""
        guest = self._anyone()
        if guest is None:
            return False
        self._say(f"{guest.name} ({guest.uuid[-12:]}): {name} = {value!r:.60}")
        seconds = self._rng.choice([2, 8, 30, 120])
        self._switch(guest, name, value, end, seconds)
        return True

    def _switch(
        self, of: object, name: str, value: object, end: object, seconds: float
    ) -> None:
        """Switch a fault on, and off after so many seconds."""
        setattr(of, name, value)
        self._later(seconds, lambda: setattr(of, name, end))

    # What isn't a fault.

    def start(self) -> Client:
        """Let nova-compute ask for a start of whatever size."""
        rng = self._rng
        flavor_kib = rng.choice([128, 256, 512, 1000, 1024, 2048]) * MIB
        metadata = GuestMetadata(
            floor_kib=rng.choice([0, 0, 0, flavor_kib // 2]),
            swap_kib=rng.choice([0, flavor_kib // 2, flavor_kib, flavor_kib]),
            weight=rng.choice([0.5, 1.0, 1.0, 4.0]),
            overcommit=rng.random() < 0.9,
        )
        incoming = rng.random() < 0.15
        client = self.world.ask(
            flavor_kib,
            wait_s=rng.choice([5, 20, 60]),
            wants_kib=20 * MIB,
            build_s=rng.choice([0.5, 2.0, 10.0]),
            incoming=incoming,
            metadata=metadata,
            restore_kib=flavor_kib * 3 // 4 if incoming else 0,
        )
        self._say(f"{client.claim.uuid} of {flavor_kib} KiB is asked for")
        self._later(1.0, lambda: self._begin_work(client, flavor_kib))
        return client

    def _begin_work(self, client: Client, flavor_kib: int) -> None:
        """Give a guest its workload once it runs."""
        guest = self.world.host.guests.get(client.claim.uuid)
        if guest is None:
            if client in self.world.clients:
                self._later(2.0, lambda: self._begin_work(client, flavor_kib))
            return
        guest.silent = self._rng.random() < self._mute_share
        if self._rng.random() < self._own_share:
            guest.chosen_kib = guest.target_kib
        guest.deflates = self._deflate
        guest.speaks_every_s = self._rng.choice([0.0, 1.0, 5.0])
        guest.file_kib = self._rng.randint(0, 600) * MIB
        course = draw.course(self._rng, flavor_kib)
        guest.course = course.beginning_at(self.world.host.clock.now_s)

    # Faults of guests.

    def stuck(self) -> bool:
        return self._for_a_while("stuck", True, False)

    def intermittent(self) -> bool:
        return self._for_a_while("intermittent_s", 10.0, 0.0)

    def offset(self) -> bool:
        guest = self._anyone()
        if guest is None:
            return False
        guest.offset_kib = self._rng.choice([-MIB, MIB // 2])
        return True

    def silent(self) -> bool:
        return self._for_a_while("silent", True, False)

    def _sample(self, total_kib: int, available_kib: int) -> MemorySample:
        rng = self._rng
        counter = rng.choice([None, 0, rng.randrange(2**40)])
        return MemorySample(
            time_s=0.0,
            max_age_s=15.0,
            mem_total_kib=total_kib,
            mem_available_kib=available_kib,
            swap_total_kib=GIB,
            swap_free_kib=rng.randint(0, GIB),
            swap_in_kib=counter,
            psi_some_us=counter,
            self_more_kib=rng.choice([None, None, 0, -GIB, GIB]),
        )

    def lying(self) -> bool:
        total_kib = self._rng.randint(1, 2 * GIB)
        lie = self._sample(total_kib, self._rng.randint(0, total_kib))
        return self._for_a_while("lie", lie, None)

    def implausible(self) -> bool:
        lie = self._sample(
            self._rng.choice([-5, 0, GIB, 2**45]),
            self._rng.choice([-1, 2**45]),
        )
        return self._for_a_while("lie", lie, None)

    def garbage(self) -> bool:
        if self.world.kvm:
            # QEMU lets only numbers through.
            return False
        return self._for_a_while("garbage", self._rng.choice(_GARBAGE), b"")

    def calls_fail(self) -> bool:
        return self._for_a_while("fails_calls", True, False)

    def calls_slow(self) -> bool:
        return self._for_a_while("slow_calls_s", 2.0, 0.0)

    def calls_hang(self) -> bool:
        return self._for_a_while("hangs_calls", True, False)

    def dying_in_a_call(self) -> bool:
        guest = self._anyone()
        if guest is None:
            return False
        guest.dies_at_call = True
        return True

    def frozen(self) -> bool:
        guest = self._anyone()
        if guest is None or guest.busy:
            return False
        return self._for_a_while("busy", self._rng.choice(_FROZEN), "")

    def set_by_hand(self) -> bool:
        """Let an operator ask for another size, past the agent."""
        guest = self._anyone()
        if guest is None:
            return False
        # Operators know no floor but that of their guest's kernel.
        least_kib = floor.floor_kib(guest.flavor_kib, 0.05, 0)
        target_kib = self._rng.randint(least_kib, guest.flavor_kib)
        self._say(f"{guest.name} is set to {target_kib} KiB by hand")
        self.world.set_by_hand(guest, target_kib)
        return True

    def held(self) -> bool:
        guest = self._anyone()
        if guest is None or guest.uuid in self.world.ledger.held:
            return False
        self.world.hold(guest, "snapshot")
        self._say(f"{guest.name} is held")
        self._later(20, lambda: self.world.unhold(guest))
        return True

    def vanishing(self) -> bool:
        guest = self._anyone()
        if guest is None:
            return False
        self._say(f"{guest.name} vanishes")
        self.world.vanish(guest)
        return True

    def rebooting(self) -> bool:
        guest = self._anyone()
        if guest is None:
            return False
        self._say(f"{guest.name} reboots")
        if self.world.kvm:
            self.world.reboot_in_qemu(guest)
            return True
        self.world.vanish(guest, self._rng.choice([1.0, 5.0, 30.0]))
        return True

    def appearing(self) -> bool:
        world = self.world
        flavor_kib = self._rng.choice([128, 512, 1024]) * MIB
        full = len(world.host.guests) >= self._most_guests
        if full or not world.host.has_room(flavor_kib):
            return False
        guest = world.appear(flavor_kib, foreign=True, wants_kib=20 * MIB)
        self._say(f"{guest.name} appears")
        return True

    # Faults of the host and of the agent.

    def agent_killed(self) -> None:
        self._say("the agent is killed between passes")
        self.world.kill_agent()

    def agent_killed_in_a_pass(self) -> None:
        self._say("the agent is killed in a pass")

        def kill() -> None:
            raise AgentKilled

        self.world.wire.after_steps(self._rng.randrange(_STEPS), kill)

    def _libvirtd_goes(self) -> None:
        seconds = self._rng.choice([0.5, 3, 20])
        self._switch(self.world.host, "unreachable", True, False, seconds)

    def libvirtd_restarts(self) -> None:
        self._say("libvirtd restarts")
        self._libvirtd_goes()

    def libvirtd_restarts_in_a_pass(self) -> None:
        self._say("libvirtd restarts in a pass")
        steps = self._rng.randrange(_STEPS)
        self.world.wire.after_steps(steps, self._libvirtd_goes)

    def guest_vanishes_in_a_pass(self) -> bool:
        guest = self._anyone()
        if guest is None:
            return False
        self._say(f"{guest.name} vanishes in a pass")
        steps = self._rng.randrange(_STEPS)
        self.world.wire.after_steps(steps, lambda: self.world.vanish(guest))
        return True

    def sensor_fails(self) -> None:
        faults = [xenstore_gone(), ZeroDivisionError("a bug of the sensor")]
        fault = self._rng.choice(faults)
        self._say(f"the sensor fails: {fault!r}")
        seconds = self._rng.choice([1, 5, 30])
        self._switch(self.world.source, "fault", fault, None, seconds)

    def watch_misses(self) -> bool:
        """Let writes be told to no watch for a while."""
        store = self.world.store
        if self.world.kvm or not self.world.watched or store.deaf:
            return False
        self._say("the watch on xenstore misses what is written")
        seconds = self._rng.choice([1, 5, 30])
        self._switch(store, "deaf", True, False, seconds)
        return True

    def clock_set(self) -> None:
        offset_s = self._rng.choice([-86400.0, -5.0, 5.0, 86400.0])
        self.world.host.clock.wall_offset_s += offset_s

    def host_slept(self) -> None:
        seconds = self._rng.choice([3.0, 60.0, 3600.0])
        self._say(f"the host sleeps for {seconds} s")
        self.world.host.clock.leap(seconds)

    def client_dies(self) -> bool:
        clients = [c for c in self.world.clients if not c.left]
        if not clients:
            return False
        client = self._rng.choice(clients)
        self._say(f"the client of {client.claim.uuid} dies")
        self.world.client_dies(client)
        return True

    def mode_changed(self) -> None:
        now = self.world.settings.mode
        other = self._rng.choice(["observe", "balance", "overcommit"])
        self.world.set_mode(other)
        self._say(f"mode {other}")
        self._later(15, lambda: self.world.set_mode(now))


_KINDS: dict[str, Callable[[Chaos], bool | None]] = {
    method.__name__: method
    for method in (
        Chaos.stuck,
        Chaos.intermittent,
        Chaos.offset,
        Chaos.silent,
        Chaos.lying,
        Chaos.implausible,
        Chaos.garbage,
        Chaos.calls_fail,
        Chaos.calls_slow,
        Chaos.calls_hang,
        Chaos.dying_in_a_call,
        Chaos.set_by_hand,
        Chaos.frozen,
        Chaos.held,
        Chaos.vanishing,
        Chaos.rebooting,
        Chaos.appearing,
        Chaos.agent_killed,
        Chaos.agent_killed_in_a_pass,
        Chaos.libvirtd_restarts,
        Chaos.libvirtd_restarts_in_a_pass,
        Chaos.guest_vanishes_in_a_pass,
        Chaos.sensor_fails,
        Chaos.watch_misses,
        Chaos.clock_set,
        Chaos.host_slept,
        Chaos.client_dies,
        Chaos.mode_changed,
    )
}
KINDS = tuple(_KINDS)
