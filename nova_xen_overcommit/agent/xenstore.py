# SPDX-License-Identifier: Apache-2.0
"""A client of xenstore, over the Unix socket of its daemon.

Speaks the protocol of Xen's ``docs/misc/xenstore.txt`` itself: no process
per read, a limit of time for each call, and many reads in one round trip. A
connection that fails is made anew at the next call, after a pause if the
daemon had been too slow.
"""

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence

from nova_xen_overcommit import exception

SOCKET_PATH = "/run/xenstored/socket"
MAX_PAYLOAD_BYTES = 4096

# Message types and header: Xen's public header io/xs_wire.h.
DIRECTORY, READ, WATCH, UNWATCH = 1, 2, 4, 5
WATCH_EVENT, ERROR = 15, 16
HEADER = struct.Struct("<IIII")

# Requests under way at once; each answer may take 4 KiB of the daemon's.
_BATCH = 64
_MAX_NUMBER = (1 << 31) - 1
# A daemon on a busy dom0 was seen to take 0.6 s; figures are believed for
# longer than both of these together.
_TIMEOUT_S = 2.0
_PAUSE_AFTER_TIMEOUT_S = 5.0
_RECEIVE_BYTES = 65536

Answer = tuple[int, bytes]


class XenstoreError(exception.OvercommitError):
    """Xenstore can't be reached, or doesn't keep to its protocol."""


class Xenstore:
    """One connection to xenstore; not for several threads.

    ``timeout_s`` bounds each call as a whole.
    """

    def __init__(
        self,
        path: str = SOCKET_PATH,
        timeout_s: float = _TIMEOUT_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._monotonic_s = monotonic_s
        self._connection: _Connection | None = None
        self._not_before_s = 0.0

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes | None]:
        """Give the values at ``paths``, None where there is none.

        :raises XenstoreError: no answer in time.
        """
        answers = self._ask(READ, [_text(path) for path in paths])
        return {
            path: None if kind == ERROR else body
            for path, (kind, body) in zip(paths, answers, strict=True)
        }

    def list_children(self, path: str) -> list[str]:
        """Give the names below ``path``; none where it doesn't exist.

        :raises XenstoreError: no answer in time.
        """
        ((kind, body),) = self._ask(DIRECTORY, [_text(path)])
        if kind == ERROR:
            return []
        names = body.decode("ascii", "replace").split("\0")
        return [name for name in names if name]

    def watch(self, path: str, token: str) -> None:
        """Ask to be told of changes at and below ``path``.

        Holds for this connection: whoever gets a XenstoreError later must
        watch again.

        :raises XenstoreError: refused, or no answer in time.
        """
        ((kind, body),) = self._ask(WATCH, [_text(path) + _text(token)])
        if kind == ERROR:
            raise XenstoreError(f"can't watch {path}: {body!r:.40}")

    def unwatch(self, path: str, token: str) -> None:
        """Be told no more; harmless where nothing was watched.

        :raises XenstoreError: no answer in time.
        """
        self._ask(UNWATCH, [_text(path) + _text(token)])

    @property
    def has_events(self) -> bool:
        """Whether events came in along with answers."""
        return self._connection is not None and self._connection.has_events

    def take_events(self) -> set[str]:
        """Give the tokens of what has changed since; never waits.

        However often something changes, its token is there once.

        :raises XenstoreError: the connection is lost.
        """
        with self._guarded() as connection:
            connection.receive_what_is_there()
            return connection.take_events()

    def fileno(self) -> int:
        """Give the socket to wait on for changes.

        Take the events first: those that came along with an answer are in
        already.

        :raises XenstoreError: there is no daemon to connect to.
        """
        with self._guarded() as connection:
            return connection.fileno()

    def close(self) -> None:
        """Close the connection; the next call makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, kind: int, bodies: Sequence[bytes]) -> list[Answer]:
        deadline_s = self._monotonic_s() + self._timeout_s
        answers: list[Answer] = []
        with self._guarded() as connection:
            for first in range(0, len(bodies), _BATCH):
                batch = bodies[first : first + _BATCH]
                answers += connection.ask(kind, batch, deadline_s)
        return answers

    @contextlib.contextmanager
    def _guarded(self) -> Iterator["_Connection"]:
        """Lend the connection; drop it if anything fails."""
        try:
            yield self._connect()
        except XenstoreError as error:
            self._failed(error)
            raise
        except OSError as error:
            self._failed(error)
            raise XenstoreError(f"no xenstore: {error}") from error

    def _connect(self) -> "_Connection":
        if self._connection is None:
            if self._monotonic_s() < self._not_before_s:
                raise XenstoreError("xenstore was too slow, waiting a little")
            self._connection = _Connection.open(
                self._path, self._timeout_s, self._monotonic_s
            )
        return self._connection

    def _failed(self, error: Exception) -> None:
        self.close()
        if isinstance(error, TimeoutError):
            # A daemon that hangs must not cost each pass its time.
            self._not_before_s = self._monotonic_s() + _PAUSE_AFTER_TIMEOUT_S


class _Connection:
    """One socket: requests out, answers and events in."""

    def __init__(
        self, sock: socket.socket, monotonic_s: Callable[[], float]
    ) -> None:
        self._sock = sock
        self._monotonic_s = monotonic_s
        self._last_number = 0
        self._buffer = bytearray()
        self._answers: dict[int, Answer] = {}
        # Tokens: a daemon has its limits for guests, not for us, and a guest
        # that makes a flood of events must push no other's out.
        self._events: set[str] = set()

    @classmethod
    def open(
        cls, path: str, timeout_s: float, monotonic_s: Callable[[], float]
    ) -> "_Connection":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout_s)
            sock.connect(path)
        except OSError:
            sock.close()
            raise
        return cls(sock, monotonic_s)

    def ask(
        self, kind: int, bodies: Sequence[bytes], deadline_s: float
    ) -> list[Answer]:
        """Send a batch and give the answers in the same order."""
        numbers = [self._number() for _body in bodies]
        requests = zip(numbers, bodies, strict=True)
        self._limit(deadline_s)
        self._sock.sendall(
            b"".join(
                HEADER.pack(kind, number, 0, len(body)) + body
                for number, body in requests
            )
        )
        while len(self._answers) < len(numbers):
            self._limit(deadline_s)
            self._receive()
        try:
            return [self._answers.pop(number) for number in numbers]
        except KeyError as error:
            raise XenstoreError("an answer nobody asked for") from error

    def _number(self) -> int:
        # No itertools.cycle: it keeps all that it ever gave.
        self._last_number = self._last_number % _MAX_NUMBER + 1
        return self._last_number

    def receive_what_is_there(self) -> None:
        """Take in what has come, without waiting for more."""
        self._sock.setblocking(False)
        try:
            self._receive()
        except BlockingIOError:
            return

    def take_events(self) -> set[str]:
        """Give the tokens of events and forget them."""
        events, self._events = self._events, set()
        return events

    @property
    def has_events(self) -> bool:
        """Whether there are any."""
        return bool(self._events)

    def fileno(self) -> int:
        """Give the socket's file descriptor."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def _limit(self, deadline_s: float) -> None:
        left_s = deadline_s - self._monotonic_s()
        if left_s <= 0:
            raise TimeoutError("no answer in time")
        self._sock.settimeout(left_s)

    def _receive(self) -> None:
        received = self._sock.recv(_RECEIVE_BYTES)
        if not received:
            raise ConnectionError("the daemon closed the connection")
        self._buffer += received
        for kind, number, body in self._messages():
            if kind == WATCH_EVENT:
                self._events.add(_token(body))
            else:
                self._answers[number] = (kind, body)

    def _messages(self) -> Iterator[tuple[int, int, bytes]]:
        buffer, begins = bytes(self._buffer), 0
        while len(buffer) >= begins + HEADER.size:
            kind, number, _tx, length = HEADER.unpack_from(buffer, begins)
            if length > MAX_PAYLOAD_BYTES:
                raise XenstoreError(f"a message of {length} bytes")
            ends = begins + HEADER.size + length
            if len(buffer) < ends:
                break
            yield kind, number, buffer[begins + HEADER.size : ends]
            begins = ends
        del self._buffer[:begins]


def _text(text: str) -> bytes:
    return text.encode("ascii") + b"\0"


def _token(event: bytes) -> str:
    _path, _, token = event.partition(b"\0")
    return token.decode("ascii", "replace").rstrip("\0")
