# SPDX-License-Identifier: Apache-2.0
"""Figures of guests that don't exist, on libvirt's test hypervisor.

``test:///`` defines, starts and balloons domains, but nothing runs in
them. This sensor plays their insides after a scenario file: it reads the
real size of each balloon, lets the guest use memory within it, and says
what the guest's kernel would say. For demonstrations and tests.
"""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.hypervisor import definition
from nova_xen_overcommit.agent.sensors import simulated_guest
from nova_xen_overcommit.agent.sensors.base import (
    GuestRef,
    SensorContext,
    SensorUnsuitable,
)
from nova_xen_overcommit.agent.sensors.scenario import (
    Event,
    Scenario,
    wanted_kib,
)
from nova_xen_overcommit.agent.sensors.simulated_guest import GuestState
from nova_xen_overcommit.policy.sample import MemorySample

LOG = logging.getLogger(__name__)

_ACTUAL = 2  # in virDomainInfo


@dataclasses.dataclass(slots=True)
class _Player:
    """One guest that is played; ``number`` counts creations from 1."""

    number: int
    domain_id: int
    born_s: float
    seen_s: float
    swap_kib: int
    state: GuestState = dataclasses.field(default_factory=GuestState)


class SimulatedSensor:
    """Plays all guests of the embedded hypervisor."""

    name = "simulated"

    def __init__(self, context: SensorContext) -> None:
        if context.hypervisor_type != "test":
            raise SensorUnsuitable("only guests of test:/// are simulated")
        options = context.conf.xen_overcommit
        if not options.simulated_scenario:
            raise exception.InvalidConfiguration(
                "[xen_overcommit] simulated_scenario must name a file for "
                "the sensor simulated"
            )
        self._context = context
        self._scenario = Scenario.load(Path(options.simulated_scenario))
        self._players: dict[str, _Player] = {}
        self._created = 0

    def read(self, guests: Sequence[GuestRef]) -> Mapping[str, MemorySample]:
        """Play on until now; give each guest's sample by UUID."""
        present = {guest.uuid for guest in guests}
        self._players = {
            uuid: player
            for uuid, player in self._players.items()
            if uuid in present
        }
        happening = self._scenario.happening()
        samples = {}
        # Domain numbers grow with each start: the order of creation.
        for guest in sorted(guests, key=lambda guest: guest.domain_id):
            sample = self._play(guest, happening)
            if sample is not None:
                samples[guest.uuid] = sample
        return samples

    def close(self) -> None:
        """Nothing is held."""

    def _play(
        self, guest: GuestRef, happening: tuple[Event, ...]
    ) -> MemorySample | None:
        try:
            handle = self._context.connect().lookupByUUIDString(guest.uuid)
            return self._played(guest, handle, happening)
        except Exception as error:  # noqa: BLE001
            # libvirt's own error class isn't imported here; whatever it is,
            # a guest that can't be read has no sample.
            LOG.debug("Guest %s can't be played: %s", guest.name, error)
            return None

    def _played(
        self, guest: GuestRef, handle: Any, happening: tuple[Event, ...]
    ) -> MemorySample | None:
        now_s = self._context.monotonic_s()
        player = self._player(guest, handle, now_s)
        actual_kib = int(handle.info()[_ACTUAL])
        elapsed_s, player.seen_s = now_s - player.seen_s, now_s
        player.state = simulated_guest.advance(
            player.state,
            self._scenario,
            wanted_kib=wanted_kib(
                self._scenario, player.number, now_s - player.born_s, happening
            ),
            actual_kib=actual_kib,
            swap_kib=player.swap_kib,
            elapsed_s=elapsed_s,
        )
        if not player.state.alive:
            LOG.warning("Guest %s died: out of memory and swap", guest.name)
            handle.destroy()
            return None
        return simulated_guest.sample(
            player.state,
            self._scenario,
            actual_kib=actual_kib,
            swap_kib=player.swap_kib,
            time_s=now_s,
            max_age_s=float(
                self._context.conf.xen_overcommit.sample_max_age_s
            ),
        )

    def _player(self, guest: GuestRef, handle: Any, now_s: float) -> _Player:
        player = self._players.get(guest.uuid)
        if player is None:
            self._created += 1
            number = self._created
        elif player.domain_id != guest.domain_id:
            number = player.number  # it was started anew
        else:
            return player
        defined = definition.parse(handle.XMLDesc(0))
        player = _Player(
            number=number,
            domain_id=guest.domain_id,
            born_s=now_s,
            seen_s=now_s,
            swap_kib=defined.metadata.swap_kib,
        )
        self._players[guest.uuid] = player
        return player
