# SPDX-License-Identifier: Apache-2.0
from tests.functional import base


class SmokeTestCase(base.FunctionalTestCase):
    """Stock driver, no report: the host takes what fits physically."""

    def test_instances_fill_physical_memory_and_no_more(self) -> None:
        # Given a host of 4 GiB, of which 512 MiB are the host's own, that
        # Nova alone would overcommit without looking
        self.flags(ram_allocation_ratio=16.0)
        host = self.start_host("compute1")
        self.assertEqual(16.0, self.memory_inventory(host)["allocation_ratio"])

        # When three instances of 1 GiB are asked for
        servers = [self.boot() for _ in range(3)]

        # Then they run there
        hosts = {server["OS-EXT-SRV-ATTR:host"] for server in servers}
        self.assertEqual({host}, hosts)

        # And the fourth, which has no room, finds no valid host
        refused = self.boot(expected="ERROR")
        self.assertIn("No valid host", refused["fault"]["message"])
