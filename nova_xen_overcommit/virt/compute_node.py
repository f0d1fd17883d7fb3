# SPDX-License-Identifier: Apache-2.0
"""The allocation ratio in Nova's own record of the host.

Placement knows the ratio by its inventory. NUMATopologyFilter and the check
of a forced live migration read ``ComputeNode.ram_allocation_ratio`` instead,
which nova-compute's resource tracker fills from its configuration alone: no
virt driver can tell it. So it is written into the tracker's record, which is
saved right after ``update_provider_tree``.
"""

from typing import Any

from oslo_log import log as logging

LOG = logging.getLogger(__name__)


def set_ram_ratio(virtapi: Any, nodename: str, ratio: float) -> None:
    """Let Nova's record of the host have the ratio that Placement has.

    ``virtapi`` is what nova-compute gave the driver. Without a resource
    tracker behind it (tools, tests) there is no record, and nothing to do.
    """
    tracker = getattr(getattr(virtapi, "_compute", None), "rt", None)
    node = getattr(tracker, "compute_nodes", {}).get(nodename)
    if node is None:
        LOG.debug("No record of node %s to write the RAM ratio to", nodename)
        return
    # Equal floats are no change, so nothing is saved for them.
    node.ram_allocation_ratio = ratio
