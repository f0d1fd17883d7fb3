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
]
