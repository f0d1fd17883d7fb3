# SPDX-License-Identifier: Apache-2.0
"""Write an initramfs (cpio "newc", gzip) from a list of files."""

import dataclasses
import gzip
import pathlib
import stat
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Entry:
    """One file, directory or symbolic link of the archive."""

    name: str
    mode: int
    data: bytes = b""


def directory(name: str) -> Entry:
    return Entry(name, stat.S_IFDIR | 0o755)


def program(name: str, source: pathlib.Path) -> Entry:
    return Entry(name, stat.S_IFREG | 0o755, source.read_bytes())


def link(name: str, target: str) -> Entry:
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _record(number: int, entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    fields = (
        number,
        entry.mode,
        0,
        0,
        2 if stat.S_ISDIR(entry.mode) else 1,
        0,
        len(entry.data),
        0,
        0,
        0,
        0,
        len(name),
        0,
    )
    head = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(head + name) + _padded(entry.data)


def write(path: pathlib.Path, entries: Iterable[Entry]) -> None:
    """Write ``entries`` in order; parents must come before children."""
    end = Entry("TRAILER!!!", 0)
    records = [_record(n, e) for n, e in enumerate([*entries, end], 1)]
    path.write_bytes(gzip.compress(b"".join(records), 6, mtime=0))
