# SPDX-License-Identifier: Apache-2.0
"""The agent's real server, behind whose desk a test says what happens.

Socket, wire format and the rule that a reservation lives as long as its
connection are the real thing; only the balancer isn't there.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import fixtures

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import protocol, server
from tests.reports import host_report


class AgentDouble(fixtures.Fixture):
    """Listens on ``path`` until the end of the test.

    ``reports`` holds the changes to :func:`host_report`, ``refusals`` what
    reservations are refused with, first the next one, ``always_refuse``
    what they are refused with when that is empty; ``share`` is the share
    of its flavor that a guest starts with. ``requests`` lists all start
    requests seen, ``held`` the reservations and holds that live now,
    ``events`` all that began and ended, in order.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.reports: dict[str, Any] = {}
        self.refusals: list[exception.OvercommitError] = []
        self.always_refuse: exception.OvercommitError | None = None
        self.share = 0.5
        self.requests: list[protocol.StartRequest] = []
        self.held: list[tuple[str, str]] = []
        self.events: list[tuple[str, str, str]] = []
        self._server: server.AgentServer | None = None

    def _setUp(self) -> None:  # noqa: N802
        uids = frozenset({os.geteuid()})
        self._server = server.AgentServer(self.path, self, uids)
        threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            daemon=True,
        ).start()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        """Die: nobody listens any more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def report(self) -> dict[str, Any]:
        """Give a fresh report."""
        return host_report(**self.reports).to_dict()

    def status(self) -> dict[str, Any]:
        """Give nothing; the driver doesn't ask."""
        return {}

    @contextlib.contextmanager
    def reserve(
        self,
        request: protocol.StartRequest,
        wait_s: float,
        client_left: Callable[[], bool],
    ) -> Iterator[dict[str, Any]]:
        """Grant or refuse as the test said."""
        self.requests.append(request)
        if self.refusals:
            raise self.refusals.pop(0)
        if self.always_refuse is not None:
            raise self.always_refuse
        start_kib = request.restore_kib or int(request.flavor_kib * self.share)
        with self._lease(request.uuid, "start"):
            yield {"start_kib": start_kib}

    @contextlib.contextmanager
    def hold(self, uuid: str, reason: str) -> Iterator[dict[str, Any]]:
        """Note the hold."""
        with self._lease(uuid, reason):
            yield {}

    @contextlib.contextmanager
    def _lease(self, uuid: str, what: str) -> Iterator[None]:
        self.held.append((uuid, what))
        self.events.append(("begin", uuid, what))
        try:
            yield
        finally:
            self.held.remove((uuid, what))
            self.events.append(("end", uuid, what))
