# SPDX-License-Identifier: Apache-2.0
"""Worlds whose xenstore is watched, as on a real host."""

from typing import Any
from unittest import mock

from nova_xen_overcommit.agent.guests import TrackedGuest
from tests.simulator import GIB, MIB, SimulatedGuest, SimulatedHost
from tests.simulator.world import World
from tests.simulator.xenstore import xenstore_gone
from tests.unit.simulator.worlds import Quiet

_TICK_S = 1.0
# Each pass reads every eighth guest, whatever is told.
_ALL_READ_S = 8 * _TICK_S


class WatchedTest(Quiet):
    def setUp(self) -> None:
        super().setUp()
        self.world = World(
            SimulatedHost(4 * GIB), watched=True, tick_interval_s=_TICK_S
        )
        self.guests = [self.guest(actual_mib=400) for _ in range(3)]
        self.world.run(20)
        self.addCleanup(lambda: self.assertEqual([], self.world.broken))

    def guest(self, actual_mib: int) -> SimulatedGuest:
        guest = self.world.appear(GIB, actual_kib=actual_mib * MIB)
        guest.speaks_every_s = 5.0
        return guest

    def lines_read(self, passes: int) -> int:
        """Count what the sensor reads, one line of each guest it asks."""
        with self.spied(self.world.store, "read_many") as read_many:
            for _ in range(passes):
                self.world.step()
        return sum(len(call.args[0]) for call in read_many.call_args_list)

    @staticmethod
    def spied(owner: Any, name: str) -> Any:
        return mock.patch.object(owner, name, wraps=getattr(owner, name))

    def grown_s(self, guest: SimulatedGuest) -> float:
        """Give how long it takes until a sudden need is answered."""
        before_kib = guest.target_kib
        guest.wants_kib, guest.said = 800 * MIB, None
        began_s = self.world.host.clock.now_s
        while guest.target_kib <= before_kib:
            self.world.step()
            self.assertLess(self.world.host.clock.now_s, began_s + 60)
        return self.world.host.clock.now_s - began_s

    def test_only_who_wrote_is_read(self) -> None:
        # Given guests that speak each five seconds
        read = self.lines_read(passes=40)
        # Then each is read when it spoke, and once in eight passes
        self.assertGreaterEqual(read, 3 * 40 // 5)
        self.assertLess(read, 3 * 40 // 2)

    def test_a_need_brings_the_next_pass_at_once(self) -> None:
        guest = self.guests[1]
        self.assertLess(self.grown_s(guest), _TICK_S)
        # When no need is found by the watch, then it waits for its tick
        guest = self.guests[2]
        with mock.patch.object(TrackedGuest, "would_lack", return_value=False):
            self.assertGreaterEqual(self.grown_s(guest), _TICK_S)

    def test_what_the_watch_misses_is_read_in_turn(self) -> None:
        self.world.store.deaf = True
        for guest in self.guests:
            self.assertLessEqual(self.grown_s(guest), _ALL_READ_S + _TICK_S)

    def test_while_nobody_watches_all_are_read(self) -> None:
        # When xenstored goes, and comes back
        self.world.store.fault = xenstore_gone()
        self.world.run(3)
        self.world.store.fault = None
        # Then all are read in the first pass, since anyone may have written
        self.assertGreaterEqual(self.lines_read(passes=1), 3)
        # And soon only those who wrote
        self.world.run(5)
        self.assertLess(self.lines_read(passes=40), 3 * 40 // 2)
        self.assertLess(self.grown_s(self.guests[0]), _TICK_S)

    def test_another_agent_watches_anew(self) -> None:
        self.world.kill_agent()
        self.world.run(3)
        self.assertLess(self.lines_read(passes=40), 3 * 40 // 2)
        self.assertLess(self.grown_s(self.guests[0]), _TICK_S)
