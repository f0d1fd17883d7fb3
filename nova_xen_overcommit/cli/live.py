# SPDX-License-Identifier: Apache-2.0
"""The live table: asks in a thread, draws, and heeds keys.

However it ends (a key, Ctrl-C, a signal, an error) the terminal is left as
it was found.
"""

import contextlib
import dataclasses
import os
import select
import signal
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, NoReturn, TextIO

from rich import console, live

from nova_xen_overcommit.cli import rows, table
from nova_xen_overcommit.cli.exit_codes import Code

_QUIT = "qQ\x03\x04"
_POLL_S = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)


class _Suspended(Exception):
    """Ctrl-Z was pressed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """By which column guests stand, and whether the other way round."""

    sort: str
    reverse: bool = False

    def after(self, key: str) -> "Order":
        """Give the order after a key was pressed."""
        if key == "s":
            following = (rows.SORTS.index(self.sort) + 1) % len(rows.SORTS)
            return Order(rows.SORTS[following], self.reverse)
        if key == "r":
            return Order(self.sort, not self.reverse)
        return self


class Feed:
    """Asks again and again, in a thread that nobody waits for."""

    def __init__(
        self, ask: Callable[[], dict[str, Any]], interval_s: float
    ) -> None:
        self._ask = ask
        self._interval_s = interval_s
        self._leaving = threading.Event()
        self.told: Mapping[str, Any] = ask()
        self.told_s = time.monotonic()
        self.complaint = ""
        self.answers = 1
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self._leaving.wait(self._interval_s):
            try:
                self.told, self.complaint = self._ask(), ""
                self.told_s = time.monotonic()
            except Exception as error:  # noqa: BLE001
                # It may be back at the next time; until then it is told.
                self.complaint = str(error)
            self.answers += 1

    def close(self) -> None:
        """Ask no more."""
        self._leaving.set()


def watch(
    ask: Callable[[], dict[str, Any]],
    stdin: TextIO,
    stdout: TextIO,
    interval_s: float,
    order: Order,
) -> int:
    """Show what ``ask`` gives until a key or a signal ends it.

    :raises ToolError: there is no first answer.
    """
    page = _Page(Feed(ask, interval_s), console.Console(file=stdout), order)
    try:
        while True:
            try:
                with _heeding_signals() as heed, _keys(stdin) as pressed:
                    return page.show(pressed, heed)
            except _Suspended:
                # The terminal is as it was: now the shell may have it.
                os.kill(os.getpid(), signal.SIGSTOP)
    except KeyboardInterrupt:
        return Code.OK
    finally:
        page.feed.close()


class _Page:
    """What is shown, and in which order; it outlives a suspension."""

    def __init__(
        self, feed: Feed, screen: console.Console, order: Order
    ) -> None:
        self.feed = feed
        self._screen = screen
        self._order = order

    def show(
        self, pressed: Callable[[], str], heed: Callable[[], None]
    ) -> int:
        """Draw whenever something is new, until a key or signal ends it."""
        drawn: object = None
        with live.Live(
            console=self._screen, screen=True, auto_refresh=False
        ) as shown:
            while True:
                now = self._now()
                if now != drawn:
                    shown.update(self._drawn(), refresh=True)
                    drawn = now
                key = pressed()
                heed()
                if key and key in _QUIT:
                    return Code.OK
                self._order = self._order.after(key)

    @property
    def _late_s(self) -> int:
        # While it doesn't answer, the age of what is shown grows.
        if not self.feed.complaint:
            return 0
        return int(time.monotonic() - self.feed.told_s)

    def _now(self) -> tuple[object, ...]:
        size = self._screen.size
        return self.feed.answers, self._order, size, self._late_s

    def _drawn(self) -> console.Group:
        feed = self.feed
        return table.page(
            feed.told,
            self._order,
            self._screen.size,
            feed.complaint,
            self._late_s,
        )


@contextlib.contextmanager
def _keys(stdin: TextIO) -> Iterator[Callable[[], str]]:
    """Give a function that waits a moment for a key; "": there was none."""
    if not stdin.isatty():
        yield _no_key
        return
    descriptor = stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield lambda: _key(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _no_key() -> str:
    time.sleep(_POLL_S)
    return ""


def _key(descriptor: int) -> str:
    readable, _, _ = select.select([descriptor], [], [], _POLL_S)
    if not readable:
        return ""
    # Ends with the terminal it is on.
    return os.read(descriptor, 1).decode("ascii", "replace") or "q"


@contextlib.contextmanager
def _heeding_signals() -> Iterator[Callable[[], None]]:
    """Let signals that would end or stop the process leave the table first.

    They are only noted when they come, and heeded when the function that is
    given is called: what is raised wherever the process just is may be lost
    there, in a finalizer for example.
    """
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    def heed() -> None:
        if came:
            _leave(came.pop(0))

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        signal.signal(number, note)
    try:
        yield heed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int) -> NoReturn:
    if number == signal.SIGTSTP:
        raise _Suspended
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
