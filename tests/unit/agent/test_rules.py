# SPDX-License-Identifier: Apache-2.0
"""The rules hold whatever happens: random worlds, checked at every step."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from nova_xen_overcommit import exception
from nova_xen_overcommit.policy.sample import MemorySample
from tests.simulator import GIB, MIB, SimulatedGuest
from tests.unit.agent.harness import Harness

FIGURES = st.integers(0, 2 * GIB)
LIES = st.builds(
    MemorySample,
    time_s=st.just(0.0),
    max_age_s=st.just(15.0),
    mem_total_kib=FIGURES,
    mem_available_kib=FIGURES,
    swap_total_kib=FIGURES,
    swap_free_kib=FIGURES,
    swap_in_kib=st.one_of(st.none(), st.integers(0, 2**60)),
    psi_some_us=st.one_of(st.none(), st.integers(0, 2**60)),
    self_more_kib=st.one_of(st.none(), st.integers(-2 * GIB, 2 * GIB)),
)


class World(RuleBasedStateMachine):
    """One host, its guests and their faults."""

    guests = Bundle("guests")
    starts = Bundle("starts")

    @initialize()
    def begin(self) -> None:
        self.harness = Harness()
        self.host = self.harness.host
        self.calls_seen = 0
        self.untouchable: set[str] = set()

    @rule(target=guests, flavor_mib=st.integers(128, 1536))
    def boot(self, flavor_mib: int) -> SimulatedGuest | object:
        try:
            return self.harness.boot(
                patience_s=10, flavor_kib=flavor_mib * MIB, wait_s=8
            )
        except exception.OvercommitError:
            return multiple()

    @rule(target=starts)
    def ask(self):
        return self.harness.ask(flavor_kib=512 * MIB, wait_s=20)

    @rule(start=consumes(starts))
    def client_leaves(self, start) -> None:
        self.harness.leases.remove(start)

    @rule(guest=guests, wants_mib=st.integers(20, 1400))
    def use(self, guest: SimulatedGuest, wants_mib: int) -> None:
        guest.wants_kib = min(wants_mib * MIB, guest.flavor_kib)

    @rule(guest=guests, lie=st.one_of(st.none(), LIES))
    def lies(self, guest: SimulatedGuest, lie) -> None:
        guest.lie = lie

    @rule(guest=guests, on=st.booleans())
    def moves_its_own_balloon(self, guest: SimulatedGuest, on: bool) -> None:
        guest.chosen_kib = guest.target_kib if on else None

    @rule(
        guest=guests,
        fault=st.sampled_from(["stuck", "silent", "fails_calls"]),
        on=st.booleans(),
    )
    def fault(self, guest: SimulatedGuest, fault: str, on: bool) -> None:
        setattr(guest, fault, on)

    @rule(guest=guests, busy=st.sampled_from(["", "paused"]))
    def freeze(self, guest: SimulatedGuest, busy: str) -> None:
        guest.busy = busy

    @rule(guest=consumes(guests))
    def die(self, guest: SimulatedGuest) -> None:
        self.host.guests.pop(guest.uuid, None)

    @precondition(lambda self: self.host.guests)
    @rule()
    def agent_killed(self) -> None:
        self.harness.restart()

    @rule(unreachable=st.booleans())
    def libvirt(self, unreachable: bool) -> None:
        self.host.unreachable = unreachable

    @rule(seconds=st.floats(0.5, 30))
    def time_passes(self, seconds: float) -> None:
        for _ in range(int(seconds * 2)):
            self.step()

    def step(self) -> None:
        before = {u: g.target_kib for u, g in self.host.guests.items()}
        frozen = {u for u, g in self.host.guests.items() if g.busy}
        calls = len(self.host.calls)
        self.harness.agent.tick()
        for uuid, _target in self.host.calls[calls:]:
            assert uuid not in frozen, "a frozen guest was touched"
        self.grants_are_covered(before)
        self.host.run(0.5)

    def grants_are_covered(self, before: dict[str, int]) -> None:
        """Rule 2: what was granted in this pass is measured free."""
        granted_kib = sum(
            guest.target_kib - max(before[uuid], guest.actual_kib)
            for uuid, guest in self.host.guests.items()
            if guest.target_kib > max(before[uuid], guest.actual_kib)
        )
        assert granted_kib <= max(0, self.host.free_kib - 16 * MIB)

    @invariant()
    def targets_are_within_bounds(self) -> None:
        if not hasattr(self, "host"):
            return
        for guest in self.host.guests.values():
            assert guest.target_kib <= guest.flavor_kib
            if guest.target_kib < guest.actual_kib:
                assert guest.target_kib >= self.harness.floor_kib(guest)

    @invariant()
    def granted_starts_have_their_memory(self) -> None:
        if not hasattr(self, "host"):
            return
        # Who vanished may have had less than what it would come back with.
        claims_kib = sum(
            reservation.claim_kib
            for reservation in self.harness.leases.reservations()
            if reservation.request.uuid not in self.host.guests
            and not reservation.restart
        )
        assert claims_kib <= self.host.free_kib

    @invariant()
    def the_loop_never_dies(self) -> None:
        if not hasattr(self, "host") or self.host.unreachable:
            return
        self.harness.agent.tick()
        assert self.harness.agent.status()["complaint"] == ""

    @invariant()
    def floors_fit(self) -> None:
        if not hasattr(self, "host"):
            return
        floors_kib = sum(
            self.harness.floor_kib(guest)
            for guest in self.host.guests.values()
        )
        reserve_kib = self.harness.settings.reserve_kib
        usable_kib = self.host.physical_kib - self.host.kept_kib
        assert floors_kib + reserve_kib <= usable_kib


WorldTest = World.TestCase
WorldTest.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
