# SPDX-License-Identifier: Apache-2.0
"""The wire format between the agent and nova-compute or the tools.

One JSON object a line, UTF-8, over a Unix stream socket. A request is
``{"method": NAME, ...arguments}``, an answer ``{"result": {...}}`` or
``{"error": {"code": CODE, "message": TEXT, ...}}``. A reservation or a hold
lasts until it is released or its connection closes, so nothing leaks when
the client dies.
"""

import dataclasses
import json
from typing import Any, Self

from nova_xen_overcommit import exception

MAX_LINE_BYTES = 4 * 1024 * 1024

REPORT = "report"
STATUS = "status"
EXPLAIN = "explain"
RESERVE = "reserve"
HOLD = "hold"
RELEASE = "release"

# Beside the report in its answer: who doesn't follow, each with its UUID and
# name. Older agents don't say it, older clients don't look at it.
UNCOOPERATIVE_GUESTS = "uncooperative_guests"

NO_ROOM = "no_room"
REFUSED = "refused"
INVALID = "invalid"
UNKNOWN_GUEST = "unknown_guest"
NOT_ADMITTED = "not_admitted"

# Agents of all releases begin so when they don't know a request.
_UNKNOWN_METHOD = "unknown method"


@dataclasses.dataclass(frozen=True, slots=True)
class StartRequest:
    """What a guest needs to start; memory in KiB.

    ``floor_kib`` 0 means the configured floor. ``restore_kib`` is not 0 for
    a guest that comes back with a memory image (resume, migration in): it
    then needs exactly that much at its start. ``overcommit`` False: the
    guest must get its whole flavor and is never ballooned.
    """

    uuid: str
    name: str
    flavor_kib: int
    vcpus: int = 1
    os_type: str = "hvm"
    floor_kib: int = 0
    swap_kib: int = 0
    restore_kib: int = 0
    overcommit: bool = True

    def __post_init__(self) -> None:
        if self.flavor_kib <= 0 or self.vcpus <= 0:
            raise exception.ProtocolError(
                f"start request of {self.uuid}: flavor_kib and vcpus must "
                f"be positive, got {self.flavor_kib} and {self.vcpus}"
            )
        if min(self.floor_kib, self.swap_kib, self.restore_kib) < 0:
            raise exception.ProtocolError(
                f"start request of {self.uuid}: negative size"
            )
        if max(self.floor_kib, self.restore_kib) > self.flavor_kib:
            raise exception.ProtocolError(
                f"start request of {self.uuid}: floor_kib or restore_kib "
                f"above flavor_kib {self.flavor_kib}"
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Check and take the arguments of a request.

        :raises ProtocolError: a field is missing, unknown or of a wrong
            type.
        """
        fields = {field.name: field.type for field in dataclasses.fields(cls)}
        for name, value in values.items():
            if name not in fields:
                raise exception.ProtocolError(f"unknown field {name!r}")
            if type(value) is not fields[name]:
                raise exception.ProtocolError(
                    f"field {name!r} has the wrong type: {value!r}"
                )
        try:
            return cls(**values)
        except TypeError as error:
            raise exception.ProtocolError(str(error)) from error

    def to_dict(self) -> dict[str, Any]:
        """Give the arguments of a request."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Grant:
    """The agent's yes: start the guest with ``start_kib`` of memory."""

    uuid: str
    start_kib: int


def encode(message: dict[str, Any]) -> bytes:
    """Give the line that carries ``message``."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Read one line.

    :raises ProtocolError: the line is no JSON object.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise exception.ProtocolError(f"not a JSON line: {error}") from error
    if not isinstance(message, dict):
        raise exception.ProtocolError("the line is not a JSON object")
    return message


def unknown_method(method: object) -> exception.UnknownMethod:
    """Give the failure of a request that the agent doesn't know."""
    return exception.UnknownMethod(f"{_UNKNOWN_METHOD} {method!r:.40}")


def error_of(failure: exception.OvercommitError) -> dict[str, Any]:
    """Give the answer that carries ``failure`` over the wire."""
    error: dict[str, Any] = {"code": REFUSED, "message": str(failure)}
    if isinstance(failure, exception.NoRoom):
        error |= {
            "code": NO_ROOM,
            "message": failure.reason,
            "asked_kib": failure.asked_kib,
            "free_kib": failure.free_kib,
            "reclaimable_kib": failure.reclaimable_kib,
            "unyielding": list(failure.unyielding),
        }
    elif isinstance(failure, exception.ProtocolError):
        error["code"] = INVALID
    elif isinstance(failure, exception.UnknownGuest):
        error["code"] = UNKNOWN_GUEST
    elif isinstance(failure, exception.NotAdmitted):
        error["code"] = NOT_ADMITTED
    return {"error": error}


def failure_of(error: dict[str, Any]) -> exception.OvercommitError:
    """Turn an error answer back into the exception it carries."""
    code, message = error.get("code"), str(error.get("message", ""))
    if code == NO_ROOM:
        return exception.NoRoom(
            reason=message,
            asked_kib=int(error["asked_kib"]),
            free_kib=int(error["free_kib"]),
            reclaimable_kib=int(error["reclaimable_kib"]),
            unyielding=[str(name) for name in error["unyielding"]],
        )
    if code == INVALID and message.startswith(_UNKNOWN_METHOD):
        return exception.UnknownMethod(message)
    if code == INVALID:
        return exception.ProtocolError(message)
    if code == UNKNOWN_GUEST:
        return exception.UnknownGuest(message)
    if code == NOT_ADMITTED:
        return exception.NotAdmitted(message)
    return exception.AgentRefused(message)
