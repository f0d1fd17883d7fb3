# SPDX-License-Identifier: Apache-2.0
"""What guests needed over time: in memory for predictors, and on disk."""

from nova_xen_overcommit.agent.history.demand import DemandHistory, Seen

__all__ = ("DemandHistory", "Seen")
