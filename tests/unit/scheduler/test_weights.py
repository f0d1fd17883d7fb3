# SPDX-License-Identifier: Apache-2.0
"""The weigher's order of hosts, by Nova's own weight handler."""

import unittest

from nova import objects
from nova.scheduler import weights as nova_weights

from nova_xen_overcommit.scheduler import admission, weights
from tests.unit.scheduler import nova_objects, world


class RoomTest(unittest.TestCase):
    def test_free_and_idle_memory_less_claims(self) -> None:
        # Given 256 MiB are free and guests leave 2000 MiB idle
        # When one instance was placed since the report
        # Then it counts in full
        self.assertEqual(
            2256, admission.room_mib(world.REPORT, world.a_host())
        )
        self.assertEqual(
            1232, admission.room_mib(world.REPORT, world.a_host(1))
        )


class WeigherTest(unittest.TestCase):
    def setUp(self) -> None:
        self.weigher = weights.XenOvercommitWeigher(lambda: world.NOW_S)
        self.addCleanup(
            weights.CONF.clear_override, "weight_multiplier", "xen_overcommit"
        )
        self.busy = nova_objects.host_state(
            world.a_report(idle_mib=100), name="busy"
        )
        self.idle = nova_objects.host_state(name="idle")
        self.silent = nova_objects.host_state(None, name="silent")
        self.old = nova_objects.host_state(
            world.a_report(time_s=0), name="old"
        )

    def multiply_by(self, multiplier: float) -> None:
        weights.CONF.set_override(
            "weight_multiplier", multiplier, "xen_overcommit"
        )

    def order(self, *states) -> list[str]:
        handler = nova_weights.HostWeightHandler()
        weighed = handler.get_weighed_objects([self.weigher], states, {})
        return [one.obj.host for one in weighed]

    def test_most_idle_memory_comes_first(self) -> None:
        # Given a busy and an idle host
        # When they are weighed
        # Then the idle one comes first, whatever their order
        self.assertEqual(["idle", "busy"], self.order(self.busy, self.idle))
        self.assertEqual(["idle", "busy"], self.order(self.idle, self.busy))

    def test_an_empty_host_is_all_idle(self) -> None:
        # Given a host without guests, all of its memory free
        empty = nova_objects.host_state(
            world.a_report(
                free_mib=3200, idle_mib=0, reclaimable_mib=0, committed_mib=0
            ),
            name="empty",
            free_mib=3200,
        )
        # When it is weighed against one with idle guests
        # Then it comes first
        self.assertEqual(["empty", "idle"], self.order(self.idle, empty))

    def test_a_negative_multiplier_stacks(self) -> None:
        # Given a negative multiplier
        self.multiply_by(-1.0)
        # When a busy and an idle host are weighed
        # Then the busy one comes first
        self.assertEqual(["busy", "idle"], self.order(self.idle, self.busy))

    def test_no_believable_report_comes_last_either_way(self) -> None:
        # Given hosts without a report, and with an old one
        # When instances are spread, or stacked
        # Then these hosts come last
        states = (self.silent, self.busy, self.old, self.idle)
        self.assertEqual({"silent", "old"}, set(self.order(*states)[2:]))
        self.multiply_by(-1.0)
        self.assertEqual({"silent", "old"}, set(self.order(*states)[2:]))

    def test_claims_since_the_report_lower_the_weight(self) -> None:
        # Given two equally idle hosts
        second = nova_objects.host_state(name="second")
        # When an instance was placed on the first
        self.idle.consume_from_request(nova_objects.request_spec())
        # Then the second comes first
        self.assertEqual(["second", "idle"], self.order(self.idle, second))

    def test_a_full_host_is_still_better_than_an_unknown_one(self) -> None:
        # Given a host with less room than what was placed on it
        full = nova_objects.host_state(
            world.a_report(idle_mib=0, free_mib=0), name="full"
        )
        full.consume_from_request(nova_objects.request_spec())
        # When it is weighed against one without a report
        # Then it comes first
        self.assertEqual(["full", "silent"], self.order(self.silent, full))

    def test_an_aggregate_may_say_the_multiplier(self) -> None:
        # Given an aggregate that stacks
        aggregate = objects.Aggregate(
            metadata={"xen_overcommit_weight_multiplier": "-2"}
        )
        self.idle.aggregates = [aggregate]
        # Then its hosts are weighed so
        self.assertEqual(-2.0, self.weigher.weight_multiplier(self.idle))
        self.assertEqual(1.0, self.weigher.weight_multiplier(self.busy))

    def test_no_known_host_at_all(self) -> None:
        # Given only hosts without reports
        # Then they weigh alike
        (one, two) = self.weigher.weigh_objects(
            [
                nova_weights.WeighedHost(self.silent, 0.0),
                nova_weights.WeighedHost(self.old, 0.0),
            ],
            {},
        )
        self.assertEqual(one, two)
