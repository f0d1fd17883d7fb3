# SPDX-License-Identifier: Apache-2.0
"""Who else in Nova reads the RAM ratio sees the one that Placement has."""

import copy
from typing import Any

from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
from nova.conductor.tasks import live_migrate
from nova.scheduler import host_manager
from nova.scheduler.filters import numa_topology_filter

from tests.functional import base, test_driver

INSTANCE = "0c1a2b3c-5d6e-4f70-8192-a3b4c5d6e7f8"


class RatioTest(test_driver.DriverTestCase):
    """A host of 4096 MiB, 512 reserved, that promises 12288 MiB."""

    def setUp(self) -> None:
        super().setUp()
        self.start_host("compute1")
        self.context = nova_context.get_admin_context()

    def node(self) -> objects.ComputeNode:
        """Give Nova's record of the host, from its database."""
        return objects.ComputeNode.get_first_node_by_host_for_old_compat(
            self.context, "compute1"
        )

    def placement_ratio(self) -> float:
        """Give the ratio that Placement has."""
        return float(self.memory_inventory("compute1")["allocation_ratio"])

    def test_nova_s_record_has_placement_s_ratio(self) -> None:
        # Given a host that has published its promise
        ratio = self.placement_ratio()
        self.assertGreater(ratio, 3.4)
        # Then Nova's own record of it says the same
        self.assertEqual(ratio, self.node().ram_allocation_ratio)
        # When the promise becomes smaller, then both follow
        self.agent.reports = {"promise_mib": 5000}
        self.refresh()
        self.assertLess(self.placement_ratio(), 1.4)
        self.assertEqual(
            self.placement_ratio(), self.node().ram_allocation_ratio
        )
        # When the agent dies, then both are what is physically there
        self.agent.stop()
        self.refresh()
        self.assertLess(self.placement_ratio(), 1.0)
        self.assertEqual(
            self.placement_ratio(), self.node().ram_allocation_ratio
        )

    def test_an_operator_s_ratio_bounds_both(self) -> None:
        # Given an operator's own ratio, below what is promised
        self.flags(ram_allocation_ratio=2.0)
        self.computes["compute1"].manager.rt.ram_allocation_ratio = 2.0
        # When the host is looked at again
        self.refresh()
        # Then it holds everywhere, and is told
        self.assertEqual(2.0, self.placement_ratio())
        self.assertEqual(2.0, self.node().ram_allocation_ratio)
        self.assertIn(
            "ram_allocation_ratio = 2.0 is set: it cuts the promise of "
            "12288 MiB to 7168 MiB",
            self.stdlog.logger.output,
        )
        # When less is promised, then that holds everywhere
        self.agent.reports = {"promise_mib": 5000}
        self.refresh()
        self.assertEqual(5000, self.capacity_mib())
        self.assertEqual(
            self.placement_ratio(), self.node().ram_allocation_ratio
        )

    def numa_filter_passes(self, memory_mib: int, used_mib: int) -> bool:
        """Ask NUMATopologyFilter for a guest on the host's one cell."""
        state = host_manager.HostState("compute1", "compute1", None)
        state.update(compute=self.node())
        (cell,) = state.numa_topology.cells
        cell.memory_usage = used_mib
        state.allocation_candidates = [{"mappings": {}}]
        guest = objects.InstanceNUMACell(
            id=0, cpuset={0}, pcpuset=set(), memory=memory_mib
        )
        spec = objects.RequestSpec(
            flavor=objects.Flavor(extra_specs={"hw:numa_nodes": "1"}),
            image=objects.ImageMeta(properties=objects.ImageMetaProps()),
            numa_topology=objects.InstanceNUMATopology(cells=[guest]),
            pci_requests=objects.InstancePCIRequests(requests=[]),
            instance_uuid=INSTANCE,
        )
        found = numa_topology_filter.NUMATopologyFilter().host_passes(
            state, copy.deepcopy(spec)
        )
        return bool(found)

    def test_the_numa_filter_sees_it(self) -> None:
        # Given a cell of 4096 MiB, and a ratio of 3.42871
        ratio = self.placement_ratio()
        limit_mib = int(4096 * ratio)
        # Then guests may have as much of the cell as the ratio says
        self.assertTrue(self.numa_filter_passes(1024, limit_mib - 1024))
        self.assertFalse(self.numa_filter_passes(1024, limit_mib - 1023))

    def check_live_migration(self, memory_mib: int) -> Any:
        """Let Nova check the host as a forced live migration's target."""
        instance = objects.Instance(
            uuid=INSTANCE,
            host="elsewhere",
            memory_mb=memory_mib,
        )
        nobody = [None] * 7
        task = live_migrate.LiveMigrationTask(
            self.context, instance, "compute1", *nobody
        )
        return task._check_destination_has_enough_memory()

    def test_the_live_migration_check_sees_it(self) -> None:
        # Given total times ratio, less what the host itself keeps
        limit_mib = int(4096 * self.placement_ratio()) - 512
        # Then an instance of that size may come, a larger one may not
        self.check_live_migration(limit_mib)
        self.assertRaises(
            nova_exception.MigrationPreCheckError,
            self.check_live_migration,
            limit_mib + 1,
        )
        self.assertGreater(limit_mib, base.HOST_MIB)
