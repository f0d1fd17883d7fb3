# SPDX-License-Identifier: Apache-2.0
"""Options: guests that say nothing, or don't follow."""

from oslo_config import cfg

OPTS = [
    cfg.BoolOpt(
        "probe_silent_guests",
        default=False,
        mutable=True,
        help="""
Whether memory is also taken from guests that say nothing of their memory
(no publisher, no statistics of their balloon, ever). They are watched from
outside and give 1 % of their flavor at a time (or twice ``dead_band_mib``,
if that is more), at most each 10 s, while their disks are calm; what hurts
them is given back at once, and they are left alone after it for 2 minutes,
4, 8 and so on up to 4 hours. At a quarter of ``swap_in_high_kib_s``, read
from or written to its swap disk, such a guest hurts. It never gets below
half of its flavor, nor below its flavor less its swap disk; a guest without
a swap disk, or with one that libvirt can't count for, is left alone. The
promise counts them with their whole flavor all the same. Off by default,
since a guest may be in need for seconds before that can be seen.
""",
    ),
    cfg.IntOpt(
        "sample_max_age_s",
        default=15,
        min=2,
        max=600,
        mutable=True,
        help="""
Age in seconds beyond which a guest's figures are not believed. The guest is
then left alone and counts in full. Our publisher writes at least each
5 s; guests that only write ``data/meminfo_free`` do so each 60 to 120 s and
are granted 300 s.
""",
    ),
    cfg.FloatOpt(
        "stuck_after_s",
        default=5.0,
        min=1,
        max=600,
        mutable=True,
        help="""
Seconds without progress towards its target after which a guest counts as
stuck: nothing more is expected from it.
""",
    ),
    cfg.FloatOpt(
        "uncooperative_after_s",
        default=20.0,
        min=2,
        max=3600,
        mutable=True,
        help="""
Seconds without progress after which a guest counts as uncooperative: its
target goes back to what it has, it counts in full, is named in the report,
and tried again with growing delays. Must exceed ``stuck_after_s``.
""",
    ),
]
