# SPDX-License-Identifier: Apache-2.0
"""Every option of ``[xen_overcommit]``, by concern.

Nothing is registered at import: each process registers on the
``ConfigOpts`` it uses, so two of them can live in one process.
"""

from oslo_config import cfg

from nova_xen_overcommit.conf import (
    agent,
    common,
    demand,
    guests,
    host,
    monitoring,
    promise,
    scheduler,
    targets,
)
from nova_xen_overcommit.conf import checks as _checks

GROUP = cfg.OptGroup(
    "xen_overcommit",
    title="Memory overcommit by ballooning",
    help="""
Memory overcommit by observed idle memory. The same section is read by
nova-scheduler (filter and weigher), by nova-compute (driver) and by
nova-xen-overcommit-agent, each taking the options that concern it.
""",
)

COMMON_OPTS = [*common.OPTS]

AGENT_OPTS = [
    *agent.OPTS,
    *host.OPTS,
    *targets.OPTS,
    *demand.OPTS,
    *guests.OPTS,
    *promise.OPTS,
    *monitoring.OPTS,
]

SCHEDULER_OPTS = [*scheduler.OPTS]

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
    _checks.values(options, ALL_OPTS)
    _checks.contradictions(options)
