# SPDX-License-Identifier: Apache-2.0
"""The scenario of simulated guests: how much memory each one uses, when.

A TOML file, written for people; sizes in MiB there and KiB from here on.
Uses are dealt out to the guests in the order in which they were created,
and again from the first after the last. An event happens when a file
``NAME.event`` appears beside the scenario, and ends when it is removed, so
that a demonstration, or its spectator, can make a guest need memory.
"""

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from nova_xen_overcommit import exception

_KIB = 1024
ALL_GUESTS = "all"


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """What one kind of guest uses; sizes in KiB.

    ``boot_kib`` for ``boot_s`` seconds after its start, then ``idle_kib``
    with a sine of ``wave_kib`` and the period ``wave_s`` on top.
    """

    name: str
    boot_kib: int
    boot_s: float
    idle_kib: int
    wave_kib: int
    wave_s: float

    def kib_at(self, age_s: float) -> int:
        """Give the use at an age in seconds."""
        if age_s < self.boot_s:
            return self.boot_kib
        angle = 2 * math.pi * (age_s - self.boot_s) / self.wave_s
        return self.idle_kib + int(self.wave_kib * math.sin(angle))


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something that makes guests use more, by ``add_kib`` each.

    ``guests`` are numbers in the order of creation, from 1; empty for all.
    """

    name: str
    guests: frozenset[int]
    add_kib: int

    def concerns(self, number: int) -> bool:
        """Tell whether guest ``number`` is among those it happens to."""
        return not self.guests or number in self.guests


@dataclasses.dataclass(frozen=True, slots=True)
class Scenario:
    """What a scenario file says.

    ``kernel_kib`` is what each guest's kernel holds outside MemTotal,
    ``least_free_kib`` what it keeps free before it swaps, ``swap_kib_s``
    how fast it reads back what it has swapped out.
    """

    path: Path
    kernel_kib: int
    least_free_kib: int
    swap_kib_s: float
    uses: tuple[Use, ...]
    events: tuple[Event, ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a scenario.

        :raises InvalidConfiguration: there is none at ``path``, or it isn't
            of its form; the message names file and entry.
        """
        try:
            values = tomllib.loads(path.read_text())
            return cls(
                path=path,
                kernel_kib=_kib(values, "kernel_mib"),
                least_free_kib=_kib(values, "least_free_mib"),
                swap_kib_s=_positive(values, "swap_mib_s") * _KIB,
                uses=tuple(_use(entry) for entry in values["use"]),
                events=tuple(_event(e) for e in values.get("event", [])),
            )._with_uses()
        except (OSError, ValueError, TypeError) as error:
            raise exception.InvalidConfiguration(
                f"scenario {path}: {error}"
            ) from error
        except KeyError as error:
            raise exception.InvalidConfiguration(
                f"scenario {path}: no entry {error}"
            ) from error

    def _with_uses(self) -> Self:
        if not self.uses:
            raise ValueError("no [[use]]: guests would use nothing")
        return self

    def event(self, name: str) -> Event:
        """Give an event by name.

        :raises InvalidConfiguration: there is none.
        """
        for event in self.events:
            if event.name == name:
                return event
        raise exception.InvalidConfiguration(
            f"scenario {self.path}: no event {name}"
        )

    def event_file(self, event: Event) -> Path:
        """Give the file whose presence makes ``event`` happen."""
        return self.path.with_name(f"{event.name}.event")

    def happening(self) -> tuple[Event, ...]:
        """Give the events that happen now."""
        return tuple(e for e in self.events if self.event_file(e).exists())

    def use_of(self, number: int) -> Use:
        """Give the use of guest ``number``, counted from 1."""
        return self.uses[(number - 1) % len(self.uses)]


def wanted_kib(
    scenario: Scenario, number: int, age_s: float, happening: tuple[Event, ...]
) -> int:
    """Give what guest ``number`` wants to use at the age ``age_s``."""
    more_kib = sum(e.add_kib for e in happening if e.concerns(number))
    return scenario.use_of(number).kib_at(age_s) + more_kib


def _use(entry: Mapping[str, Any]) -> Use:
    idle_kib, wave_kib = _kib(entry, "idle_mib"), _kib(entry, "wave_mib", 0)
    if wave_kib > idle_kib:
        raise ValueError(f"wave_mib exceeds idle_mib: {dict(entry)}")
    return Use(
        name=str(entry["name"]),
        boot_kib=_kib(entry, "boot_mib"),
        boot_s=_positive(entry, "boot_s"),
        idle_kib=idle_kib,
        wave_kib=wave_kib,
        wave_s=_positive(entry, "wave_s", 60.0),
    )


def _event(entry: Mapping[str, Any]) -> Event:
    guests = entry["guests"]
    numbers = [] if guests == ALL_GUESTS else [int(g) for g in guests]
    if guests != ALL_GUESTS and not numbers:
        raise ValueError(f"event {entry['name']} happens to no guest")
    return Event(
        name=str(entry["name"]),
        guests=frozenset(numbers),
        add_kib=_kib(entry, "add_mib"),
    )


def _kib(
    entry: Mapping[str, Any], name: str, default: int | None = None
) -> int:
    value = entry[name] if default is None else entry.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} is {value!r}, not a size in whole MiB")
    return value * _KIB


def _positive(
    entry: Mapping[str, Any], name: str, default: float | None = None
) -> float:
    value = entry[name] if default is None else entry.get(name, default)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise ValueError(f"{name} is {value!r}, not a positive number")
    return float(value)
