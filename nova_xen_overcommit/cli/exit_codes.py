# SPDX-License-Identifier: Apache-2.0
"""With which code the tool ends, in one place.

``check`` ends with 0, 1 or 2 as nova-status does: all is well, something
deserves a look, something must be mended.
"""

import enum

from nova_xen_overcommit import exception


class Code(enum.IntEnum):
    """Exit codes; the documentation lists them by these words."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NO_AGENT = 3
    NOT_PERMITTED = 4
    NO_ANSWER = 5
    OTHER_RELEASE = 6
    UNKNOWN_GUEST = 7
    NO_HISTORY = 8
    MISSING_LIBRARY = 9
    INTERRUPTED = 130
    TERMINATED = 143


class ToolError(Exception):
    """What the user is told, and the code to end with."""

    def __init__(self, text: str, code: Code = Code.ERROR) -> None:
        super().__init__(text)
        self.code = code


# The first that fits counts.
_CODES = (
    (exception.AgentForbidden, Code.NOT_PERMITTED),
    (exception.NotAdmitted, Code.NOT_PERMITTED),
    (exception.AgentSilent, Code.NO_ANSWER),
    (exception.AgentUnavailable, Code.NO_AGENT),
    (exception.UnknownMethod, Code.OTHER_RELEASE),
    (exception.ProtocolError, Code.NO_ANSWER),
    (exception.AgentRefused, Code.NO_ANSWER),
    (exception.UnknownGuest, Code.UNKNOWN_GUEST),
    (exception.HistoryUnavailable, Code.NO_HISTORY),
)


def of(error: BaseException) -> Code:
    """Give the code that an error ends the tool with."""
    if isinstance(error, ToolError):
        return error.code
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return Code.ERROR
