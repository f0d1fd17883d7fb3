# SPDX-License-Identifier: Apache-2.0
"""Ask for an instance until the host takes it."""

import time

from tests.lab import guests as lab_guests
from tests.lab import lab as lab_module
from tests.lab import steps
from tests.lab.lifecycle.subject import STATUS_WITHIN_S

_WITHIN_S = 420
_NO_HOST = "No valid host"


def place(
    lab: lab_module.Lab, name: str, kind: str, options: dict[str, object]
) -> lab_guests.Guest:
    """Give an instance that runs.

    The host promises more only once it knows the guests that are there.

    :raises LabError: Nova's reason.
    """
    end_s = time.monotonic() + _WITHIN_S
    while True:
        server_id, fault = _ask(lab, name, kind, options)
        if not fault:
            (guest,) = [g for g in lab.guests() if g.uuid == server_id]
            return guest
        lab.nova.delete(server_id)
        if _NO_HOST not in fault or time.monotonic() > end_s:
            raise steps.LabError(fault)
        time.sleep(5)


def _ask(
    lab: lab_module.Lab, name: str, kind: str, options: dict[str, object]
) -> tuple[str, str]:
    """Ask for an instance; give its id and its fault, "" for none."""
    image = lab.nova.images()[kind]
    server_id = lab.nova.boot(name, image, lab_module.FLAVOR, **options)
    states = lab.nova.wait_settled([server_id], STATUS_WITHIN_S)
    if states[server_id] == "ACTIVE":
        return server_id, ""
    fault = lab.nova.server(server_id).get("fault", {})
    return server_id, f"{states[server_id]} {fault.get('message', '')}"
