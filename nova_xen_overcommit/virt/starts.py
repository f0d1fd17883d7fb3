# SPDX-License-Identifier: Apache-2.0
"""Reservations before starts, and holds around what disturbs a guest."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

from oslo_config import cfg
from oslo_log import log as logging

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import protocol
from nova_xen_overcommit.policy import overhead
from nova_xen_overcommit.virt import capacity, errors

LOG = logging.getLogger(__name__)

_KIB = 1024


class Agent(Protocol):
    """The part of the agent's client that starts need."""

    def reserve(
        self, request: protocol.StartRequest, wait_s: float
    ) -> contextlib.AbstractContextManager[protocol.Grant]:
        """Hold memory for a start while the block runs."""

    def hold(
        self, uuid: str, reason: str
    ) -> contextlib.AbstractContextManager[None]:
        """Keep the agent's hands off a guest while the block runs."""


class Starts:
    """Makes room before a guest starts.

    ``mode`` gives the mode in force, ``free_kib`` the memory measured free
    on the hypervisor; both are asked at each start.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        agent: Agent,
        mode: Callable[[], str],
        free_kib: Callable[[], int],
    ) -> None:
        self._options = conf.xen_overcommit
        self._agent = agent
        self._mode = mode
        self._free_kib = free_kib
        self._incoming: dict[str, contextlib.ExitStack] = {}

    @contextlib.contextmanager
    def reserve(self, request: protocol.StartRequest) -> Iterator[int]:
        """Hold memory for a start; gives the KiB to start with.

        In observe mode nothing is asked and the guest gets all. Without
        the agent the guest gets all if that is measured free.

        :raises NoRoomOnHost: the memory can't be made free.
        """
        with contextlib.ExitStack() as stack:
            yield self._enter(stack, request)

    def reserve_incoming(self, request: protocol.StartRequest) -> None:
        """Hold memory until :meth:`release_incoming`.

        :raises NoRoomOnHost: the memory can't be made free.
        """
        self.release_incoming(request.uuid)
        with contextlib.ExitStack() as stack:
            self._enter(stack, request)
            self._incoming[request.uuid] = stack.pop_all()

    def release_incoming(self, uuid: str) -> None:
        """Let go of what :meth:`reserve_incoming` holds, if anything."""
        stack = self._incoming.pop(uuid, None)
        if stack is not None:
            stack.close()

    @contextlib.contextmanager
    def hold(self, uuid: str, reason: str) -> Iterator[None]:
        """Keep the agent from touching a guest while the block runs.

        Without the agent nobody moves balloons, so the block runs anyway.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._agent.hold(uuid, reason))
            except exception.OvercommitError as error:
                LOG.warning("No hold on %s for %s: %s", uuid, reason, error)
            yield

    def _enter(
        self, stack: contextlib.ExitStack, request: protocol.StartRequest
    ) -> int:
        if self._mode() == capacity.OBSERVE:
            return request.flavor_kib
        wait_s = self._options.reserve_wait_s
        try:
            grant = stack.enter_context(self._agent.reserve(request, wait_s))
        except exception.NoRoom as failure:
            raise self._refusal(request, failure) from failure
        except exception.OvercommitError as error:
            return self._without_agent(request, error)
        return grant.start_kib

    def _without_agent(
        self, request: protocol.StartRequest, trouble: Exception
    ) -> int:
        LOG.warning(
            "No reservation for %s (%s): starting only if all of its memory "
            "is free",
            request.name,
            trouble,
        )
        failure = self._lack(request, self._free_kib())
        if failure is not None:
            raise self._refusal(request, failure) from failure
        return request.flavor_kib

    def _lack(
        self, request: protocol.StartRequest, free_kib: int
    ) -> exception.NoRoom | None:
        needed_kib = request.flavor_kib + overhead.shadow_kib(
            request.flavor_kib, request.vcpus
        )
        if free_kib - self._options.host_slack_mib * _KIB >= needed_kib:
            return None
        return exception.NoRoom(
            asked_kib=needed_kib,
            free_kib=free_kib,
            reclaimable_kib=0,
            reason="the agent does not answer and no balloon is moved",
        )

    def _refusal(
        self, request: protocol.StartRequest, failure: exception.NoRoom
    ) -> errors.NoRoomOnHost:
        # The operator's log names the guests that don't yield; the user's
        # message can't.
        LOG.warning("No room to start %s: %s", request.name, failure)
        return errors.no_room(failure)
