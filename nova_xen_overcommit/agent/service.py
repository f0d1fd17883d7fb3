# SPDX-License-Identifier: Apache-2.0
"""The agent as an oslo.service service.

The worker process holds all state, and rebuilds it from the hypervisor
when a SIGHUP replaces it.
"""

import contextlib
import logging
import threading
from typing import Any

from oslo_config import cfg
from oslo_service import service

from nova_xen_overcommit.agent import (
    build,
    collector,
    core,
    metrics,
    server,
    supervisor,
)

LOG = logging.getLogger(__name__)


class AgentService(service.Service):
    """Balances in one thread and answers the socket in others."""

    def __init__(
        self, conf: cfg.ConfigOpts, supervisor_: supervisor.Supervisor
    ) -> None:
        super().__init__()
        self._conf = conf
        self._leaving = threading.Event()
        self._agent: core.Agent | None = None
        self._listener: server.AgentServer | None = None
        self._supervisor = supervisor_
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to balance; returns at once."""
        super().start()
        agent = self._agent = build.make_agent(self._conf)
        agent.followers.append(self._supervisor.passed)
        collector.calm()
        options = self._conf.xen_overcommit
        self._listener = server.AgentServer(
            options.agent_socket,
            agent,
            server.allowed_uids(options.agent_users),
        )
        endpoint = metrics.endpoint_of(agent, self._conf)
        self._run("balancer", self._balance, agent)
        self._run("server", self._listener.serve_forever)
        if endpoint is not None:
            self._run("metrics", endpoint.serve, self._leaving)
        LOG.info("Agent runs in mode %s", options.mode)

    def _run(self, name: str, target: Any, *args: Any) -> None:
        thread = threading.Thread(
            target=target, args=args, name=name, daemon=True
        )
        thread.start()
        self._threads.append(thread)

    def _balance(self, agent: core.Agent) -> None:
        try:
            core.balance(agent, self._leaving)
        finally:
            self._supervisor.left()

    def stop(self, graceful: bool = False) -> None:
        """Finish the pass under way and close the socket."""
        self._leaving.set()
        if self._agent is not None:
            # It may rest for longer than is waited for it here.
            self._agent.wake.set()
        if self._listener is not None:
            self._listener.shutdown()
            self._listener.server_close()
        for thread in self._threads:
            with contextlib.suppress(RuntimeError):
                thread.join(timeout=10.0)
        super().stop(graceful)
