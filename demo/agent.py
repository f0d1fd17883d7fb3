# SPDX-License-Identifier: Apache-2.0
"""The real agent, in threads of this process.

It is put together by the agent's own ``make_agent`` and answers at its own
socket; only its process and its way to open libvirt are replaced.
"""

import threading
from pathlib import Path
from typing import Any

from oslo_config import cfg

from demo import host
from nova_xen_overcommit import conf as options
from nova_xen_overcommit.agent import build, core, server

# A demonstration has minutes where a host has days: what an operator would
# leave at a minute or a day is seconds here. Sizes are the defaults.
IN_A_HURRY: dict[str, Any] = {
    "tick_interval_s": 0.2,
    "busy_tick_interval_s": 0.1,
    "warm_up_s": 4,
    "promise_raise_delay_s": 2,
    "cool_down_s": 3.0,
    "demand_decay_s": 5.0,
    "history_s": 60,
}


def configure(uri: str, socket: Path, scenario: Path) -> cfg.ConfigOpts:
    """Give the agent's configuration, in mode observe."""
    conf = cfg.ConfigOpts()
    options.register_opts(conf)
    conf([], project="nova", default_config_files=[], default_config_dirs=[])
    chosen = IN_A_HURRY | {
        "connection_uri": uri,
        "agent_socket": str(socket),
        "sensors": ["simulated"],
        "simulated_scenario": str(scenario),
        "history_dir": str(socket.parent / "history"),
    }
    for name, value in chosen.items():
        conf.set_override(name, value, group="xen_overcommit")
    return conf


class RunningAgent:
    """An agent at work until the context is left."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._options = conf.xen_overcommit
        self._leaving = threading.Event()
        uri = self._options.connection_uri
        self._agent = build.make_agent(
            conf, open_connection=lambda: host.connection(uri)
        )
        self._server = server.AgentServer(
            self._options.agent_socket, self._agent, server.allowed_uids([])
        )
        self._threads = [
            threading.Thread(
                target=core.balance,
                args=(self._agent, self._leaving),
                name="balancer",
            ),
            threading.Thread(
                target=self._server.serve_forever, name="agent-server"
            ),
        ]

    def __enter__(self) -> "RunningAgent":
        for thread in self._threads:
            thread.daemon = True
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._leaving.set()
        self._agent.wake.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join(timeout=10.0)
