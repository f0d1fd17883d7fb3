# SPDX-License-Identifier: Apache-2.0
"""The files of the history: one for each day (UTC), written at its end.

A file begins with :data:`MAGIC`; then there are records::

    length   4 bytes   of what follows the checksum
    crc32    4 bytes   of the length and of what follows
    "G" name           the next guest: the first is 0, the next 1, …
    "S" time_s  4      when the step began, seconds since the epoch
        step_s  2      how long it is
        demand  8      highest sum of the guests' demands at one moment, KiB
        then for each guest that was there
        guest 4, size 4, demand 4, used 4: KiB, 0 for unknown

All numbers are little-endian. Each record is whole or it is damaged, and
what follows a damaged record is not read: without its length nobody knows
where the next one begins.
"""

import contextlib
import datetime
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAGIC = b"nova_xen_overcommit history 1\n"
SUFFIX = ".history"

_FRAME = struct.Struct("<II")
_STEP = struct.Struct("<IHQ")
_GUEST = struct.Struct("<IIII")
_LENGTH = struct.Struct("<I")
_GUEST_TAG, _STEP_TAG = b"G", b"S"
# No host has a million guests.
_LONGEST = 2**24
# The latest time that a record can have.
LAST_S = 2**32 - 1


class GuestStep(NamedTuple):
    """One guest in one step; KiB, 0 for unknown."""

    vm: str
    size_kib: int
    demand_kib: int
    used_kib: int


class HostStep(NamedTuple):
    """One step of a host: what each of its guests needed most.

    ``demand_kib`` is the highest sum that was seen at any one moment.
    """

    time_s: int
    step_s: int
    demand_kib: int
    guests: Sequence[GuestStep]


class Damaged(Exception):
    """A record isn't whole; the text says where."""


def file_of(directory: Path, time_s: int) -> Path:
    """Give the file in which a step that began at ``time_s`` is kept."""
    return directory / (_day(time_s).isoformat() + SUFFIX)


def _day(time_s: int) -> datetime.date:
    epoch = datetime.date(1970, 1, 1)
    return epoch + datetime.timedelta(days=time_s // 86400)


def files(
    directory: Path, since_s: float = 0, suffix: str = SUFFIX
) -> list[Path]:
    """Give the files of all days since that of ``since_s``, oldest first.

    Whatever else lies in the directory is none of ours.

    :raises OSError: the directory can't be read.
    """
    first = _day(max(0, int(since_s))).isoformat()
    return sorted(
        path
        for path in directory.iterdir()
        if path.suffix == suffix and _is_day(path.stem) and path.stem >= first
    )


def _is_day(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return datetime.date.fromisoformat(text).isoformat() == text
    return False


class Encoder:
    """Makes the records of one file; knows which guests it has."""

    def __init__(self, guests: Sequence[str] = ()) -> None:
        self._guests = {name: index for index, name in enumerate(guests)}

    def encode(self, step: HostStep) -> bytes:
        """Give the bytes to be written for a step, new guests included."""
        records = []
        for guest in step.guests:
            if guest.vm not in self._guests:
                self._guests[guest.vm] = len(self._guests)
                records.append(_framed(_GUEST_TAG + guest.vm.encode()))
        body = _STEP.pack(step.time_s, step.step_s, step.demand_kib)
        body += b"".join(
            _GUEST.pack(self._guests[guest.vm], *guest[1:])
            for guest in step.guests
        )
        records.append(_framed(_STEP_TAG + body))
        return b"".join(records)


def _framed(content: bytes) -> bytes:
    length = _LENGTH.pack(len(content))
    checksum = zlib.crc32(content, zlib.crc32(length))
    return length + _LENGTH.pack(checksum) + content


class Reader:
    """Reads one file from its beginning.

    ``end`` is where the last whole record ends, ``guests`` are those that
    the file has named so far.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.end = 0
        self.guests: list[str] = []

    def steps(self) -> Iterator[HostStep]:
        """Give the steps one by one.

        :raises Damaged: what follows is no whole record.
        :raises OSError: the file can't be read.
        """
        found = self._file.read(len(MAGIC))
        if not found:
            return
        if found != MAGIC:
            raise Damaged("it doesn't begin as a history does")
        self.end = len(MAGIC)
        while (content := self._record()) is not None:
            step = self._understand(content)
            self.end += _FRAME.size + len(content)
            if step is not None:
                yield step

    def _record(self) -> bytes | None:
        head = self._file.read(_FRAME.size)
        if not head:
            return None
        if len(head) == _FRAME.size:
            length, checksum = _FRAME.unpack(head)
            if length <= _LONGEST:
                content = self._file.read(length)
                before = zlib.crc32(head[: _LENGTH.size])
                if zlib.crc32(content, before) == checksum:
                    return content
        raise self._damaged()

    def _understand(self, content: bytes) -> HostStep | None:
        tag, body = content[:1], content[1:]
        try:
            if tag == _GUEST_TAG:
                self.guests.append(body.decode())
                return None
            if tag == _STEP_TAG:
                return self._step(body)
        except (IndexError, UnicodeDecodeError, struct.error):
            pass
        raise self._damaged()

    def _step(self, body: bytes) -> HostStep:
        time_s, step_s, demand_kib = _STEP.unpack_from(body)
        guests = [
            GuestStep(self.guests[index], size_kib, need_kib, used_kib)
            for index, size_kib, need_kib, used_kib in _GUEST.iter_unpack(
                body[_STEP.size :]
            )
        ]
        return HostStep(time_s, step_s, demand_kib, guests)

    def _damaged(self) -> Damaged:
        return Damaged(f"no whole record at byte {self.end}")
