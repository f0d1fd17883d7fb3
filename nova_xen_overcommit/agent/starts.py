# SPDX-License-Identifier: Apache-2.0
"""Starting guests: who may, with how much, and why not."""

from collections.abc import Mapping, Sequence

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.guests import TrackedGuest
from nova_xen_overcommit.agent.hypervisor.base import Hypervisor
from nova_xen_overcommit.agent.protocol import StartRequest
from nova_xen_overcommit.agent.reservations import Reservation
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy import floor
from nova_xen_overcommit.policy.progress import Status

# Figures of guests that have just begun to speak may come a little late, so
# a start that seems hopeless waits this long before it is refused.
_HOPELESS_AFTER_S = 5.0


def outstanding_kib(
    reservation: Reservation, guests: Mapping[str, TrackedGuest]
) -> int:
    """Give what of a grant is not measured as the guest's own yet."""
    guest = guests.get(reservation.request.uuid)
    if guest is None:
        return reservation.claim_kib
    # An incoming migration is listed, paused, long before its memory is
    # there. What it will take by its target is counted as growth already,
    # and its overhead as held.
    if guest.domain.busy:
        arriving_kib = guest.domain.held_kib + guest.growing_kib
        return max(0, reservation.claim_kib - arriving_kib)
    return 0


def least_kib(request: StartRequest, settings: Settings) -> int:
    """Give the least memory the guest may start with."""
    if request.restore_kib:
        return request.restore_kib
    if not request.overcommit:
        return request.flavor_kib
    return floor.start_kib(
        request.flavor_kib, floor_of(request, settings), settings.start_share
    )


def floor_of(request: StartRequest, settings: Settings) -> int:
    """Give the floor the guest will have; its flavor if never ballooned."""
    if not request.overcommit:
        return request.flavor_kib
    return settings.floor_rule.floor_kib(
        request.flavor_kib, request.swap_kib, request.floor_kib
    )


def swap_of(request: StartRequest) -> int:
    """Give how much of the guest's swap backs its flavor."""
    return floor.counted_swap_kib(request.flavor_kib, request.swap_kib)


class StartDesk:
    """Answers the starts that wait, in one pass."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        guests: Mapping[str, TrackedGuest],
        settings: Settings,
    ) -> None:
        self._hypervisor = hypervisor
        self._guests = guests
        self._settings = settings

    def serve(
        self,
        reservations: Sequence[Reservation],
        *,
        usable_kib: int,
        spendable_kib: int,
        now_s: float,
    ) -> int:
        """Grant or refuse what can be; give what is still wanted, in KiB."""
        wanted_kib = 0
        granted = [r for r in reservations if r.granted_kib is not None]
        for reservation in reservations:
            if reservation.granted_kib is not None:
                continue
            self._price(reservation)
            cost_kib = self._cost_kib(reservation)
            failure = self._impossible(reservation, granted, usable_kib)
            if failure is not None:
                reservation.refuse(failure)
            elif cost_kib <= spendable_kib or not self._settings.moves:
                start_kib = self._start_kib(reservation, spendable_kib)
                reservation.grant(start_kib)
                granted.append(reservation)
                spendable_kib -= reservation.claim_kib
            elif self._hopeless(reservation, spendable_kib, now_s):
                reservation.refuse(self._no_room(reservation, spendable_kib))
            else:
                wanted_kib += cost_kib
        return wanted_kib

    def _price(self, reservation: Reservation) -> None:
        request = reservation.request
        reservation.overhead_kib = self._hypervisor.overhead_kib(
            request.flavor_kib, request.vcpus, request.os_type
        )

    def _cost_kib(self, reservation: Reservation) -> int:
        start_kib = least_kib(reservation.request, self._settings)
        return start_kib + reservation.overhead_kib

    def _start_kib(self, reservation: Reservation, spendable_kib: int) -> int:
        request = reservation.request
        least = least_kib(request, self._settings)
        if not self._settings.moves:
            return request.restore_kib or request.flavor_kib
        if request.restore_kib:
            return least
        # Above its least, a start leaves the reserve alone.
        spare_kib = (
            spendable_kib
            + self._settings.slack_kib
            - self._settings.reserve_kib
            - reservation.overhead_kib
        )
        return max(least, min(request.flavor_kib, spare_kib))

    def _impossible(
        self,
        reservation: Reservation,
        granted: Sequence[Reservation],
        usable_kib: int,
    ) -> exception.NoRoom | None:
        """Refuse what would break the rule of floors or of guest swap."""
        if not self._settings.moves:
            return None
        starting = [reservation, *self._others(reservation, granted)]
        left_kib = usable_kib - self._overheads_kib(starting)
        # Where swap doesn't fit, floors don't either: the nearer cause first.
        if not self._swap_fits(starting, left_kib):
            return self._no_room(
                reservation,
                self._spare(usable_kib),
                "guests' flavors would exceed the host's memory and their "
                "swap",
            )
        if not self._floors_fit(starting, left_kib):
            return self._no_room(
                reservation,
                self._spare(usable_kib),
                "the floors of all guests would exceed the host's memory",
            )
        return None

    def _spare(self, usable_kib: int) -> int:
        held_kib = sum(g.domain.actual_kib for g in self._guests.values())
        return max(0, usable_kib - held_kib)

    def _others(
        self, reservation: Reservation, granted: Sequence[Reservation]
    ) -> list[Reservation]:
        running = {*self._guests, reservation.request.uuid}
        return [r for r in granted if r.request.uuid not in running]

    def _running(self, starting: Sequence[Reservation]) -> list[TrackedGuest]:
        """Give the guests that none of the starts is about."""
        begun = {one.request.uuid for one in starting}
        return [g for u, g in self._guests.items() if u not in begun]

    def _overheads_kib(self, starting: Sequence[Reservation]) -> int:
        running = self._running(starting)
        overheads_kib = sum(g.domain.overhead_kib for g in running)
        return overheads_kib + sum(one.overhead_kib for one in starting)

    def _floors_fit(
        self, starting: Sequence[Reservation], left_kib: int
    ) -> bool:
        """Whether all floors fit into what overheads leave."""
        floors_kib = sum(
            g.domain.flavor_kib if g.domain.exempt else g.floor_kib
            for g in self._running(starting)
        )
        floors_kib += sum(
            floor_of(one.request, self._settings) for one in starting
        )
        return floors_kib + self._settings.reserve_kib <= left_kib

    def _swap_fits(
        self, starting: Sequence[Reservation], left_kib: int
    ) -> bool:
        """Whether all flavors fit into what overheads leave, and swap."""
        if not self._settings.require_guest_swap:
            return True
        running = self._running(starting)
        requests = [one.request for one in starting]
        flavors_kib = sum(g.domain.flavor_kib for g in running)
        flavors_kib += sum(request.flavor_kib for request in requests)
        swap_kib = sum(g.counted_swap_kib for g in running)
        swap_kib += sum(swap_of(request) for request in requests)
        return flavors_kib <= left_kib + swap_kib

    def _hopeless(
        self, reservation: Reservation, spendable_kib: int, now_s: float
    ) -> bool:
        if now_s >= reservation.deadline_s:
            return True
        waited_s = now_s - reservation.asked_at_s
        reachable_kib = spendable_kib + self._reclaimable_kib()
        enough = self._cost_kib(reservation) <= reachable_kib
        return not enough and waited_s >= _HOPELESS_AFTER_S

    def _reclaimable_kib(self) -> int:
        return sum(g.could_yield_kib for g in self._guests.values())

    def _no_room(
        self,
        reservation: Reservation,
        free_kib: int,
        reason: str = "not enough memory can be made free",
    ) -> exception.NoRoom:
        unyielding = [
            guest.domain.name
            for guest in self._guests.values()
            if guest.progress.status in (Status.STUCK, Status.UNCOOPERATIVE)
        ]
        return exception.NoRoom(
            asked_kib=self._cost_kib(reservation),
            free_kib=max(0, free_kib),
            reclaimable_kib=self._reclaimable_kib(),
            unyielding=unyielding,
            reason=reason,
        )
