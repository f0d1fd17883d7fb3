# SPDX-License-Identifier: Apache-2.0
"""The agent's socket: who may ask, and what.

One thread a connection. The kernel says who the peer is; only root and the
configured users are let in. What a connection reserved or held ends with
it, however it ends.
"""

import contextlib
import logging
import os
import pwd
import select
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import protocol

LOG = logging.getLogger(__name__)

_PEER_CREDENTIALS = struct.Struct("3i")
_SOCKET_MODE = 0o666
_DIRECTORY_MODE = 0o755
_POLL_S = 0.2

# Those whose answers are long, with thousands of guests.
_LONG = (protocol.STATUS, protocol.EXPLAIN)

Lease = contextlib.AbstractContextManager[dict[str, Any]]


class Desk(Protocol):
    """What the server passes requests on to."""

    def report(self) -> dict[str, Any]:
        """Give the newest report."""

    def status(self) -> dict[str, Any]:
        """Give all there is to know."""

    def explain(self, guest: str) -> dict[str, Any]:
        """Say why a guest has what it has; "": all guests and the host."""

    def reserve(
        self,
        request: protocol.StartRequest,
        wait_s: float,
        client_left: Callable[[], bool],
    ) -> Lease:
        """Hold memory while the context lasts."""

    def hold(self, uuid: str, reason: str) -> Lease:
        """Leave a guest alone while the context lasts."""


def allowed_uids(names: Iterable[str]) -> frozenset[int]:
    """Give root's and the named users' ids; unknown names are left out."""
    uids = {0, os.geteuid()}
    for name in names:
        try:
            uids.add(pwd.getpwnam(name).pw_uid)
        except KeyError:
            LOG.warning("agent_users: there is no user %s here", name)
    return frozenset(uids)


def peer_uid(sock: socket.socket) -> int:
    """Give the user id of the process at the other end."""
    raw = sock.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size
    )
    _pid, uid, _gid = _PEER_CREDENTIALS.unpack(raw)
    return int(uid)


class _Handler(socketserver.StreamRequestHandler):
    """Serves one connection."""

    def handle(self) -> None:
        server = cast("AgentServer", self.server)
        uid = peer_uid(self.connection)
        if uid not in server.uids:
            LOG.warning("Refused a connection of user id %d", uid)
            failure = exception.NotAdmitted(f"user id {uid} is not admitted")
            self.wfile.write(protocol.encode(protocol.error_of(failure)))
            return
        with contextlib.suppress(OSError), contextlib.ExitStack() as leases:
            self._serve(server.desk, leases)

    def _serve(self, desk: Desk, leases: contextlib.ExitStack) -> None:
        while line := self.rfile.readline(protocol.MAX_LINE_BYTES):
            self.wfile.write(self._answer(desk, leases, line))

    def _answer(
        self, desk: Desk, leases: contextlib.ExitStack, line: bytes
    ) -> bytes:
        try:
            request = protocol.decode(line)
        except exception.ProtocolError as failure:
            return protocol.encode(protocol.error_of(failure))
        if request.get("method") not in _LONG:
            return protocol.encode(self._result(desk, leases, request))
        with cast(AgentServer, self.server).telling:
            return protocol.encode(self._result(desk, leases, request))

    def _result(
        self,
        desk: Desk,
        leases: contextlib.ExitStack,
        request: Mapping[str, Any],
    ) -> dict[str, Any]:
        try:
            return {"result": self._dispatch(desk, leases, request)}
        except exception.OvercommitError as failure:
            return protocol.error_of(failure)
        except Exception as error:
            LOG.exception("Request failed")
            return protocol.error_of(
                exception.AgentRefused(f"internal error: {error}")
            )

    def _dispatch(
        self,
        desk: Desk,
        leases: contextlib.ExitStack,
        request: Mapping[str, Any],
    ) -> dict[str, Any]:
        method = request.get("method")
        if method == protocol.REPORT:
            return desk.report()
        if method == protocol.STATUS:
            return desk.status()
        if method == protocol.EXPLAIN:
            named = "guest" in request
            return desk.explain(_text(request, "guest") if named else "")
        if method == protocol.RESERVE:
            return leases.enter_context(self._reserve(desk, request))
        if method == protocol.HOLD:
            uuid, reason = _text(request, "uuid"), _text(request, "reason")
            return leases.enter_context(desk.hold(uuid, reason))
        if method == protocol.RELEASE:
            leases.close()
            return {}
        raise protocol.unknown_method(method)

    def _reserve(self, desk: Desk, request: Mapping[str, Any]) -> Lease:
        arguments, wait_s = request.get("request"), request.get("wait_s")
        if not isinstance(arguments, dict):
            raise exception.ProtocolError("reserve without a request")
        if not isinstance(wait_s, int | float) or not 0 <= wait_s <= 3600:
            raise exception.ProtocolError(f"wait_s is {wait_s!r:.40}")
        start = protocol.StartRequest.from_dict(arguments)
        return desk.reserve(start, float(wait_s), self._client_left)

    def _client_left(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], _POLL_S)
        if not readable:
            return False
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True


def _text(request: Mapping[str, Any], name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str) or not value:
        raise exception.ProtocolError(f"{name} is {value!r:.40}")
    return value


class AgentServer(socketserver.ThreadingUnixStreamServer):
    """Listens at ``path``; run :meth:`serve_forever` in a thread."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: str, desk: Desk, uids: frozenset[int]) -> None:
        self.desk = desk
        self.uids = uids
        # One long answer at a time: however many ask, the balancer has half
        # of the interpreter.
        self.telling = threading.Lock()
        self._path = Path(path)
        self._path.parent.mkdir(
            mode=_DIRECTORY_MODE, parents=True, exist_ok=True
        )
        self._remove_stale()
        super().__init__(path, _Handler)
        # Anyone may knock; the peer's credentials decide who comes in.
        self._path.chmod(_SOCKET_MODE)

    def _remove_stale(self) -> None:
        """Remove the socket of an agent that is gone.

        :raises AgentRefused: another agent answers there.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self._path))
            except OSError:
                self._path.unlink(missing_ok=True)
                return
        raise exception.AgentRefused(
            f"another agent answers at {self._path} already"
        )

    def server_close(self) -> None:
        """Stop listening and remove the socket."""
        super().server_close()
        self._path.unlink(missing_ok=True)
