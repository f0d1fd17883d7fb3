# SPDX-License-Identifier: Apache-2.0
"""Answers Prometheus over HTTP.

A thread for each of a few connections; who hangs is cut off, and who comes
when all are taken is sent away. Nothing here is waited for by the balancer.
"""

import logging
import socket
import socketserver
import sys
import threading
from typing import Any
from wsgiref import simple_server

from prometheus_client import CollectorRegistry, make_wsgi_app

LOG = logging.getLogger(__name__)

# Two Prometheuses and somebody who looks, twice.
MOST_CONNECTIONS = 6
TIMEOUT_S = 10.0
RETRY_S = 30.0
_POLL_S = 0.5


class _Handler(simple_server.WSGIRequestHandler):
    timeout = TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        LOG.debug("Metrics: %s", format % args)


class _Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True
    block_on_close = False
    timeout = _POLL_S

    def __init__(
        self, address: str, port: int, registry: CollectorRegistry
    ) -> None:
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._asked = address, port
        if ":" in address:
            self.address_family = socket.AF_INET6
        super().__init__((address, port), _Handler)
        self.set_app(make_wsgi_app(registry))

    def server_bind(self) -> None:
        # HTTPServer's asks the resolver for this host's name, which hangs
        # where that does.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self._asked
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            LOG.debug("Metrics: too many connections")
            self.shutdown_request(request)

    def process_request_thread(
        self, request: Any, client_address: Any
    ) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, *_client: Any) -> None:
        LOG.debug("Metrics: a client left: %s", sys.exception())


class Endpoint:
    """Shows a registry at one address and port."""

    def __init__(
        self,
        address: str,
        port: int,
        registry: CollectorRegistry,
        retry_s: float = RETRY_S,
    ) -> None:
        self._address = address
        self._port = port
        self._registry = registry
        self._retry_s = retry_s
        self._complained = False

    def serve(self, leaving: threading.Event) -> None:
        """Answer until ``leaving`` is set, as soon as the port is free."""
        while not leaving.is_set():
            try:
                server = _Server(self._address, self._port, self._registry)
            except OSError as error:
                self._complain(error)
                leaving.wait(self._retry_s)
            else:
                self._answer(server, leaving)

    def _answer(self, server: _Server, leaving: threading.Event) -> None:
        LOG.info("Metrics are at http://%s port %d", self._address, self._port)
        with server:
            while not leaving.is_set():
                server.handle_request()

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            LOG.error(
                "[xen_overcommit] metrics_address %s, metrics_port %d: can't "
                "listen there, balancing goes on without metrics: %s",
                self._address,
                self._port,
                error,
            )
        self._complained = True
