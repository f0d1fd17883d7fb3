# SPDX-License-Identifier: Apache-2.0
"""Options: what a guest is taken to need."""

from oslo_config import cfg

OPTS = [
    cfg.FloatOpt(
        "demand_head_room_share",
        default=0.1,
        min=0.0,
        max=2.0,
        mutable=True,
        help="""
Head room above what a guest is seen to use, as share of that use. It
serves what comes before the next pass can see it.
""",
    ),
    cfg.IntOpt(
        "demand_head_room_mib",
        default=32,
        min=0,
        mutable=True,
        help="""
Head room above what a guest is seen to use, in MiB, on top of the share.
""",
    ),
    cfg.FloatOpt(
        "demand_rise_s",
        default=2.0,
        min=0.1,
        max=3600,
        mutable=True,
        help="""
Time constant in seconds with which the fast average follows a guest's use.
A rise above the average counts at once; this is how soon it is forgotten.
""",
    ),
    cfg.FloatOpt(
        "demand_decay_s",
        default=60.0,
        min=1.0,
        max=86400,
        mutable=True,
        help="""
Time constant in seconds with which demand falls when a guest uses less.
Longer is gentler to guests with bursts, shorter frees idle memory sooner.
What is held for a use that is over gives way to what others use and to
starts.
""",
    ),
    cfg.FloatOpt(
        "peak_memory_s",
        default=3600.0,
        min=1.0,
        max=86400,
        mutable=True,
        help="""
Time constant in seconds with which a guest's highest use is forgotten. Who
had a peak is likely to have another: idle memory that nobody needs goes to
such guests, half of the way to their peaks. It is what others are given
first, and no part of the demand that the promise is reckoned from.
""",
    ),
    cfg.FloatOpt(
        "psi_high_percent",
        default=10.0,
        min=0.1,
        max=100.0,
        mutable=True,
        help="""
Share of time (percent, PSI memory "some") that a guest's tasks stall for
memory at which the guest counts as starved whatever its other figures say.
On KVM and QEMU also the share at which the host itself has none to give,
since its guests' processes stall (read when the agent starts).
""",
    ),
    cfg.IntOpt(
        "swap_in_high_kib_s",
        default=256,
        min=1,
        mutable=True,
        help="""
Swap-in rate in KiB/s at which a guest counts as starved.
""",
    ),
]
