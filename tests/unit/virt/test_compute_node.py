# SPDX-License-Identifier: Apache-2.0
"""The ratio in Nova's own record; in a whole Nova: tests/functional."""

import types
import unittest

from nova import objects
from nova.compute import manager
from nova.virt import fake

from nova_xen_overcommit.virt import compute_node


def virtapi_of(node: objects.ComputeNode) -> manager.ComputeVirtAPI:
    """Give Nova's own, before which is a manager that tracks ``node``."""
    tracker = types.SimpleNamespace(compute_nodes={"node1": node})
    return manager.ComputeVirtAPI(
        types.SimpleNamespace(rt=tracker, reportclient=None)
    )


class SetRamRatioTest(unittest.TestCase):
    def test_the_record_gets_the_ratio(self) -> None:
        node = objects.ComputeNode(ram_allocation_ratio=1.0)
        compute_node.set_ram_ratio(virtapi_of(node), "node1", 3.25)
        self.assertEqual(3.25, node.ram_allocation_ratio)

    def test_another_node_is_left_alone(self) -> None:
        node = objects.ComputeNode(ram_allocation_ratio=1.0)
        compute_node.set_ram_ratio(virtapi_of(node), "node2", 3.25)
        self.assertEqual(1.0, node.ram_allocation_ratio)

    def test_a_driver_without_a_compute_manager(self) -> None:
        # Nova's own stand-in has no resource tracker
        compute_node.set_ram_ratio(fake.FakeVirtAPI(), "node1", 3.25)
