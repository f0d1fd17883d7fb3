# SPDX-License-Identifier: Apache-2.0
"""Keeps memory moving: neighbours that need it in turn, and the subject."""

import contextlib
import itertools
import threading
from collections.abc import Iterator

from tests.lab import guests as lab_guests
from tests.lab import lab as lab_module
from tests.lab import steps
from tests.lab.lifecycle import placing
from tests.lab.lifecycle.subject import Subject

# With one guest of each kind, more than the host has.
COUNT = 1
# Guests of 1 GiB; the host has memory for three.
_TOO_MANY = 4
NEIGHBOUR_MIB = 700
SUBJECT_MIB = 400
_TURN_S = 25.0
# Of a processor.
_NEIGHBOUR_PERCENT = 30


def stir(subject: Subject) -> None:
    """Let the subject need memory, or give back what it needed before.

    Nobody waits for what the agent then does: that goes on while the
    operation is under way.
    """
    if subject.status() != "ACTIVE":
        return
    if subject.eater:
        subject.stop_eating()
    else:
        subject.eat(SUBJECT_MIB)


@contextlib.contextmanager
def neighbours(lab: lab_module.Lab) -> Iterator[None]:
    """Let neighbours need memory in turn for as long as the block runs.

    :raises LabError: they could not be placed.
    """
    guests = [
        placing.place(lab, f"neighbour-{n}", "pv", {}) for n in range(COUNT)
    ]
    over = threading.Event()
    for guest in guests:
        # Emulated, it would else take half of the time of every operation.
        lab.dom0.cap(guest.domain, _NEIGHBOUR_PERCENT)
    thread = threading.Thread(target=_take_turns, args=(guests, over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def newcomers(subject: Subject) -> Iterator[None]:
    """Let more guests need memory than the host has, during the block.

    Where there is enough for all, nothing is taken from anyone.

    :raises LabError: one could not be placed.
    """
    lab = subject.lab
    come: list[lab_guests.Guest] = []
    try:
        while len(lab.guests()) < _TOO_MANY:
            name = f"{subject.kind}-newcomer-{len(come)}"
            come.append(placing.place(lab, name, "pv", {}))
        for guest in come:
            guest.eat(NEIGHBOUR_MIB, 5000)
        yield
    finally:
        for guest in come:
            lab.nova.delete(guest.uuid)


def _take_turns(guests: list[lab_guests.Guest], over: threading.Event) -> None:
    for guest in itertools.cycle(guests):
        try:
            guest.eat(NEIGHBOUR_MIB, 5000)
            over.wait(_TURN_S)
            guest.stop_eating()
        except lab_guests.GuestError as error:
            steps.say(f"{guest.name} takes no turn: {error}")
        if over.is_set():
            return
