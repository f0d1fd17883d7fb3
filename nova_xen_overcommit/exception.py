# SPDX-License-Identifier: Apache-2.0
"""Errors of nova_xen_overcommit, one base class for all."""

from collections.abc import Sequence


class OvercommitError(Exception):
    """Base of every error this package raises on purpose."""


class InvalidReport(OvercommitError):
    """A host report is missing, truncated, absurd or of a later version."""


class UnreadableReport(InvalidReport):
    """A host report is no JSON object: it was cut, or never was one."""


class NewerReport(InvalidReport):
    """A host report is of a version later than this side knows."""


class InvalidConfiguration(OvercommitError):
    """Options contradict each other; the message names them."""


class ProtocolError(OvercommitError):
    """The peer on the agent's socket sent what the protocol doesn't know."""


class UnknownMethod(ProtocolError):
    """The agent doesn't know the request: it is of another release."""


class AgentUnavailable(OvercommitError):
    """Nobody answers on the agent's socket, or the answer is too late."""


class AgentSilent(AgentUnavailable):
    """The agent took the request and gave no answer, or half of one."""


class AgentForbidden(AgentUnavailable):
    """We may not open the agent's socket."""


class AgentRefused(OvercommitError):
    """The agent understood the request and said no; the text says why."""


class NotAdmitted(AgentRefused):
    """The agent lets only some users ask, and we are none of them."""


class HistoryUnavailable(OvercommitError):
    """There is no history that could be read; the text says why."""


class UnknownGuest(OvercommitError):
    """No running guest has this name or UUID."""


class HypervisorError(OvercommitError):
    """The hypervisor refused or failed a call; the guest is named."""


class NoRoom(OvercommitError):
    """A guest can't start: its memory can't be made free.

    All figures are KiB. ``asked_kib`` is the least the guest can start
    with, its overhead in the hypervisor included; ``free_kib`` what is
    measured free; ``reclaimable_kib`` what idle guests could still yield;
    ``unyielding`` names the guests that were asked and don't yield.
    """

    def __init__(
        self,
        *,
        asked_kib: int,
        free_kib: int,
        reclaimable_kib: int,
        unyielding: Sequence[str] = (),
        reason: str = "not enough memory can be made free",
    ) -> None:
        self.asked_kib = asked_kib
        self.free_kib = free_kib
        self.reclaimable_kib = reclaimable_kib
        self.unyielding = tuple(unyielding)
        self.reason = reason
        super().__init__(self._text())

    def _text(self) -> str:
        names = ", ".join(self.unyielding) or "none"
        return (
            f"{self.reason}: asked for {self.asked_kib // 1024} MiB, "
            f"{self.free_kib // 1024} MiB free, "
            f"{self.reclaimable_kib // 1024} MiB could be freed, "
            f"guests that don't yield: {names}"
        )


class InvalidTrace(OvercommitError):
    """A file with memory history can't be used; file and line are named."""


class CannotReplay(OvercommitError):
    """A replay isn't possible as asked for; the option is named."""
