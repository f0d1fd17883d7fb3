# SPDX-License-Identifier: Apache-2.0
"""Options: nova-scheduler's filter and weigher."""

from oslo_config import cfg

OPTS = [
    cfg.FloatOpt(
        "weight_multiplier",
        default=1.0,
        mutable=True,
        help="""
Multiplier of XenOvercommitWeigher. Positive prefers hosts with most idle
memory (spreads), negative those with least (stacks), 0 turns it off.
""",
    ),
    cfg.IntOpt(
        "clock_skew_s",
        default=30,
        min=0,
        max=3600,
        mutable=True,
        help="""
Seconds that a host's clock may be ahead of the scheduler's before its
report is not believed.
""",
    ),
]
