# SPDX-License-Identifier: Apache-2.0
"""Ask for an instance until the host takes it."""

import time
from collections.abc import Callable
from typing import TypeVar

from tests.lab import guests as lab_guests
from tests.lab import lab as lab_module
from tests.lab import steps
from tests.lab.lifecycle.subject import STATUS_WITHIN_S

T = TypeVar("T")

_WITHIN_S = 420
_NO_HOST = "No valid host"


def place(
    lab: lab_module.Lab, name: str, kind: str, options: dict[str, object]
) -> lab_guests.Guest:
    """Give an instance that runs.

    :raises LabError: Nova's reason.
    """
    return until_placed(lambda: _built(lab, name, kind, options))


def until_placed(ask: Callable[[], T]) -> T:
    """Ask until a host is found.

    The host promises more only once it knows the guests that are there.

    :raises LabError: Nova's reason.
    """
    end_s = time.monotonic() + _WITHIN_S
    while True:
        try:
            return ask()
        except steps.LabError as error:
            if _NO_HOST not in str(error) or time.monotonic() > end_s:
                raise
        time.sleep(5)


def _built(
    lab: lab_module.Lab, name: str, kind: str, options: dict[str, object]
) -> lab_guests.Guest:
    """Ask for an instance once; none is left if it fails."""
    image = lab.nova.images()[kind]
    server_id = lab.nova.boot(name, image, lab_module.FLAVOR, **options)
    states = lab.nova.wait_settled([server_id], STATUS_WITHIN_S)
    if states[server_id] != "ACTIVE":
        fault = lab.nova.server(server_id).get("fault", {})
        lab.nova.delete(server_id)
        raise steps.LabError(f"{states[server_id]} {fault.get('message', '')}")
    (guest,) = [g for g in lab.guests() if g.uuid == server_id]
    return guest
