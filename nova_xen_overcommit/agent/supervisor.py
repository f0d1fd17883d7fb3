# SPDX-License-Identifier: Apache-2.0
"""Tells systemd that the agent is ready, and that its passes end.

The protocol of ``sd_notify(3)``: datagrams to the socket that the unit names
in ``NOTIFY_SOCKET``. Only a pass that has ended is told, never a timer of
its own: an agent whose passes hang falls silent, and is started anew once
``WatchdogSec=`` is over.
"""

import contextlib
import faulthandler
import socket
from collections.abc import MutableMapping
from typing import Self

# Before systemd ends a process that hangs, its log shall tell where it does.
_TELL_WHERE_SHARE = 0.9


class Supervisor:
    """What supervises this process: systemd, or nobody.

    ``watchdog_s`` is how long it bears silence, None: for ever.
    """

    def __init__(
        self, address: str = "", watchdog_s: float | None = None
    ) -> None:
        self._address = address
        self._watchdog_s = watchdog_s
        self._ready = False
        self._said = ""

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str]) -> Self:
        """Find it, as ``sd_notify(3)`` and ``sd_watchdog_enabled(3)`` say.

        What tells of it is taken out of ``environment``: cotyledon, which
        starts the worker, would say at once that the agent is ready.
        ``WATCHDOG_PID`` isn't heeded: it names the process that starts the
        worker.
        """
        address = environment.pop("NOTIFY_SOCKET", "")
        span_us = environment.pop("WATCHDOG_USEC", "")
        environment.pop("WATCHDOG_PID", None)
        if address.startswith("@"):
            address = "\0" + address[1:]
        if not address or not span_us.isdecimal() or not int(span_us):
            return cls(address)
        return cls(address, int(span_us) / 1e6)

    def passed(self, _pass_s: float, complaint: str) -> None:
        """Tell that a pass has ended, and how; never waits.

        A pass that failed has ended as well: whatever it lacks, a new
        process would lack it too.
        """
        if not self._address:
            return
        words = ["WATCHDOG=1"]
        if not self._ready:
            words.append("READY=1")
        status = _one_line(complaint) or "balancing"
        if status != self._said:
            words.append(f"STATUS={status}")
        if self._send("\n".join(words)):
            self._ready, self._said = True, status
        if self._watchdog_s is not None:
            faulthandler.dump_traceback_later(
                self._watchdog_s * _TELL_WHERE_SHARE
            )

    def left(self) -> None:
        """Say no more: passes have ended for good."""
        if self._watchdog_s is not None:
            faulthandler.cancel_dump_traceback_later()

    def _send(self, message: str) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        ):
            sender.setblocking(False)
            sender.sendto(message.encode(), self._address)
            return True
        return False


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
