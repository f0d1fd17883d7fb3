# SPDX-License-Identifier: Apache-2.0
"""Options: how the agent is watched."""

from oslo_config import cfg

OPTS = [
    cfg.StrOpt(
        "heartbeat_file",
        default="",
        help="""
File that the agent touches at the end of each pass; empty for none. For
watchdogs that don't speak to the socket.
""",
    ),
    cfg.PortOpt(
        "metrics_port",
        default=0,
        help="""
TCP port at which the agent shows its figures to Prometheus (for example
9844); 0 for none. Off by default: whoever can connect, any user of the host
included, reads the names and figures of all its guests, which the agent's
socket tells root and ``agent_users`` alone. Where the port is taken the agent
says so, goes on without, and tries again. Takes a restart.
""",
    ),
    cfg.IPOpt(
        "metrics_address",
        default="127.0.0.1",
        help="""
Address of this host at which ``metrics_port`` is opened: one of its
management network, or ``::`` for all, if Prometheus isn't on this host. There
is neither encryption nor a password; let a firewall or a proxy see to that.
""",
    ),
]
