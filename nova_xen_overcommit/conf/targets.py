# SPDX-License-Identifier: Apache-2.0
"""Options: how memory is moved between guests."""

from oslo_config import cfg

OPTS = [
    cfg.FloatOpt(
        "floor_share",
        default=0.02,
        min=0.02,
        max=1.0,
        mutable=True,
        help="""
Least share of its flavor that a guest is ever squeezed to. The floor is
this share, or Xen's old minimum for the guest's size and what a kernel of
today keeps for itself, whichever is more. The latter falls with the size
from 17 % (170 MiB of 1 GiB) over 6 % (476 MiB of 8 GiB) to 2 % (1.4 GiB of
64 GiB), and decides by default for nearly all guests: a tenth of a large
guest is memory that idles while others are short. The flavor extra spec
``xen_overcommit:floor_mb`` raises it for one flavor, and
``require_guest_swap`` for guests with little swap. The sum of floors bounds
how many guests a host takes.
""",
    ),
    cfg.FloatOpt(
        "start_share",
        default=0.25,
        min=0.05,
        max=1.0,
        mutable=True,
        help="""
Least share of its flavor that a guest starts with. Booting needs more than
idling: a Linux guest of 1 GiB boots in 256 MiB. Where more is free it gets
more at once.
""",
    ),
    cfg.IntOpt(
        "dead_band_mib",
        default=8,
        min=0,
        max=1024,
        mutable=True,
        help="""
Differences in MiB below which a target is not changed, so that memory
doesn't move to and fro for nothing. Guests in need are given less than
that too.
""",
    ),
    cfg.IntOpt(
        "max_step_mib",
        default=256,
        min=8,
        mutable=True,
        help="""
Most memory in MiB taken from one guest before it has spoken again, unless
``max_step_share`` of its flavor is more. Bounds the harm of a wrong
estimate. Giving has no such bound.
""",
    ),
    cfg.FloatOpt(
        "max_step_share",
        default=0.25,
        min=0.0,
        max=1.0,
        mutable=True,
        help="""
The same as share of the guest's flavor, where that is more: large guests
would yield too slowly else. At 0 ``max_step_mib`` holds for all.
""",
    ),
    cfg.FloatOpt(
        "cool_down_s",
        default=10.0,
        min=0,
        max=3600,
        mutable=True,
        help="""
Seconds after a guest was given memory in which none is taken from it, since
it may be about to use it; unless it doesn't even need what it had before
that gift.
""",
    ),
    cfg.FloatOpt(
        "idle_tax",
        default=0.75,
        min=0.0,
        max=0.99,
        mutable=True,
        help="""
How much more an idle MiB costs than a used one when memory is shared out
under shortage: at 0.75 an idle one costs four times as much (1/(1-tax)). At
0 memory follows the guests' weights only.
""",
    ),
]
