# SPDX-License-Identifier: Apache-2.0
"""Options: the agent's connections and the pace of its passes."""

from oslo_config import cfg

OPTS = [
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
    cfg.StrOpt(
        "simulated_scenario",
        default="",
        help="""
Scenario file of the ``simulated`` sensor, for demonstrations and tests on
libvirt's embedded ``test:///`` hypervisor.
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
]
