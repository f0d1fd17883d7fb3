# SPDX-License-Identifier: Apache-2.0
"""What of the agent's report is worth a notification: that which changes.

A host that enters or leaves pressure, a guest that becomes or ceases to be
uncooperative. Each is told once, when it is first seen; as nova-compute looks
once a minute, that bounds how often anything can be told.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from oslo_log import log as logging

from nova_xen_overcommit import exception, report
from nova_xen_overcommit.agent.client import Tidings

LOG = logging.getLogger(__name__)

HOST_PRESSURE = "xen_overcommit.host.pressure"
GUEST_UNCOOPERATIVE = "xen_overcommit.guest.uncooperative"

_PRESSED = (report.PRESSURE, report.EMERGENCY)
_FIGURES = (
    *("state", "mode", "usable_mib", "free_mib", "committed_mib"),
    *("promise_mib", "demand_mib", "guests", "uncooperative"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """One change: ``began`` tells that it came, else that it went."""

    event: str
    began: bool
    payload: Mapping[str, Any]


Send = Callable[[Notice], None]


class Notices:
    """Looks at the agent's tidings and sends what is new in them.

    ``believe`` raises InvalidReport for a report that is too old. A new
    nova-compute knows nothing of before: it tells what holds, once.
    """

    def __init__(
        self,
        tidings: Callable[[], Tidings],
        believe: Callable[[report.HostReport], None],
        send: Send,
    ) -> None:
        self._tidings = tidings
        self._believe = believe
        self._send = send
        self._pressed = False
        self._uncooperative: Mapping[str, str] = {}

    def look(self, node: str) -> None:
        """Send what has changed since the last look; never raises.

        Without a report nothing is known to have changed.
        """
        try:
            told = self._tidings()
            self._believe(told.report)
        except exception.OvercommitError as error:
            LOG.debug("Nothing to notify of: %s", error)
            return
        for notice in (*self._host(told.report), *self._guests(told)):
            payload = {"node": node, **notice.payload}
            self._deliver(dataclasses.replace(notice, payload=payload))

    def _deliver(self, notice: Notice) -> None:
        try:
            self._send(notice)
        except Exception:
            # Whatever the message bus has, the host's figures go on.
            LOG.exception("No notification %s", notice.event)

    def _host(self, made: report.HostReport) -> Iterator[Notice]:
        pressed = made.state in _PRESSED
        if pressed != self._pressed:
            self._pressed = pressed
            payload = {name: getattr(made, name) for name in _FIGURES}
            yield Notice(HOST_PRESSURE, pressed, payload)

    def _guests(self, told: Tidings) -> Iterator[Notice]:
        now, before = told.uncooperative, self._uncooperative
        if now is None:
            return
        self._uncooperative = now
        for began, there, missing in (
            (True, now, before),
            (False, before, now),
        ):
            for uuid in sorted(there.keys() - missing.keys()):
                payload = {"instance_uuid": uuid, "domain": there[uuid]}
                yield Notice(GUEST_UNCOOPERATIVE, began, payload)
