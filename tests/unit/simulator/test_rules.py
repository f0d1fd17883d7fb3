# SPDX-License-Identifier: Apache-2.0
"""The rules hold whatever happens: random worlds, judged at every step."""

import logging

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from nova_xen_overcommit.guest_metadata import GuestMetadata
from nova_xen_overcommit.policy.sample import MemorySample
from tests.simulator import GIB, MIB, AgentKilled, SimulatedGuest
from tests.simulator.host import SimulatedHost
from tests.simulator.world import Client, World
from tests.simulator.xenstore import xenstore_gone

FIGURES = st.integers(-1, 2 * GIB)
COUNTERS = st.one_of(st.none(), st.integers(0, 2**60))
LIES = st.builds(
    MemorySample,
    time_s=st.just(0.0),
    max_age_s=st.just(15.0),
    mem_total_kib=FIGURES,
    mem_available_kib=FIGURES,
    swap_total_kib=FIGURES,
    swap_free_kib=FIGURES,
    swap_in_kib=COUNTERS,
    psi_some_us=COUNTERS,
)
SWITCHES = [
    "stuck",
    "silent",
    "fails_calls",
    "hangs_calls",
    "dies_at_call",
]


class Machine(RuleBasedStateMachine):
    """One world; guests may be gone when something is done to them."""

    guests = Bundle("guests")
    clients = Bundle("clients")

    @initialize(
        gib=st.integers(1, 4),
        speed=st.sampled_from([20, 100, 500]),
        watched=st.booleans(),
        kvm=st.sampled_from([False, False, True]),
    )
    def begin(self, gib: int, speed: int, watched: bool, kvm: bool) -> None:
        logging.disable(logging.CRITICAL)
        host = SimulatedHost(gib * GIB, 256 * MIB, speed * MIB)
        self.world = World(host, watched, kvm)
        self.world.host.clock.wall_offset_s = 1e9

    def teardown(self) -> None:
        logging.disable(logging.NOTSET)

    @rule(target=guests, flavor_mib=st.integers(128, 1536))
    def boot(self, flavor_mib: int) -> SimulatedGuest | None:
        client = self.world.ask(flavor_mib * MIB, wait_s=8, build_s=0.5)
        self.world.run(10)
        return client.guest

    @rule(
        target=clients,
        flavor_mib=st.integers(128, 1536),
        swapped=st.booleans(),
        overcommit=st.booleans(),
        incoming=st.booleans(),
    )
    def ask(
        self, flavor_mib: int, swapped: bool, overcommit: bool, incoming: bool
    ) -> Client:
        flavor_kib = flavor_mib * MIB
        metadata = GuestMetadata(
            swap_kib=flavor_kib if swapped else 0, overcommit=overcommit
        )
        return self.world.ask(
            flavor_kib, wait_s=20, incoming=incoming, metadata=metadata
        )

    @rule(client=consumes(clients))
    def client_dies(self, client: Client) -> None:
        self.world.client_dies(client)

    @rule(guest=guests, wants_mib=st.integers(20, 1400))
    def use(self, guest: SimulatedGuest | None, wants_mib: int) -> None:
        if guest:
            guest.wants_kib = min(wants_mib * MIB, guest.flavor_kib)

    @rule(guest=guests, lie=st.one_of(st.none(), LIES))
    def lies(self, guest: SimulatedGuest | None, lie) -> None:
        if guest:
            guest.lie = lie

    @rule(guest=guests, garbage=st.binary(max_size=200))
    def writes_garbage(
        self, guest: SimulatedGuest | None, garbage: bytes
    ) -> None:
        if guest:
            guest.garbage = garbage

    @rule(guest=guests, fault=st.sampled_from(SWITCHES), on=st.booleans())
    def fault(
        self, guest: SimulatedGuest | None, fault: str, on: bool
    ) -> None:
        if guest:
            setattr(guest, fault, on)

    @rule(guest=guests, mib=st.integers(64, 1536))
    def set_by_hand(self, guest: SimulatedGuest | None, mib: int) -> None:
        if guest:
            self.world.set_by_hand(guest, min(mib * MIB, guest.flavor_kib))

    @rule(guest=guests, seconds=st.sampled_from([0.0, 2.0, 6.0]))
    def calls_slow(self, guest: SimulatedGuest | None, seconds: float) -> None:
        if guest:
            guest.slow_calls_s = seconds

    @rule(guest=guests, busy=st.sampled_from(["", "paused", "migrating"]))
    def freeze(self, guest: SimulatedGuest | None, busy: str) -> None:
        if guest:
            guest.busy = busy

    @rule(guest=guests, on=st.booleans())
    def hold(self, guest: SimulatedGuest | None, on: bool) -> None:
        if guest and on and guest.uuid not in self.world.ledger.held:
            self.world.hold(guest, "snapshot")
        elif guest and not on:
            self.world.unhold(guest)

    @rule(guest=guests, back_after_s=st.sampled_from([0.0, 1.0, 20.0]))
    def vanish(
        self, guest: SimulatedGuest | None, back_after_s: float
    ) -> None:
        if guest:
            # Under QEMU guests reboot without being gone.
            back_after_s = 0.0 if self.world.kvm else back_after_s
            self.world.vanish(guest, back_after_s)

    @rule(target=guests, flavor_mib=st.integers(128, 512))
    def appear(self, flavor_mib: int) -> SimulatedGuest | None:
        if flavor_mib * MIB > self.world.host.free_kib:
            return None
        return self.world.appear(flavor_mib * MIB, foreign=True)

    @rule()
    def agent_killed(self) -> None:
        self.world.kill_agent()

    @rule(steps=st.integers(0, 12))
    def agent_killed_in_a_pass(self, steps: int) -> None:
        def kill() -> None:
            raise AgentKilled

        self.world.wire.after_steps(steps, kill)

    @rule(unreachable=st.booleans())
    def libvirt(self, unreachable: bool) -> None:
        self.world.host.unreachable = unreachable

    @rule(steps=st.integers(0, 12))
    def libvirt_goes_in_a_pass(self, steps: int) -> None:
        host = self.world.host

        def go() -> None:
            host.unreachable = True

        self.world.wire.after_steps(steps, go)

    @rule(gone=st.booleans())
    def figures(self, gone: bool) -> None:
        self.world.source.fault = xenstore_gone() if gone else None

    @rule(guest=guests, on=st.booleans())
    def deflates(self, guest: SimulatedGuest | None, on: bool) -> None:
        # A running guest's balloon doesn't change its ways.
        if guest and self.world.kvm and not guest.said:
            guest.deflates = on

    @rule(deaf=st.booleans())
    def watch_misses(self, deaf: bool) -> None:
        self.world.store.deaf = deaf

    @rule(seconds=st.sampled_from([-3600.0, -1.0, 3600.0]))
    def clock_set(self, seconds: float) -> None:
        self.world.host.clock.wall_offset_s += seconds

    @rule(seconds=st.sampled_from([2.0, 20.0, 3600.0]))
    def host_sleeps(self, seconds: float) -> None:
        self.world.host.clock.leap(seconds)

    @rule(mode=st.sampled_from(["observe", "balance", "overcommit"]))
    def mode(self, mode: str) -> None:
        self.world.set_mode(mode)

    @rule(seconds=st.sampled_from([0.5, 3.0, 10.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    @invariant()
    def no_rule_is_broken(self) -> None:
        if hasattr(self, "world"):
            self.world.step()
            assert not self.world.broken, self.world.broken


MachineTest = Machine.TestCase
MachineTest.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
