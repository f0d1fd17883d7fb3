# SPDX-License-Identifier: Apache-2.0
"""How the peak of a host's summed demand is foretold.

Plugins in the entry-point namespace ``nova_xen_overcommit.predictors``.
"""

from nova_xen_overcommit.policy.predictors.classic import (
    MaxOf,
    NSigma,
    Percentile,
    RecentMax,
)
from nova_xen_overcommit.policy.predictors.past import (
    GuestPast,
    HostPast,
    Predictor,
)

DEFAULT_RISK = 0.001

__all__ = (
    "DEFAULT_RISK",
    "GuestPast",
    "HostPast",
    "MaxOf",
    "NSigma",
    "Percentile",
    "Predictor",
    "RecentMax",
)
