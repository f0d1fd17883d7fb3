# SPDX-License-Identifier: Apache-2.0
"""The agent's client: what nova-compute and the tools ask the agent.

Plain blocking sockets, so that it works under native threads and under
eventlet alike.
"""

import contextlib
import dataclasses
import socket
from collections.abc import Iterator, Mapping
from typing import Any, Self

from nova_xen_overcommit import exception, report
from nova_xen_overcommit.agent import protocol


class Connection:
    """One connection; what is reserved on it ends with it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = sock.makefile("rb")

    @classmethod
    def open(cls, path: str, timeout_s: float) -> Self:
        """Connect to the socket at ``path``.

        :raises AgentUnavailable: nobody listens.
        :raises AgentForbidden: we may not connect.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout_s)
        try:
            sock.connect(path)
        except OSError as error:
            sock.close()
            raise _unconnected(error)(
                f"the agent does not answer at {path}: {error}"
            ) from error
        return cls(sock)

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Ask, and give the result.

        :raises AgentSilent: the agent went away or was too slow.
        :raises OvercommitError: what the agent refused with.
        """
        request = protocol.encode({"method": method, **arguments})
        try:
            # Who is refused is told why and cut off, maybe before asking.
            with contextlib.suppress(BrokenPipeError):
                self._sock.sendall(request)
            line = self._file.readline(protocol.MAX_LINE_BYTES)
        except OSError as error:
            raise exception.AgentSilent(
                f"no answer to {method}: {error}"
            ) from error
        if not line.endswith(b"\n"):
            raise exception.AgentSilent(
                f"the agent closed the connection during {method}"
            )
        return _result(protocol.decode(line))

    def close(self) -> None:
        """Close the connection, and with it all that it holds."""
        self._file.close()
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _unconnected(error: OSError) -> type[exception.AgentUnavailable]:
    if isinstance(error, PermissionError):
        return exception.AgentForbidden
    # It is there, but has too many to serve.
    if isinstance(error, TimeoutError | BlockingIOError):
        return exception.AgentSilent
    return exception.AgentUnavailable


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    error = answer.get("error")
    if isinstance(error, dict):
        raise protocol.failure_of(error)
    result = answer.get("result")
    if not isinstance(result, dict):
        raise exception.ProtocolError("the answer has no result")
    return result


@dataclasses.dataclass(frozen=True, slots=True)
class Tidings:
    """A report, and the names by UUID of the guests that don't follow.

    ``uncooperative`` is None where an older agent doesn't name them.
    """

    report: report.HostReport
    uncooperative: Mapping[str, str] | None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Take what an agent answered.

        :raises InvalidReport: the answer is no report.
        """
        named = answer.get(protocol.UNCOOPERATIVE_GUESTS)
        try:
            guests = named and {
                str(one["uuid"]): str(one["name"]) for one in named
            }
        except (KeyError, TypeError) as error:
            raise exception.InvalidReport(
                f"{protocol.UNCOOPERATIVE_GUESTS}: {error!r}"
            ) from error
        return cls(
            report.HostReport.from_dict(answer),
            None if named is None else guests or {},
        )


class AgentClient:
    """What can be asked of the agent at one socket."""

    def __init__(self, socket_path: str, timeout_s: float = 10.0) -> None:
        self._path = socket_path
        self._timeout_s = timeout_s

    def report(self) -> report.HostReport:
        """Give the host's newest report.

        :raises AgentUnavailable: nobody answers.
        :raises InvalidReport: the answer is no report.
        """
        return report.HostReport.from_dict(self._asked_report())

    def tidings(self) -> Tidings:
        """Give the newest report, and who doesn't follow.

        :raises AgentUnavailable: nobody answers.
        :raises InvalidReport: the answer is no report.
        """
        return Tidings.of(self._asked_report())

    def _asked_report(self) -> dict[str, Any]:
        with Connection.open(self._path, self._timeout_s) as connection:
            return connection.call(protocol.REPORT)

    def status(self) -> dict[str, Any]:
        """Give everything the agent knows, for people and tools.

        :raises AgentUnavailable: nobody answers.
        """
        with Connection.open(self._path, self._timeout_s) as connection:
            return connection.call(protocol.STATUS)

    def explain(self, guest: str = "") -> dict[str, Any]:
        """Give why a guest has what it has; "": the host and all guests.

        :raises AgentUnavailable: nobody answers.
        :raises UnknownGuest: no running guest has this name or UUID.
        """
        arguments = {"guest": guest} if guest else {}
        with Connection.open(self._path, self._timeout_s) as connection:
            return connection.call(protocol.EXPLAIN, **arguments)

    @contextlib.contextmanager
    def reserve(
        self, request: protocol.StartRequest, wait_s: float
    ) -> Iterator[protocol.Grant]:
        """Hold memory for a start, for as long as the block runs.

        The agent makes room first, which may take up to ``wait_s``.

        :raises NoRoom: the memory can't be made free.
        :raises AgentUnavailable: nobody answers.
        """
        timeout_s = wait_s + self._timeout_s
        with Connection.open(self._path, timeout_s) as connection:
            answer = connection.call(
                protocol.RESERVE,
                request=request.to_dict(),
                wait_s=wait_s,
            )
            yield protocol.Grant(
                uuid=request.uuid, start_kib=int(answer["start_kib"])
            )

    @contextlib.contextmanager
    def hold(self, uuid: str, reason: str) -> Iterator[None]:
        """Keep the agent's hands off a guest while the block runs.

        :raises AgentUnavailable: nobody answers.
        """
        with Connection.open(self._path, self._timeout_s) as connection:
            connection.call(protocol.HOLD, uuid=uuid, reason=reason)
            yield
