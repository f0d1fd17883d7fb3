# SPDX-License-Identifier: Apache-2.0
"""Every option of ``[xen_overcommit]``.

Nothing is registered at import: each process registers on the
``ConfigOpts`` it uses, so two of them can live in one process.
"""

from oslo_config import cfg

from nova_xen_overcommit import exception

GROUP = cfg.OptGroup(
    "xen_overcommit",
    title="Memory overcommit by ballooning",
    help="""
Memory overcommit by observed idle memory. The same section is read by
nova-scheduler (filter and weigher), by nova-compute (driver) and by
nova-xen-overcommit-agent, each taking the options that concern it.
""",
)

COMMON_OPTS = [
    cfg.StrOpt(
        "mode",
        default="observe",
        choices=[
            ("observe", "Measure and report; change nothing."),
            ("balance", "Also move memory between running guests."),
            (
                "overcommit",
                "Also promise Placement more than is physically there.",
            ),
        ],
        mutable=True,
        help="""
How far this host goes. Start with ``observe``, look at the report for a
while, then go on. Set it alike for nova-compute and the agent of one host;
where they differ the more careful of the two holds.
""",
    ),
    cfg.StrOpt(
        "agent_socket",
        default="/run/nova-xen-overcommit/agent.sock",
        help="""
Path of the Unix socket at which the agent answers nova-compute. The agent
creates it; its directory must exist or be creatable.
""",
    ),
    cfg.IntOpt(
        "report_max_age_s",
        default=180,
        min=10,
        max=3600,
        mutable=True,
        help="""
Age in seconds beyond which a host's report is not believed any more: such a
host takes new instances only as far as its physical memory reaches. Must
exceed Nova's ``update_resources_interval`` (60 s unless set), or every host
looks dead between two updates; the default leaves room for two lost ones.
""",
    ),
    cfg.IntOpt(
        "reserve_wait_s",
        default=60,
        min=1,
        max=600,
        mutable=True,
        help="""
Seconds a starting instance waits for memory to be made free before its
start fails and Nova tries the next host. Idle guests yield 100 MB/s and more;
the default lets a large guest start on a host that is full of idle ones.
""",
    ),
]

AGENT_OPTS = [
    cfg.StrOpt(
        "connection_uri",
        default="xen:///system",
        help="""
Libvirt URI of the hypervisor whose guests are balanced, for example
``xen:///system`` or ``qemu:///system``.
""",
    ),
    cfg.ListOpt(
        "agent_users",
        default=["nova"],
        help="""
Names of the users, besides root, that the agent's socket admits; the
peer's credentials are taken from the kernel. Users that don't exist on the
host are ignored with a warning.
""",
    ),
    cfg.ListOpt(
        "sensors",
        default=["xenstore", "balloon"],
        help="""
Where guests' memory figures come from, in order of preference: names of
entry points in ``nova_xen_overcommit.sensors``. A sensor that doesn't fit
the hypervisor is left out by itself.
""",
    ),
    cfg.FloatOpt(
        "tick_interval_s",
        default=1.0,
        min=0.1,
        max=60,
        mutable=True,
        help="""
Seconds between two passes of the balancer while nothing moves. Longer
saves CPU on hosts with many guests; a need is seen that much later.
""",
    ),
    cfg.FloatOpt(
        "busy_tick_interval_s",
        default=0.2,
        min=0.05,
        max=10,
        mutable=True,
        help="""
Seconds between two passes while memory moves or a start waits. It bounds
how late a grant follows the memory that a donor has yielded.
""",
    ),
    cfg.IntOpt(
        "host_memory_limit_mib",
        default=0,
        min=0,
        help="""
Most physical memory in MiB that the host counts as its own; 0 means all
that the hypervisor reports. A lower figure keeps the rest out of every
calculation, for example for other uses of the host.
""",
    ),
    cfg.IntOpt(
        "host_reserved_mib",
        min=0,
        help="""
Memory in MiB that the host itself keeps. Unset: on Xen what dom0 and the
hypervisor hold is measured; elsewhere 512 MiB, like Nova's
``reserved_host_memory_mb``. When set it replaces the measured figure, but
only if it is larger.
""",
    ),
    cfg.StrOpt(
        "guests_cgroup",
        default="",
        help="""
Directory of the control group (version 1 or 2) whose memory limit bounds all
guests together on KVM and QEMU: they can have no more than that. Empty:
``/sys/fs/cgroup/machine.slice``, where libvirt puts guests under systemd, if
it has a limit. Its ``memory.pressure`` tells when guests stall for the host's
memory; where there is none, that of the whole host does.
""",
    ),
    cfg.IntOpt(
        "reserve_mib",
        default=128,
        min=16,
        mutable=True,
        help="""
Memory in MiB kept free for instant grants and starts. It is spent first
when a guest is suddenly in need, and refilled from idle guests. Too small,
and a sudden need waits for donors; too large, and it is idle itself.
""",
    ),
    cfg.IntOpt(
        "host_slack_mib",
        default=16,
        min=0,
        mutable=True,
        help="""
Part of the reserve, in MiB, that is never given to anyone: the hypervisor
needs it for its own bookkeeping (page tables, grants). At less than 9 MiB
domain starts were seen to fail on Xen. Must be below ``reserve_mib``.
""",
    ),
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
``xen_overcommit:floor_mb`` raises it for one flavor. The sum of floors
bounds how many guests a host takes.
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
    cfg.FloatOpt(
        "max_overcommit_ratio",
        default=4.0,
        min=1.0,
        max=64.0,
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
guests have swap of their own (the flavor's ``swap``). With it, if all
guests want everything at once they swap inside themselves and none is
killed. Without it, a guest without swap can run out of memory at its
floor.
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
minutes (shorter ones below an hour). A week by default: the same hours of the
same days come again. Each guest takes 8 KiB of the agent's memory for a week.
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
alone on its host). Whole days (UTC) are dropped. Less than ``history_s``
shortens what a new agent knows.
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
    cfg.StrOpt(
        "heartbeat_file",
        default="",
        help="""
File that the agent touches at the end of each pass; empty for none. For
watchdogs that don't speak to the socket.
""",
    ),
    cfg.StrOpt(
        "simulated_scenario",
        default="",
        help="""
Scenario file of the ``simulated`` sensor, for demonstrations and tests on
libvirt's embedded ``test:///`` hypervisor.
""",
    ),
]

SCHEDULER_OPTS = [
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

ALL_OPTS = [*COMMON_OPTS, *AGENT_OPTS, *SCHEDULER_OPTS]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register all options on ``conf``; harmless when done twice."""
    # A group of its own: registered groups keep the values that are set.
    group = cfg.OptGroup(GROUP.name, title=GROUP.title, help=GROUP.help)
    conf.register_group(group)
    conf.register_opts(ALL_OPTS, group=GROUP.name)


def list_opts() -> list[tuple[cfg.OptGroup, list[cfg.Opt]]]:
    """Give the options to oslo.config's sample generator."""
    return [(GROUP, list(ALL_OPTS))]


def check(conf: cfg.ConfigOpts) -> None:
    """Check every value now, not when it is first used.

    :raises InvalidConfiguration: an option has a value it can't have, or
        two contradict each other; the message names them.
    """
    options = conf.xen_overcommit
    for option in ALL_OPTS:
        try:
            options[option.dest]
        except ValueError as error:
            raise exception.InvalidConfiguration(
                f"[xen_overcommit] {option.name}: {error}"
            ) from error
    _require_below(options, "host_slack_mib", "reserve_mib")
    _require_below(options, "stuck_after_s", "uncooperative_after_s")
    _require_below(options, "busy_tick_interval_s", "stuck_after_s")
    if options.start_share < options.floor_share:
        raise exception.InvalidConfiguration(
            f"[xen_overcommit] start_share ({options.start_share}) is below "
            f"floor_share ({options.floor_share})"
        )


def _require_below(
    options: cfg.ConfigOpts.GroupAttr, low: str, high: str
) -> None:
    if options[low] >= options[high]:
        raise exception.InvalidConfiguration(
            f"[xen_overcommit] {low} ({options[low]}) must be below "
            f"{high} ({options[high]})"
        )
