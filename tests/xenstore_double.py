# SPDX-License-Identifier: Apache-2.0
"""A small xenstore daemon for tests, true to the protocol.

Real clients (xenstore-write, xenstore-ls, ...) work with it, and a test
holds it to that. A real daemon needs a hypervisor.
"""

import contextlib
import queue
import socket
import socketserver
import struct
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

_HEADER = struct.Struct("<IIII")
_DIRECTORY, _READ, _PERMISSIONS, _WATCH, _UNWATCH = 1, 2, 3, 4, 5
_START, _END, _WRITE, _REMOVE, _EVENT, _ERROR = 6, 7, 11, 13, 15, 16


# Its token, and how it is told.
Watcher = tuple[bytes, Callable[[bytes], None]]


class Store:
    """The tree, and who watches it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.values: dict[str, bytes] = {}
        self.watches: dict[str, list[Watcher]] = {}

    def write(self, path: str, value: bytes) -> None:
        with self.lock:
            self.values[path] = value
            at = path
            while at:
                for token, send in self.watches.get(at, []):
                    send(path.encode() + b"\0" + token + b"\0")
                at = at.rpartition("/")[0]

    def remove(self, path: str) -> None:
        with self.lock:
            for known in list(self.values):
                if known == path or known.startswith(path + "/"):
                    del self.values[known]

    def unwatch(self, path: str, watcher: Watcher) -> None:
        with self.lock, contextlib.suppress(KeyError, ValueError):
            self.watches[path].remove(watcher)

    def listing(self, path: str) -> bytes | None:
        names = self.children(path)
        if names is None:
            return None
        return b"".join(name.encode() + b"\0" for name in names)

    def children(self, path: str) -> list[str] | None:
        below = path.rstrip("/") + "/"
        with self.lock:
            names = {
                known[len(below) :].split("/")[0]
                for known in self.values
                if known.startswith(below)
            }
            known = path in self.values or path == "/"
        return sorted(names) if names or known else None


class _Handler(socketserver.StreamRequestHandler):
    server: "_Server"

    def setup(self) -> None:
        super().setup()
        self.server.handlers.append(self)
        # As the real one, it never waits for a client that doesn't read.
        self._messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._write_all, daemon=True).start()

    def _write_all(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while message := self._messages.get():
                self.wfile.write(message)

    def finish(self) -> None:
        self._messages.put(b"")
        super().finish()

    def handle(self) -> None:
        while header := self._header():
            kind, number, transaction, length = _HEADER.unpack(header)
            body = self.rfile.read(length)
            with self.server.store.lock:
                answer = self.server.answer_to(self, kind, body)
            if answer is not None:
                self.send(answer[0], number, transaction, answer[1])

    def _header(self) -> bytes:
        try:
            return self.rfile.read(_HEADER.size)
        except ConnectionError:
            return b""

    def send(self, kind: int, number: int, tx: int, body: bytes) -> None:
        self._messages.put(_HEADER.pack(kind, number, tx, len(body)) + body)

    def send_event(self, body: bytes) -> None:
        self.send(_EVENT, 0, 0, body)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str, store: Store) -> None:
        super().__init__(path, _Handler)
        self.store = store
        self.handlers: list[_Handler] = []
        self.requests = 0
        self.mute = False
        self.raw_answer: bytes | None = None

    def answer_to(
        self, handler: _Handler, kind: int, body: bytes
    ) -> tuple[int, bytes] | None:
        self.requests += 1
        if self.raw_answer is not None:
            handler.wfile.write(self.raw_answer)
            return None
        if self.mute:
            return None
        parts = 2 if kind in (_WATCH, _UNWATCH) else 1
        words = body.split(b"\0", parts)
        answer = self._answer(handler, kind, words[0].decode(), words[1:])
        return (_ERROR, b"ENOENT\0") if answer is None else (kind, answer)

    def _answer(
        self, handler: _Handler, kind: int, path: str, rest: list[bytes]
    ) -> bytes | None:
        if kind == _READ:
            return self.store.values.get(path)
        if kind == _DIRECTORY:
            return self.store.listing(path)
        if kind == _PERMISSIONS:
            return b"n0\0"
        if kind == _START:
            return b"1\0"
        if kind == _WATCH:
            watcher = (rest[0], handler.send_event)
            self.store.watches.setdefault(path, []).append(watcher)
            handler.send_event(path.encode() + b"\0" + rest[0] + b"\0")
        elif kind == _UNWATCH:
            self.store.unwatch(path, (rest[0], handler.send_event))
        elif kind == _WRITE:
            self.store.write(path, rest[0])
        elif kind == _REMOVE:
            self.store.remove(path)
        elif kind != _END:
            return None
        return b"OK\0"


class XenstoreDouble:
    """A running daemon; ``path`` is its socket."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self.path = str(Path(self._directory.name) / "socket")
        self.store = Store()
        self.start()

    def start(self) -> None:
        """Begin to listen."""
        self.server = _Server(self.path, self.store)
        self._thread = threading.Thread(
            target=self.server.serve_forever, args=(0.01,)
        )
        self._thread.start()

    def stop(self) -> None:
        """End, cutting all connections."""
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()
        for handler in self.server.handlers:
            with contextlib.suppress(OSError):
                handler.connection.shutdown(socket.SHUT_RDWR)
        self.store.watches.clear()
        Path(self.path).unlink(missing_ok=True)

    def guest_writes(self, domain_id: int, **values: str | bytes) -> None:
        """Write as a guest does, below its ``data/``."""
        for name, value in values.items():
            raw = value.encode() if isinstance(value, str) else value
            self.store.write(f"/local/domain/{domain_id}/data/{name}", raw)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()
        self._directory.cleanup()
