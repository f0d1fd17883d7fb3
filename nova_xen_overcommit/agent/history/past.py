# SPDX-License-Identifier: Apache-2.0
"""What a host's guests needed, step by step; in memory, and exact.

Steps are counted back from the open one, and know no clock. All sizes are
KiB. A guest costs four bytes for each step, whatever it did.
"""

import itertools
import operator
from array import array
from collections.abc import Callable, Iterator, Mapping

from nova_xen_overcommit.policy.predictors import GuestPast

# Adding or leaving out a guest takes a tenth of a millisecond for a week of
# steps, in the thread of the passes: so many at once at most.
_MOST_CHANGES = 64
# Who is away for longer isn't rebooting.
_AWAY_STEPS = 12
_MOST_KIB = 2**32 - 1


class GuestSteps:
    """One guest: its highest demand in each step since it is known.

    ``values_kib`` are the closed steps, oldest first, ``peak_kib`` is the
    highest of them. ``open_kib`` is its highest demand in the open step, 0
    as long as there is none that counts; ``used_kib`` is the most it used,
    ``present`` whether it was there at all.
    """

    __slots__ = (
        "away",
        "flavor_kib",
        "open_kib",
        "peak_kib",
        "present",
        "used_kib",
        "values_kib",
    )

    def __init__(self) -> None:
        self.values_kib = array("I")
        self.flavor_kib = 0
        self.peak_kib = 0
        self.open_kib = 0
        self.used_kib = 0
        self.present = False
        self.away = 0

    @property
    def highest_kib(self) -> int:
        """The highest demand that is known of it."""
        return max(self.peak_kib, self.open_kib)

    @property
    def gone(self) -> bool:
        """Whether it has been away for too long to be on its way back."""
        return self.away > _AWAY_STEPS

    def note(self, flavor_kib: int, demand_kib: int, used_kib: int) -> None:
        """Take in what was seen of it in the open step; 0 for unknown."""
        self.present = True
        if flavor_kib != self.flavor_kib:
            self.flavor_kib = min(_MOST_KIB, flavor_kib)
        if demand_kib > self.open_kib:
            self.open_kib = min(_MOST_KIB, demand_kib)
        if used_kib > self.used_kib:
            self.used_kib = min(_MOST_KIB, used_kib)

    def close(self, most_steps: int) -> int:
        """End the open step; give what the guest counts with in it.

        Unknown in it, it counts with its highest so far; 0 for who was
        never known.
        """
        value_kib = self.open_kib or self.peak_kib
        self.open_kib = self.used_kib = 0
        self.away = 0 if self.present else self.away + 1
        self.present = False
        if value_kib:
            self._append(value_kib, most_steps)
        return value_kib

    def skip(self, steps: int, most_steps: int) -> None:
        """Let steps pass in which nobody looked."""
        if self.peak_kib:
            self.values_kib.extend([self.peak_kib] * steps)
            del self.values_kib[:-most_steps]

    def _append(self, value_kib: int, most_steps: int) -> None:
        values = self.values_kib
        values.append(value_kib)
        self.peak_kib = max(self.peak_kib, value_kib)
        if len(values) > most_steps:
            gone_kib = values.pop(0)
            # Most guests have the same demand again and again.
            if gone_kib == self.peak_kib and gone_kib not in values:
                self.peak_kib = max(values)


class Past:
    """All guests of a host, and their sum in each step.

    ``most_steps`` is how many closed steps are kept. ``open_kib`` is the
    highest sum that was seen at any one moment of the open step.
    """

    def __init__(self, most_steps: int) -> None:
        self._most_steps = most_steps
        self.guests: dict[str, GuestSteps] = {}
        self.open_kib = 0
        # For each closed step, oldest first: the most that all guests
        # needed at one moment, whether most of them were seen at all, and
        # the sum of the highest demands of those in _members.
        self._hosts_kib = array("Q")
        self._seen = bytearray()
        self._sums_kib = array("Q")
        self._members: set[str] = set()

    def guest(self, uuid: str) -> GuestSteps:
        """Give a guest's steps, new ones if it isn't known."""
        known = self.guests.get(uuid)
        if known is None:
            known = self.guests[uuid] = GuestSteps()
        return known

    def close(self) -> None:
        """End the open step and begin the next."""
        recorded = lost = sum_kib = 0
        host_kib, self.open_kib = self.open_kib, 0
        for uuid, guest in self.guests.items():
            counted, present = guest.open_kib, guest.present
            value_kib = guest.close(self._most_steps)
            if counted:
                recorded += 1
            else:
                # None of what was seen of the host is of this guest.
                host_kib += value_kib
                lost += present and value_kib > 0
            if uuid in self._members:
                sum_kib += value_kib
        self._hosts_kib.append(host_kib)
        self._seen.append(recorded >= lost)
        self._sums_kib.append(sum_kib)
        self._trim()
        for uuid in [u for u, g in self.guests.items() if g.gone]:
            self._forget(uuid)

    def skip(self, steps: int) -> None:
        """Let closed steps pass in which nobody looked.

        :param steps: how many; as many as are kept forget everything.
        """
        if steps <= 0:
            return
        if steps >= self._most_steps:
            self.guests.clear()
            self._members.clear()
            for column in (self._hosts_kib, self._seen, self._sums_kib):
                del column[:]
            return
        for guest in self.guests.values():
            guest.skip(steps, self._most_steps)
        all_kib = sum(guest.peak_kib for guest in self.guests.values())
        self._hosts_kib.extend([all_kib] * steps)
        self._seen.extend(bytes(steps))
        self._sums_kib.extend([0] * steps)
        self._trim()
        self._restart_sums()

    def take_open(self, other: "Past") -> None:
        """Add the open step of another past to this one's."""
        self.open_kib = max(self.open_kib, other.open_kib)
        for uuid, guest in other.guests.items():
            if guest.present:
                self.guest(uuid).note(
                    guest.flavor_kib, guest.open_kib, guest.used_kib
                )

    def _trim(self) -> None:
        for column in (self._hosts_kib, self._seen, self._sums_kib):
            del column[: -self._most_steps]

    def _forget(self, uuid: str) -> None:
        if uuid in self._members:
            self._change(uuid, operator.sub)
            self._members.remove(uuid)
        del self.guests[uuid]

    # The sum of some.

    def sums(self, uuids: Mapping[str, object]) -> list[int]:
        """Give the highest summed demand of some guests in each step.

        Oldest first; the last one is the open step. It begins with the
        oldest step in which one of them is known. A guest that wasn't there
        in a step counts with its highest: it would have been there with no
        less. A step in which hardly anything was seen of the host counts
        with the highest sum of all others, since it tells nothing.
        """
        self._become(uuids)
        known = [self.guests[u] for u in uuids if u in self.guests]
        if not known:
            return []
        steps = max(len(guest.values_kib) for guest in known)
        begin = len(self._sums_kib) - steps
        sums = list(
            map(
                operator.add,
                map(min, self._sums_kib[begin:], self._hosts_kib[begin:]),
                self._before_their_time(uuids, steps),
            )
        )
        self._hide_unseen(sums, self._seen[begin:])
        sums.append(self._open_sum(known))
        return sums

    def _hide_unseen(self, sums: list[int], seen: bytearray) -> None:
        if 0 in seen and 1 in seen:
            most_kib = max(itertools.compress(sums, seen))
            for step, was_seen in enumerate(seen):
                if not was_seen:
                    sums[step] = most_kib

    def _open_sum(self, known: list[GuestSteps]) -> int:
        seen_kib = sum(guest.open_kib for guest in known)
        unseen_kib = sum(g.peak_kib for g in known if not g.open_kib)
        return min(seen_kib, self.open_kib) + unseen_kib

    def _before_their_time(
        self, uuids: Mapping[str, object], steps: int
    ) -> Iterator[int]:
        """Give what guests count with that weren't there yet, by step."""
        begins = [0] * (steps + 1)
        for uuid in uuids:
            guest = self.guests.get(uuid)
            if guest is not None:
                # Who hasn't been added to the sum yet is nowhere in it.
                known = len(guest.values_kib) if uuid in self._members else 0
                begins[steps - known] += guest.highest_kib
        begins.pop(0)
        begins.reverse()
        return reversed(list(itertools.accumulate(begins)))

    def _become(self, uuids: Mapping[str, object]) -> None:
        """Let the sums be those of some guests, or of part of them."""
        leaving = self._members.difference(uuids)
        if len(leaving) > _MOST_CHANGES:
            self._restart_sums()
            leaving = set()
        for uuid in leaving:
            self._change(uuid, operator.sub)
        self._members -= leaving
        joining = (
            uuid
            for uuid in uuids
            if uuid not in self._members and uuid in self.guests
        )
        for uuid in list(itertools.islice(joining, _MOST_CHANGES)):
            self._change(uuid, operator.add)
            self._members.add(uuid)

    def _restart_sums(self) -> None:
        self._members.clear()
        self._sums_kib = array("Q", bytes(8 * len(self._sums_kib)))

    def _change(self, uuid: str, how: Callable[[int, int], int]) -> None:
        values = self.guests[uuid].values_kib
        begin = len(self._sums_kib) - len(values)
        changed = map(how, self._sums_kib[begin:], values)
        self._sums_kib[begin:] = array("Q", changed)

    def told(self, uuid: str, flavor_kib: int) -> GuestPast | None:
        """Give what a predictor is told of a guest."""
        guest = self.guests.get(uuid)
        if guest is None:
            return None
        steps = len(guest.values_kib)
        unseen = self._seen.count(0, len(self._seen) - steps)
        return GuestPast(
            flavor_kib=flavor_kib,
            known_steps=steps - unseen + (guest.open_kib > 0),
            peak_kib=guest.highest_kib,
        )
