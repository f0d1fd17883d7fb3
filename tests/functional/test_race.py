# SPDX-License-Identifier: Apache-2.0
"""Several schedulers, and the last memory of a host.

Each scheduler reads the hosts, filters, and claims at Placement; between the
first and the last another one may do the same. The filter can't see that:
what it reads is as old as nova-compute's last update. Here the second
scheduler does all of its work in the worst of moments, when the first has
filtered and is about to claim, so what is shown doesn't depend on luck.

What it shows is that the promise in Placement's inventory is the guard, as
Placement checks and writes an allocation in one transaction. Placement's
database is SQLite here. On MariaDB two *simultaneous* writes were seen to
pass that check on one stale snapshot; the last guard against that is the
agent, which reserves real memory before each start: see the refusals in
test_driver.
"""

import threading
from typing import Any

import oslo_messaging
from nova import context as nova_context
from nova import exception as nova_exception
from nova.scheduler import manager, utils
from oslo_utils import uuidutils

from tests.functional import base, test_driver


class RaceTest(test_driver.DriverTestCase):
    """One host, and a promise with room for two instances of 1 GiB."""

    def setUp(self) -> None:
        super().setUp()
        # A busy machine is slow, which says nothing of the code under test.
        self.flags(report_max_age_s=3600, group="xen_overcommit")
        self.agent.reports = {"promise_mib": 2 * base.FLAVOR_MIB}
        self.start_host("compute1")
        self.boot()
        self.second = manager.SchedulerManager()
        self.rivals: list[str] = []

    def used_mib(self) -> int:
        """Give what is allocated of the host's memory in Placement."""
        provider = self.compute_rp_uuids["compute1"]
        path = f"/resource_providers/{provider}/usages"
        return int(self.placement.get(path).body["usages"]["MEMORY_MB"])

    def place(self, spec: Any) -> bool:
        """Let the second scheduler place one more; tell whether it can."""
        rival = spec.obj_clone()
        rival.instance_uuid = uuidutils.generate_uuid()
        try:
            self.second.select_destinations(
                nova_context.get_admin_context(),
                spec_obj=rival,
                instance_uuids=[rival.instance_uuid],
                return_objects=True,
            )
        except oslo_messaging.ExpectedException as error:
            # How the message bus is told that it is no fault.
            self.assertIs(nova_exception.NoValidHost, error.exc_info[0])
            return False
        self.rivals.append(rival.instance_uuid)
        return True

    def rival_before_each_claim(self, count: int) -> None:
        """Let the second scheduler come first with so many instances."""
        claim = utils.claim_resources
        inside = threading.local()

        def claim_after_rivals(
            context: Any, client: Any, spec: Any, *args: Any, **kwargs: Any
        ) -> Any:
            if not getattr(inside, "rival", False):
                inside.rival = True
                for _ in range(count - len(self.rivals)):
                    self.place(spec)
                inside.rival = False
            return claim(context, client, spec, *args, **kwargs)

        self.stub_out(
            "nova.scheduler.utils.claim_resources", claim_after_rivals
        )

    def test_never_more_placed_than_promised(self) -> None:
        # Given two schedulers that have both found the host good for the
        # last instance, and the second claims first
        self.rival_before_each_claim(1)
        # When the first claims
        refused = self.boot(expected="ERROR")
        # Then it finds no valid host, and no more is placed than promised
        self.assertIn("No valid host", refused["fault"]["message"])
        self.assertEqual(1, len(self.rivals))
        self.assertEqual(2 * base.FLAVOR_MIB, self.used_mib())

    def test_the_guard_is_the_promise_in_placement(self) -> None:
        # Given the same race, and Placement told of more than is promised
        provider = self.compute_rp_uuids["compute1"]
        path = f"/resource_providers/{provider}/inventories/MEMORY_MB"
        inventory = self.memory_inventory("compute1")
        generation = inventory["resource_provider_generation"]
        changed = {
            "total": inventory["total"],
            "reserved": inventory["reserved"],
            "allocation_ratio": 16.0,
            "resource_provider_generation": generation,
        }
        self.placement.put(path, changed)
        self.rival_before_each_claim(1)
        # When the first claims, then more is placed than promised
        self.boot()
        self.assertEqual(3 * base.FLAVOR_MIB, self.used_mib())

    def test_many_at_once(self) -> None:
        # Given room for one more, and five that a second scheduler places
        # while the first is about to claim two at once
        self.rival_before_each_claim(5)
        request = self._build_server(flavor_id=self.flavor_id, networks="none")
        request |= {"min_count": 2, "max_count": 2, "name": "two"}
        self.api.post_server({"server": request})
        for server in self.api.get_servers(search_opts={"name": "two"}):
            self._wait_for_state_change(server, "ERROR")
        # Then one of all seven is placed
        self.assertEqual(1, len(self.rivals))
        self.assertEqual(2 * base.FLAVOR_MIB, self.used_mib())
