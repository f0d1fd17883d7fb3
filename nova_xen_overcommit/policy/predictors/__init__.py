# SPDX-License-Identifier: Apache-2.0
"""How the peak of a host's summed demand is foretold.

Plugins in the entry-point namespace ``nova_xen_overcommit.predictors``.
"""

from nova_xen_overcommit.policy.predictors.classic import (
    GuestPeaks,
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
from nova_xen_overcommit.policy.predictors.surge import DEFAULT_RISK, Surge

__all__ = (
    "DEFAULT_RISK",
    "GuestPast",
    "GuestPeaks",
    "HostPast",
    "MaxOf",
    "NSigma",
    "Percentile",
    "Predictor",
    "RecentMax",
    "Surge",
)
