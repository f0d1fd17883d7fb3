# SPDX-License-Identifier: Apache-2.0
"""What a real nova-compute tells on the bus of its host and guests."""

import uuid as uuids
from typing import Any

from nova import context as nova_context
from nova.tests import fixtures as nova_fixtures

from nova_xen_overcommit.agent import protocol
from tests.functional import test_driver

HOST = "xen_overcommit.host.pressure"
GUEST = "xen_overcommit.guest.uncooperative"


class NotificationsTest(test_driver.DriverTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.told: dict[str, Any] = {}
        stock = self.agent.report
        self.agent.report = lambda: {**stock(), **self.told}
        self.notifier = self.useFixture(
            nova_fixtures.NotificationFixture(self)
        )
        self.start_host("compute1")
        self.notifier.reset()

    def look(self) -> list[Any]:
        """Let nova-compute look at its resources; give what it sent new."""
        self.notifier.reset()
        compute = self.computes["compute1"]
        compute.manager.update_available_resource(
            nova_context.get_admin_context()
        )
        return [
            sent
            for sent in self.notifier.versioned_notifications
            if sent["event_type"].startswith("xen_overcommit.")
        ]

    def plain(self) -> list[Any]:
        return [
            sent
            for sent in self.notifier.notifications
            if sent.event_type.startswith("xen_overcommit.")
        ]

    def test_a_host_that_enters_and_leaves_pressure(self) -> None:
        self.assertEqual([], self.look())
        self.agent.reports["state"] = "pressure"
        (sent,) = self.look()
        self.assertEqual(f"{HOST}.start", sent["event_type"])
        self.assertEqual("WARN", sent["priority"])
        self.assertEqual("nova-compute:compute1", sent["publisher_id"])
        payload = sent["payload"]
        self.assertEqual("HostPressurePayload", payload["nova_object.name"])
        self.assertEqual("1.0", payload["nova_object.version"])
        self.assertEqual(
            "nova_xen_overcommit", payload["nova_object.namespace"]
        )
        data = payload["nova_object.data"]
        self.assertEqual("compute1", data["host"])
        self.assertEqual("compute1", data["node"])
        self.assertEqual("pressure", data["state"])
        # Not again while it lasts, nor when it gets worse
        self.agent.reports["state"] = "emergency"
        self.assertEqual([], self.look())
        self.agent.reports["state"] = "normal"
        (sent,) = self.look()
        self.assertEqual(f"{HOST}.end", sent["event_type"])
        self.assertEqual("INFO", sent["priority"])
        self.assertEqual([], self.look())

    def test_the_plain_format_has_the_same(self) -> None:
        self.agent.reports["state"] = "pressure"
        self.look()
        (sent,) = self.plain()
        self.assertEqual(f"{HOST}.start", sent.event_type)
        self.assertEqual("compute.compute1", sent.publisher_id)
        self.assertEqual("pressure", sent.payload["state"])
        self.assertGreater(sent.payload["usable_mib"], 0)

    def test_guests_are_named_when_they_change(self) -> None:
        one, two = str(uuids.uuid4()), str(uuids.uuid4())
        named = protocol.UNCOOPERATIVE_GUESTS
        self.told[named] = [{"uuid": one, "name": "instance-1"}]
        (sent,) = self.look()
        self.assertEqual(f"{GUEST}.start", sent["event_type"])
        data = sent["payload"]["nova_object.data"]
        self.assertEqual(one, data["instance_uuid"])
        self.assertEqual("instance-1", data["domain"])
        self.assertEqual([], self.look())
        self.told[named] = [{"uuid": two, "name": "instance-2"}]
        self.assertEqual(
            [(f"{GUEST}.start", two), (f"{GUEST}.end", one)],
            [
                (
                    sent["event_type"],
                    sent["payload"]["nova_object.data"]["instance_uuid"],
                )
                for sent in self.look()
            ],
        )

    def test_an_agent_that_is_gone_or_older_changes_nothing(self) -> None:
        one = str(uuids.uuid4())
        named = protocol.UNCOOPERATIVE_GUESTS
        self.told[named] = [{"uuid": one, "name": "instance-1"}]
        self.agent.reports["state"] = "pressure"
        self.assertEqual(2, len(self.look()))
        # An agent that names nobody
        del self.told[named]
        self.assertEqual([], self.look())
        # And one that is gone
        self.agent.stop()
        self.assertEqual([], self.look())

    def test_a_bus_that_fails_costs_a_notification_only(self) -> None:
        def fails(*_arguments: Any) -> None:
            raise RuntimeError("no bus")

        driver = self.computes["compute1"].manager.driver
        self.agent.reports["state"] = "pressure"
        driver._notices._send = fails
        self.assertEqual([], self.look())
        node = self.admin_api.api_get("/os-hypervisors/detail")
        self.assertEqual(1, len(node.body["hypervisors"]))
