# SPDX-License-Identifier: Apache-2.0
"""What a guest wrote, believed or not; pure.

Everything here comes from inside a guest: any bytes may come. What can't
be true is refused with a reason, and nothing else ever happens.
"""

import dataclasses
import re

from nova_xen_overcommit import exception

MAX_LINE_BYTES = 1024
# 1 PiB in KiB, and what fits 63 bits: more than any guest has or counts.
_MAX_KIB = 1 << 40
_MAX_COUNTER = (1 << 63) - 1

_PAIR = r"[a-z][a-z0-9_]{0,31}=-?[0-9]{1,19}"
_PAIRS = re.compile(f"{_PAIR}(?: {_PAIR})*")
_NAME_AND_NUMBER = re.compile(r"([^ =]+)=([^ ]+)")
_NUMBER = re.compile(rb"[0-9]{1,15}")
_VERSION = 1
_NEEDED = {
    "seq",
    "mem_total_kib",
    "mem_available_kib",
    "swap_total_kib",
    "swap_free_kib",
}


class Implausible(exception.OvercommitError):
    """What the guest says can't be true; the text says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """A guest's figures that can be true.

    ``mark`` differs from one write of the guest to the next.
    """

    mark: tuple[int, ...]
    mem_total_kib: int
    mem_available_kib: int
    swap_total_kib: int = 0
    swap_free_kib: int = 0
    swap_in_kib: int | None = None
    psi_some_us: int | None = None
    self_more_kib: int | None = None


def parse_line(raw: bytes, flavor_kib: int) -> Figures:
    """Read our publisher's line, of a guest of ``flavor_kib``.

    :raises Implausible: it can't be true.
    """
    values = _pairs(raw)
    if values.get("v") != _VERSION:
        raise Implausible(f"version {values.get('v')}")
    if not values.keys() >= _NEEDED:
        missing = sorted(_NEEDED - values.keys())
        raise Implausible(f"no {', '.join(missing)}")
    return Figures(
        mark=(_counter(values, "seq") or 0,),
        mem_total_kib=_total_kib(values["mem_total_kib"], flavor_kib),
        mem_available_kib=_part(values, "mem_available_kib", "mem_total_kib"),
        swap_total_kib=_within(values, "swap_total_kib", _MAX_KIB),
        swap_free_kib=_part(values, "swap_free_kib", "swap_total_kib"),
        swap_in_kib=_counter(values, "swap_in_kib"),
        psi_some_us=_counter(values, "psi_some_us"),
        self_more_kib=_difference(values, "self_more_kib"),
    )


def parse_meminfo(total: bytes, free: bytes, flavor_kib: int) -> Figures:
    """Read what other guest agents write: MemTotal and MemAvailable, KiB.

    :raises Implausible: it can't be true.
    """
    values = {
        "mem_total_kib": _plain_number("meminfo_total", total),
        "mem_available_kib": _plain_number("meminfo_free", free),
    }
    return Figures(
        mark=tuple(values.values()),
        mem_total_kib=_total_kib(values["mem_total_kib"], flavor_kib),
        mem_available_kib=_part(values, "mem_available_kib", "mem_total_kib"),
    )


def _pairs(raw: bytes) -> dict[str, int]:
    if len(raw) > MAX_LINE_BYTES:
        raise Implausible(f"{len(raw)} bytes long")
    try:
        text = raw.decode("ascii").strip("\0\n ")
    except UnicodeDecodeError as error:
        raise Implausible("not ASCII") from error
    if _PAIRS.fullmatch(text) is None:
        words = text.split(" ")
        wrong = next(w for w in words if not re.fullmatch(_PAIR, w))
        raise Implausible(f"{wrong!r:.40} is no figure")
    pairs = _NAME_AND_NUMBER.findall(text)
    values = {name: int(number) for name, number in pairs}
    if len(values) < len(pairs):
        raise Implausible("a figure is there twice")
    return values


def _plain_number(name: str, raw: bytes) -> int:
    match = _NUMBER.fullmatch(raw.strip(b"\0\n "))
    if match is None:
        raise Implausible(f"{name} is {raw[:40]!r}")
    return int(match[0])


def _total_kib(total_kib: int, flavor_kib: int) -> int:
    if not 0 < total_kib <= flavor_kib:
        raise Implausible(
            f"mem_total_kib is {total_kib}, the flavor {flavor_kib}"
        )
    return total_kib


def _part(values: dict[str, int], part: str, whole: str) -> int:
    return _within(values, part, values[whole])


def _within(values: dict[str, int], name: str, limit: int) -> int:
    if not 0 <= values[name] <= limit:
        raise Implausible(f"{name} is {values[name]}, the limit {limit}")
    return values[name]


def _difference(values: dict[str, int], name: str) -> int | None:
    """Give a figure that may be negative; None where it is absent."""
    if name not in values:
        return None
    if abs(values[name]) > _MAX_KIB:
        raise Implausible(f"{name} is {values[name]}")
    return values[name]


def _counter(values: dict[str, int], name: str) -> int | None:
    """Give a counter; None where the guest has none (absent, or -1)."""
    value = values.get(name, -1)
    if value == -1:
        return None
    return _within(values, name, _MAX_COUNTER)
