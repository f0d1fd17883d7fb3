# SPDX-License-Identifier: Apache-2.0
"""Options: what more than one process reads."""

from oslo_config import cfg

OPTS = [
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
