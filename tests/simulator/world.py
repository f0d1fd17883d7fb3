# SPDX-License-Identifier: Apache-2.0
"""A host with its production agent, the agent's clients, and its judge.

All of the agent but its process is there: passes, reports, leases, and the
sensor that reads xenstore. :meth:`World.step` is one pass and the time to
the next; whatever else happens is a method, called between steps or, by
:meth:`~tests.simulator.wire.Wire.after_steps`, in the midst of a pass.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

from nova_xen_overcommit.agent import balancer, core, news, reporting
from nova_xen_overcommit.agent.history import DemandHistory
from nova_xen_overcommit.agent.protocol import StartRequest
from nova_xen_overcommit.agent.reservations import Leases, Reservation
from nova_xen_overcommit.agent.sensors.balloon_watch import BalloonWatch
from nova_xen_overcommit.agent.sensors.base import Sensor, SensorContext
from nova_xen_overcommit.agent.sensors.xenstore import XenstoreSensor
from nova_xen_overcommit.agent.sensors.xenstore_watch import XenstoreWatch
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.guest_metadata import GuestMetadata
from nova_xen_overcommit.policy.predictors import MaxOf
from tests.simulator.balloon import Heard, HeardSensor, SimulatedBalloons
from tests.simulator.guest import SimulatedGuest
from tests.simulator.host import AgentKilled, SimulatedHost
from tests.simulator.ledger import KEPT_FOR_S, Claim, Ledger
from tests.simulator.memory import MIB
from tests.simulator.production import configured
from tests.simulator.rules import Judge
from tests.simulator.wire import Wire
from tests.simulator.xenstore import SimulatedXenstore

QUICK = {
    "mode": "overcommit",
    "warm_up_s": 10,
    "promise_raise_delay_s": 2,
    "max_overcommit_ratio": 8.0,
}
_HISTORY_S = 600
# Much longer than the watch's own rounds, which would cost time to simulate.
_ROUND_S = 0.25
_INCOMING_KIB = 16 * MIB
_INCOMING = "incoming migration"


@dataclasses.dataclass(eq=False)
class Client:
    """Nova-compute on its way to a running guest.

    ``build_s`` is how long its domain is in build, ``incoming``: it is
    listed meanwhile, paused, and its memory comes bit by bit. ``left``
    once its connection is gone.
    """

    claim: Claim
    wants_kib: int
    build_s: float
    incoming: bool
    metadata: GuestMetadata
    left: bool = False
    built_at_s: float | None = None
    guest: SimulatedGuest | None = None

    @property
    def reservation(self) -> Reservation:
        return self.claim.reservation

    @property
    def building_kib(self) -> int:
        """What its domain holds while nobody sees it."""
        if self.built_at_s is None or self.guest is not None:
            return 0
        return self.reservation.claim_kib


class World:
    """``options`` are of [xen_overcommit]; by default all goes quickly.

    Where xenstore is ``watched`` guests write by themselves, only who wrote
    is read, and who wrote of a need brings the next pass at once. On a
    ``kvm`` host guests speak through their balloons; watched or not.
    """

    def __init__(
        self,
        host: SimulatedHost | None = None,
        watched: bool = False,
        kvm: bool = False,
        **options: Any,
    ) -> None:
        self.host = host or SimulatedHost()
        self.conf = configured(**{**QUICK, **options})
        self.settings = Settings.of(self.conf)
        self.ledger = Ledger(self.host)
        self.judge = Judge(self.ledger)
        self.wire = Wire(self.host, self.judge, kvm)
        self.kvm = kvm
        self.balloons = SimulatedBalloons(self.host)
        self.store = SimulatedXenstore(self.host, self.ledger.hear, watched)
        self.store.before_read = self.wire.step
        self.clients: list[Client] = []
        self.passes = 0
        self._numbers = itertools.count(1)
        self.watched = watched
        self._listens_from_s = 0.0
        self._begin_agent()

    def _begin_agent(self) -> None:
        clock = self.host.clock
        self.leases = Leases()
        self.store.forget_reader()
        sensor = self._on_kvm() if self.kvm else self._on_xen()
        self.balancer = balancer.Balancer(
            self.wire, [sensor], self.leases, clock.monotonic_s
        )
        self.agent = core.Agent(
            self.conf,
            self.balancer,
            reporting.Reporter(MaxOf(), DemandHistory(_HISTORY_S)),
            self.leases,
            clock,
            [self._watch] if self.watched else [],
        )
        self.judge.begin_agent(self.agent)

    def _on_xen(self) -> Sensor:
        """Make the sensor and the watch of Xen hosts."""
        monotonic_s = self.host.clock.monotonic_s
        context = SensorContext(self.conf, lambda: None, "xen", monotonic_s)
        # Called between passes, as by a thread of its own.
        self._watch: XenstoreWatch | BalloonWatch = XenstoreWatch(
            self.store.watch_connection,  # type: ignore[arg-type]
            lambda: self.settings,
            self.leases.changed.set,
            context.wrote,
            monotonic_s,
        )
        # It takes whatever reads as the real connection does.
        return XenstoreSensor(context, self.store)  # type: ignore[arg-type]

    def _on_kvm(self) -> Sensor:
        """Make the sensor and the watch of KVM hosts."""
        monotonic_s = self.host.clock.monotonic_s

        def sensor(
            connect: Callable[[], SimulatedBalloons], heard: Heard
        ) -> HeardSensor:
            context = SensorContext(self.conf, connect, "qemu", monotonic_s)
            return HeardSensor(context, self.host, heard)

        def connect_in_a_pass() -> SimulatedBalloons:
            self.wire.step()
            return self.balloons.connect()

        self._watch = BalloonWatch(
            # What it reads is no word to the agent's passes.
            sensor(self.balloons.connect, lambda _guest, _words: None),
            lambda: self.settings,
            self.leases.changed.set,
            monotonic_s,
        )
        return sensor(
            connect_in_a_pass,
            lambda guest, words: self.ledger.hear(
                guest, words, words.time_s, aged=True
            ),
        )

    def set_mode(self, mode: str) -> None:
        """Change the option as an operator does; the next pass heeds it."""
        self.conf.set_override("mode", mode, "xen_overcommit")
        self.settings = Settings.of(self.conf)

    @property
    def broken(self) -> list[str]:
        """Say which rules were broken so far."""
        return [str(violation) for violation in self.judge.broken]

    # Time.

    def step(self) -> float:
        """Do one pass, then let the time to the next go by; give it."""
        delay_s = self._pass()
        if self.watched:
            delay_s = self._listen(delay_s)
        else:
            self.host.run(delay_s)
        self._come_back()
        for client in list(self.clients):
            self._proceed(client)
        return delay_s

    def _listen(self, seconds: float) -> float:
        """Let time go by until the agent is woken; give it."""
        gone_s, woken = 0.0, self.agent.wake
        while gone_s < seconds - 1e-6 and not woken.is_set():
            slice_s = min(_ROUND_S, seconds - gone_s)
            self.host.run(slice_s)
            gone_s += slice_s
            self.source.publish()
            now_s = self.host.clock.now_s
            if now_s >= self._listens_from_s and not self._watch.round():
                self._listens_from_s = now_s + news.RETRY_S
        woken.clear()
        return gone_s

    def run(self, seconds: float) -> None:
        """Do passes for a while."""
        until_s = self.host.clock.now_s + seconds
        while self.host.clock.now_s < until_s - 1e-6:
            self.step()

    def _pass(self) -> float:
        settings = self.settings
        faulty = self.disturbed
        self.judge.begin_pass(settings)
        self.passes += 1
        escaped, delay_s = "", settings.tick_s
        try:
            delay_s = self.agent.tick()
        except AgentKilled:
            self.kill_agent()
            return delay_s
        except Exception as error:  # noqa: BLE001
            escaped = f"{type(error).__name__}: {error}"
        wall_s = self.host.clock.wall_s()
        faulty = faulty or self.disturbed
        self.judge.end_pass(self.agent, wall_s, faulty, escaped)
        return delay_s

    @property
    def source(self) -> SimulatedXenstore | SimulatedBalloons:
        """Where this host's sensor reads what guests say."""
        return self.balloons if self.kvm else self.store

    @property
    def disturbed(self) -> bool:
        """Whether hypervisor or sensor are out of order."""
        return self.host.unreachable or self.source.fault is not None

    # The agent and the clients of its socket.

    def kill_agent(self) -> None:
        """End the agent and begin a new one; all connections are gone."""
        self.wire.calm()
        for client in list(self.clients):
            self._disconnect(client)
        self._begin_agent()

    def ask(
        self,
        flavor_kib: int,
        *,
        wait_s: float = 60.0,
        wants_kib: int = 60 * MIB,
        build_s: float = 2.0,
        incoming: bool = False,
        metadata: GuestMetadata | None = None,
        **more: Any,
    ) -> Client:
        """Let nova-compute ask for a start, and start it when it may."""
        if metadata is None:
            metadata = GuestMetadata(swap_kib=flavor_kib)
        name = f"start-{next(self._numbers)}"
        request = StartRequest(
            uuid=more.pop("uuid", name),
            name=name,
            flavor_kib=flavor_kib,
            floor_kib=metadata.floor_kib,
            swap_kib=metadata.swap_kib,
            overcommit=metadata.overcommit,
            **more,
        )
        now_s = self.host.clock.now_s
        reservation = Reservation(request, now_s, now_s + wait_s)
        self.leases.add(reservation)
        claim = Claim(reservation)
        self.ledger.claims.append(claim)
        client = Client(claim, wants_kib, build_s, incoming, metadata)
        self.clients.append(client)
        return client

    def client_dies(self, client: Client) -> None:
        """End nova-compute's connection; a domain in build goes on."""
        self._disconnect(client)

    def hold(self, guest: SimulatedGuest, reason: str) -> None:
        self.leases.hold(guest.uuid, reason)
        self.ledger.held[guest.uuid] = reason

    def unhold(self, guest: SimulatedGuest) -> None:
        reason = self.ledger.held.pop(guest.uuid, "")
        if reason:
            self.leases.unhold(guest.uuid, reason)

    def _disconnect(self, client: Client) -> None:
        """What the server does when a connection ends, however it ends."""
        if client.left:
            return
        client.left = True
        self.leases.remove(client.reservation)
        if client.claim in self.ledger.claims:
            self.ledger.claims.remove(client.claim)
        if client.built_at_s is None:
            self.clients.remove(client)

    def _proceed(self, client: Client) -> None:
        if client.guest is not None:
            self._settle(client)
        elif client.built_at_s is not None:
            if self.host.clock.now_s >= client.built_at_s:
                granted_kib = client.reservation.granted_kib
                assert granted_kib is not None
                self._list(client, granted_kib)
        elif client.reservation.failure is not None:
            self._disconnect(client)
        elif client.reservation.granted_kib is not None:
            self._build(client)

    def _build(self, client: Client) -> None:
        """Let libvirt build the domain, if there is memory for it."""
        if client.incoming:
            if self.host.has_room(_INCOMING_KIB):
                self._list(client, _INCOMING_KIB)
        elif self.host.free_kib < client.reservation.claim_kib:
            return
        elif self.kvm:
            # QEMU is listed before it has any memory.
            self._list(client, client.reservation.granted_kib or 0)
        else:
            client.built_at_s = self.host.clock.now_s + client.build_s
            self._count_building()

    def _list(self, client: Client, actual_kib: int) -> None:
        request = client.reservation.request
        client.built_at_s = self.host.clock.now_s
        granted_kib = client.reservation.granted_kib
        assert granted_kib is not None
        self.host.building_kib -= client.building_kib
        guest = self.host.start(
            "guest",
            flavor_kib=request.flavor_kib,
            actual_kib=actual_kib,
            wants_kib=client.wants_kib,
            swap_kib=request.swap_kib,
            uuid=request.uuid,
        )
        guest.metadata = client.metadata
        guest.target_kib = granted_kib
        guest.exempt = "" if request.overcommit else "not to be ballooned"
        guest.busy = _INCOMING if client.incoming else ""
        client.guest, client.claim.begun = guest, True
        if client.incoming:
            # It had what it has before anybody here was asked.
            self.ledger.excuse(guest)
        self._count_building()

    def _settle(self, client: Client) -> None:
        """End the start once the guest runs with all it was granted."""
        guest = client.guest
        assert guest is not None
        gone = self.host.guests.get(guest.uuid) is not guest
        if guest.busy == _INCOMING and not gone:
            if guest.actual_kib < guest.target_kib and not client.left:
                return
            guest.busy = ""
        self._disconnect(client)
        self.clients.remove(client)

    def _count_building(self) -> None:
        for client in self.clients:
            client.claim.building_kib = client.building_kib
        self.host.building_kib = sum(c.building_kib for c in self.clients)

    # Guests that come and go by themselves.

    def appear(
        self, flavor_kib: int, *, foreign: bool = False, **more: Any
    ) -> SimulatedGuest:
        """Start a guest that asked nobody: by hand, past Nova or not."""
        guest = self.host.start("stranger", flavor_kib=flavor_kib, **more)
        guest.foreign = foreign
        self.ledger.rob()
        self.ledger.excuse(guest)
        return guest

    def set_by_hand(self, guest: SimulatedGuest, target_kib: int) -> None:
        """Let somebody else ask a guest for another size."""
        guest.told(target_kib)
        self.ledger.set_by_hand(guest)

    def vanish(self, guest: SimulatedGuest, back_after_s: float = 0) -> None:
        """End a guest; one that reboots is back after a while."""
        if self.host.guests.get(guest.uuid) is not guest:
            return
        self.host.end(guest)
        now_s = self.host.clock.now_s
        back_s = now_s + back_after_s if back_after_s else float("inf")
        self.ledger.leave(guest, back_s)

    def reboot_in_qemu(self, guest: SimulatedGuest) -> None:
        """Let a guest begin anew in the same QEMU.

        Its balloon is empty until its driver is there again, so that it has
        its whole flavor for a moment, whatever others have.
        """
        guest.actual_kib = guest.flavor_kib
        guest.anon_kib = guest.swapped_kib = guest.cache_kib = 0
        self.ledger.took_back(guest)

    def _come_back(self) -> None:
        now_s = self.host.clock.now_s
        for away in self.ledger.away:
            guest = away.guest
            least_kib = guest.restart_kib or guest.flavor_kib
            due = away.back_s <= now_s and guest.uuid not in self.host.guests
            if not due or not self.host.has_room(least_kib):
                continue
            again = self.host.come_back(guest)
            again.metadata, again.exempt = guest.metadata, guest.exempt
            again.speaks_every_s = guest.speaks_every_s
            again.silent = guest.silent
            if guest.chosen_kib is not None:
                again.chosen_kib = again.target_kib
            # Nobody keeps memory for so long for who may never come.
            late = now_s - away.gone_s >= KEPT_FOR_S
            if away.robbed or late:
                self.ledger.rob()
