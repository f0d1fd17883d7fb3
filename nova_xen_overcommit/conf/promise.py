# SPDX-License-Identifier: Apache-2.0
"""Options: what is promised to Placement, and the history behind it."""

from oslo_config import cfg

from nova_xen_overcommit import report

OPTS = [
    cfg.FloatOpt(
        "max_overcommit_ratio",
        default=4.0,
        min=1.0,
        max=report.MAX_RATIO,
        mutable=True,
        help="""
Upper bound of the promise, as multiple of the host's usable memory. The
observed idle memory usually bounds it earlier; this is the operator's limit
of risk.
""",
    ),
    cfg.BoolOpt(
        "require_guest_swap",
        default=True,
        mutable=True,
        help="""
Whether the sum of flavors may exceed usable memory only by as much as the
guests have swap of their own (the flavor's ``swap``, of each guest as much
as its flavor at most), and no guest is squeezed below what its swap doesn't
hold of its flavor. With it, if all guests want everything at once they swap
inside themselves and none is killed; by default, since nobody can tell from
outside which guests could do without. A guest without swap then keeps its
whole flavor, as if its flavor forbade overcommit. Without it any guest may
be squeezed to the floor of its size, and one with little swap can run out
of memory there.
""",
    ),
    cfg.StrOpt(
        "predictor",
        default="surge",
        help="""
How the peak of the guests' summed demand is foretold: the name of an entry
point in ``nova_xen_overcommit.predictors``. Shipped: ``surge``, which goes
by how far this host's guests have surged together, and heeds ``risk``; with
parameters of their own ``recent_max``, ``percentile``, ``n_sigma``, ``max``
(the largest of those three) and ``guest_peaks``, the sum of all guests' own
peaks, which promises least.
""",
    ),
    cfg.FloatOpt(
        "risk",
        default=0.001,
        min=1e-06,
        max=0.5,
        help="""
Share of host-time in which the guests may need more than was foretold when
the promise was made, so that memory has to be shared out or guests swap. The
default is a minute and a half a day; 0.0001 is nine seconds a day, and
promises less. Predictors with parameters of their own don't heed it.
""",
    ),
    cfg.IntOpt(
        "history_s",
        default=604800,
        min=60,
        max=2592000,
        help="""
Seconds of demand history that the predictor looks at, in steps of five
minutes (below an hour a twelfth of it, 5 s at least, and ``history_dir``
grows faster by as much). A week by default: the same hours of the same days
come again. Each guest takes 8 KiB of the agent's memory for a week.
""",
    ),
    cfg.StrOpt(
        "history_dir",
        default="/var/lib/nova-xen-overcommit/history",
        help="""
Directory in which the agent keeps what each guest needed and used in each
step, so that a new agent knows it and ``nova-xen-overcommit history export``
has it. The agent creates it. Empty: nothing is kept, and each agent begins
anew. A disk that is full, broken or hangs costs history, and nothing else.
""",
    ),
    cfg.IntOpt(
        "history_keep_s",
        default=31536000,
        min=86400,
        max=315360000,
        help="""
Seconds for which ``history_dir`` keeps what was seen, guests included that
are long gone; a year by default. A guest takes 2 MB a year (4.2 MB if it is
alone on its host) with steps of five minutes, and as much more as steps are
shorter: with a ``history_s`` of 60 they are 5 s long, and it takes 120 MB
(252 MB). Whole days (UTC) are dropped. Less than ``history_s`` shortens what
a new agent knows.
""",
    ),
    cfg.IntOpt(
        "warm_up_s",
        default=600,
        min=0,
        max=2592000,
        mutable=True,
        help="""
Seconds for which a new guest (or one the agent has just found) counts with
its whole flavor in the promise, since nothing is known of it.
""",
    ),
    cfg.IntOpt(
        "promise_raise_delay_s",
        default=60,
        min=0,
        max=86400,
        mutable=True,
        help="""
Seconds that a higher promise must hold before it is published. A lower one
is published at once.
""",
    ),
]
