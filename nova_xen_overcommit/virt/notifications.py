# SPDX-License-Identifier: Apache-2.0
"""Sends notices as Nova sends its own: by oslo.messaging.

Both of Nova's formats are sent, and ``[notifications] notification_format``
decides which one goes out: Nova gives the other one a notifier that drops
everything. The plain one doesn't go through Nova's list of the events that
it knows, as no new ones are taken there; the versioned one has the envelope
of Nova's notification objects in a namespace of ours.
"""

from typing import Any

from nova import context as nova_context
from nova import rpc
from nova.notifications.objects import base
from nova.objects import base as objects_base
from nova.objects import fields

from nova_xen_overcommit.virt import notices

_NAMESPACE = "nova_xen_overcommit"


@objects_base.NovaObjectRegistry.register_if(False)
class HostPressurePayload(base.NotificationPayloadBase):
    """Of a host that enters or leaves pressure; sizes in MiB."""

    # Version 1.0: Initial version
    VERSION = "1.0"
    OBJ_PROJECT_NAMESPACE = _NAMESPACE
    fields = {
        "host": fields.StringField(),
        "node": fields.StringField(),
        "state": fields.StringField(),
        "mode": fields.StringField(),
        "usable_mib": fields.IntegerField(),
        "free_mib": fields.IntegerField(),
        "committed_mib": fields.IntegerField(),
        "promise_mib": fields.IntegerField(),
        "demand_mib": fields.IntegerField(),
        "guests": fields.IntegerField(),
        "uncooperative": fields.IntegerField(),
    }


@objects_base.NovaObjectRegistry.register_if(False)
class GuestUncooperativePayload(base.NotificationPayloadBase):
    """Of a guest that becomes or ceases to be uncooperative."""

    # Version 1.0: Initial version
    VERSION = "1.0"
    OBJ_PROJECT_NAMESPACE = _NAMESPACE
    fields = {
        "host": fields.StringField(),
        "node": fields.StringField(),
        "instance_uuid": fields.UUIDField(),
        "domain": fields.StringField(),
    }


_PAYLOADS: dict[str, Any] = {
    notices.HOST_PRESSURE: HostPressurePayload,
    notices.GUEST_UNCOOPERATIVE: GuestUncooperativePayload,
}


def _versioned(event: str, values: dict[str, Any]) -> Any:
    payload = _PAYLOADS[event]()
    for name, value in values.items():
        setattr(payload, name, value)
    payload.obj_reset_changes(recursive=False)
    return payload.obj_to_primitive()


class Sender:
    """Sends for one compute host."""

    def __init__(self, host: str) -> None:
        self._host = host

    def __call__(self, notice: notices.Notice) -> None:
        """Send one notice in the formats that Nova is set to."""
        event = f"{notice.event}.{'start' if notice.began else 'end'}"
        values = {"host": self._host, **notice.payload}
        formats = (
            (rpc.LEGACY_NOTIFIER, "compute.", values),
            (rpc.NOTIFIER, "nova-compute:", _versioned(notice.event, values)),
        )
        context = nova_context.get_admin_context()
        for notifier, publisher, payload in formats:
            if notifier is not None:
                sender = notifier.prepare(publisher_id=publisher + self._host)
                send = sender.warn if notice.began else sender.info
                send(context, event, payload)
