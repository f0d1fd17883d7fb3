# SPDX-License-Identifier: Apache-2.0
"""The agent without its process: passes, leases and answers together.

``tick`` is called again and again by one thread; everything else may be
called by any.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg

from nova_xen_overcommit import exception, report
from nova_xen_overcommit.agent import (
    balancer,
    explain,
    news,
    picture,
    pressure,
    protocol,
    reporting,
)
from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.agent.protocol import StartRequest
from nova_xen_overcommit.agent.reservations import Leases, Reservation
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.agent.status import (
    AgentStatus,
    HostStatus,
    Passes,
    StartStatus,
)
from nova_xen_overcommit.policy.progress import Status

LOG = logging.getLogger(__name__)

# After a pass that took longer nobody would wait as long again.
_LONGEST_REST_S = 0.2


# Told of each pass how long it took, and the complaint if it failed.
Follower = Callable[[float, str], None]


class Clock:
    """The two clocks the agent needs; replaced in simulations."""

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def wall_s(self) -> float:
        """Seconds since the epoch, for others to compare with theirs."""
        return time.time()


class Agent:
    """One host's agent.

    ``followers`` are told when a pass ends, by the thread of the passes.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        balancer_: balancer.Balancer,
        reporter: reporting.Reporter,
        leases: Leases,
        clock: Clock,
        sources: Sequence[news.Source] = (),
    ) -> None:
        self._conf = conf
        self._sources = sources
        self._balancer = balancer_
        self._reporter = reporter
        self._leases = leases
        self._clock = clock
        self._lock = threading.Lock()
        # What the last pass that succeeded left behind.
        self._scene: picture.Scene | None = None
        self._camera = picture.Camera()
        self.followers: list[Follower] = []
        self._passes = 0
        self._failures = 0
        self._refused_starts = 0
        self._reports_sent = 0
        self._report_sent_s: float | None = None
        self._complaint = ""
        self._pass_s = 0.0
        self._began_s: float | None = None
        self._ended_s: float | None = None
        self._passed_s: float | None = None

    def tick(self) -> float:
        """Do one pass, whatever happens; give the seconds to the next.

        No exception leaves this method: an agent that stops balancing
        silently is worse than one that complains in its log.
        """
        settings = Settings.of(self._conf)
        scene, busy = None, False
        began_s = self._began_s = self._clock.monotonic_s()
        self._camera.began()
        try:
            scene, busy = self._pass(settings)
            self._complaint = ""
        except Exception as error:  # noqa: BLE001
            self._failed(error)
        self._ended_s = self._clock.monotonic_s()
        self._pass_s, self._began_s = self._ended_s - began_s, None
        self._camera.ended(scene)
        self._heartbeat()
        return settings.busy_tick_s if busy else settings.tick_s

    def close(self) -> None:
        """Let the next agent know what this one knew; after the last pass."""
        self._reporter.close()

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        complaint = f"{type(error).__name__}: {error}"
        if complaint != self._complaint:
            expected = isinstance(error, exception.OvercommitError)
            LOG.error(
                "A pass failed, guests keep what they have: %s",
                complaint,
                exc_info=None if expected else error,
            )
        self._complaint = complaint

    def _pass(self, settings: Settings) -> tuple[picture.Scene, bool]:
        result = self._balancer.run_pass(settings)
        for source in self._sources:
            source.follow(self._balancer.guests.values())
        starting = [
            reservation
            for reservation in self._leases.reservations()
            if reservation.request.uuid not in self._balancer.guests
        ]
        made = self._reporter.make(
            result,
            self._balancer.guests,
            starting,
            settings,
            now_s=self._clock.monotonic_s(),
            wall_s=self._clock.wall_s(),
        )
        scene = picture.Scene(
            self._describe(result, made, settings),
            list(self._balancer.guests.values()),
            settings.warm_up_s,
        )
        with self._lock:
            self._scene = scene
            self._passed_s = self._clock.monotonic_s()
        return scene, result.unfinished

    def _describe(
        self,
        result: balancer.PassResult,
        made: report.HostReport,
        settings: Settings,
    ) -> HostStatus:
        return HostStatus(
            report=made,
            hypervisor=self._balancer.hypervisor_kind,
            promise_bound=self._reporter.bound,
            predictor=self._conf.xen_overcommit.predictor,
            past_s=self._reporter.past_s,
            slack_mib=settings.slack_kib // 1024,
            short_kib=result.short_kib,
            wanted_kib=result.wanted_kib,
            moves=self._balancer.moves,
            errors=self._balancer.errors,
            failing_sensors=tuple(sorted(self._balancer.failing_sensors)),
        )

    def _heartbeat(self) -> None:
        self._passes += 1
        path = self._conf.xen_overcommit.heartbeat_file
        if path:
            with contextlib.suppress(OSError):
                Path(path).touch()
        for follower in self.followers:
            self._tell(follower)

    def _tell(self, follower: Follower) -> None:
        try:
            follower(self._pass_s, self._complaint)
        except Exception:
            LOG.exception("Nobody is told of a pass, balancing goes on")

    @property
    def wake(self) -> threading.Event:
        """Set when a pass should come at once."""
        return self._leases.changed

    @property
    def rest_s(self) -> float:
        """How long to leave the host alone after the last pass.

        As long as the pass took: however often guests call, their balancer
        takes half of a processor at most.
        """
        return min(self._pass_s, _LONGEST_REST_S)

    def listening(self) -> contextlib.AbstractContextManager[None]:
        """Let guests in need wake the agent while the context lasts."""
        return news.listening(self._sources)

    def _last(self) -> picture.Scene:
        with self._lock:
            scene = self._scene
        if scene is None:
            raise exception.AgentRefused(
                f"no report yet: {self._complaint or 'starting'}"
            )
        return scene

    def report(self) -> dict[str, Any]:
        """Give the newest report, and who is uncooperative, to be sent.

        :raises AgentRefused: no pass has succeeded yet.
        """
        scene = self._last()
        told = scene.host.report.to_dict()
        told[protocol.UNCOOPERATIVE_GUESTS] = [
            {"uuid": guest.domain.uuid, "name": guest.domain.name}
            for guest in scene.guests
            if guest.progress.status is Status.UNCOOPERATIVE
        ]
        with self._lock:
            self._reports_sent += 1
            self._report_sent_s = self._clock.monotonic_s()
        return told

    def status(self) -> dict[str, Any]:
        """Give all there is to know, as :meth:`AgentStatus.to_dict`."""
        return self.pictured().to_dict()

    def pictured(self) -> AgentStatus:
        """Give how host and guests stood when the last pass ended.

        Any thread may ask, and as often as it likes: no pass waits for it,
        and a picture is taken once at most between two passes. Waits for a
        pass under way, a second at most.
        """
        taken = self._camera.picture()
        now_s = self._clock.monotonic_s()
        return AgentStatus(
            passes=self.passes(),
            host=taken.host,
            guests=taken.guests,
            starts=tuple(
                StartStatus.of(reservation, now_s)
                for reservation in self._leases.reservations()
            ),
            held=self._leases.held(),
            pressure=pressure.read(),
            whole=taken.whole,
        )

    def passes(self) -> Passes:
        """Give the part of the status that tells how passes go."""
        now_s, began_s = self._clock.monotonic_s(), self._began_s
        under_way_s = 0.0 if began_s is None else now_s - began_s
        return Passes(
            passes=self._passes,
            failures=self._failures,
            complaint=self._complaint,
            pass_s=self._pass_s,
            heartbeat_age_s=_since(self._ended_s, now_s),
            pass_ago_s=_since(self._passed_s, now_s),
            under_way_s=round(under_way_s, 3),
            refused_starts=self._refused_starts,
            reports_sent=self._reports_sent,
            report_sent_ago_s=_since(self._report_sent_s, now_s),
        )

    def explain(self, guest: str) -> dict[str, Any]:
        """Say why a guest has what it has; "": the host and all guests.

        :raises AgentRefused: no pass has succeeded yet.
        :raises UnknownGuest: no running guest has this name or UUID.
        """
        scene = self._last()
        settings = Settings.of(self._conf)
        now_s = self._clock.monotonic_s()
        guests = list(self._balancer.guests.values())
        if not guest:
            return {
                "host": self._explain_host(scene.host, guests, now_s),
                "guests": [
                    explain.brief(one, settings, now_s) for one in guests
                ],
            }
        found = explain.find(guests, guest)
        if found is None:
            raise exception.UnknownGuest(
                f"no running guest has the name or UUID {guest!r:.80}"
            )
        return explain.full(found, settings, now_s)

    def _explain_host(
        self, host: HostStatus, guests: Sequence[TrackedGuest], now_s: float
    ) -> dict[str, Any]:
        return (
            host.to_dict()
            | self.passes().to_dict()
            | {
                "left_kib": sum(guest.left_kib for guest in guests),
                "foreign": [g.domain.name for g in guests if g.domain.foreign],
                "starts": [
                    explain.start(reservation, now_s)
                    for reservation in self._leases.reservations()
                ],
            }
        )

    @contextlib.contextmanager
    def reserve(
        self,
        request: StartRequest,
        wait_s: float,
        client_left: Callable[[], bool],
    ) -> Iterator[dict[str, Any]]:
        """Hold memory for a start while the context lasts.

        :raises NoRoom: the memory can't be made free.
        :raises AgentRefused: the client left, or no pass came to answer.
        """
        now_s = self._clock.monotonic_s()
        reservation = Reservation(request, now_s, now_s + wait_s)
        self._leases.add(reservation)
        try:
            self._await(reservation, client_left)
            yield {"start_kib": reservation.granted_kib}
        finally:
            self._leases.remove(reservation)

    def _await(
        self, reservation: Reservation, client_left: Callable[[], bool]
    ) -> None:
        # The balancer answers at the deadline at the latest; this much more
        # is for a pass that hangs.
        patience_s = reservation.deadline_s + 5.0
        while not reservation.answered.is_set():
            if client_left():
                raise exception.AgentRefused("the client left")
            if self._clock.monotonic_s() > patience_s:
                raise exception.AgentRefused(
                    f"the balancer does not answer: {self._complaint}"
                )
        if reservation.failure is not None:
            with self._lock:
                self._refused_starts += 1
            LOG.warning(
                "Start of %s refused: %s",
                reservation.request.name,
                reservation.failure,
            )
            raise reservation.failure

    @contextlib.contextmanager
    def hold(self, uuid: str, reason: str) -> Iterator[dict[str, Any]]:
        """Leave a guest alone while the context lasts."""
        self._leases.hold(uuid, reason)
        try:
            yield {}
        finally:
            self._leases.unhold(uuid, reason)


def _since(then_s: float | None, now_s: float) -> float | None:
    return None if then_s is None else round(max(0.0, now_s - then_s), 1)


def balance(agent: Agent, leaving: threading.Event) -> None:
    """Do passes until ``leaving`` is set.

    A guest in need, a start that is asked for, or one that ended, brings
    the next pass at once.
    """
    try:
        with agent.listening():
            while not leaving.is_set():
                delay_s = agent.tick()
                leaving.wait(agent.rest_s)
                agent.wake.wait(delay_s)
                agent.wake.clear()
    finally:
        agent.close()
