# SPDX-License-Identifier: Apache-2.0
"""Writes and reads a directory of history; may wait for the disk."""

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from nova_xen_overcommit.agent.history import records
from nova_xen_overcommit.agent.history.records import HostStep

LOG = logging.getLogger(__name__)

_LOCK = "lock"
_DAMAGED = ".damaged"


def read(
    directory: Path,
    since_s: float = 0,
    damaged: Callable[[str], None] = LOG.warning,
) -> Iterator[HostStep]:
    """Give all steps since the day of ``since_s``, as they were written.

    :raises OSError: the directory or a file can't be read.
    """
    for path in records.files(directory, since_s):
        yield from read_file(path, damaged)


def read_file(
    path: Path, damaged: Callable[[str], None] = LOG.warning
) -> Iterator[HostStep]:
    """Give the steps of a file up to its first damaged record.

    ``damaged`` is told of that. The newest record of a file that is being
    written may be one of those.

    :raises OSError: the file can't be read.
    """
    try:
        with path.open("rb") as file:
            yield from records.Reader(file).steps()
    except records.Damaged as error:
        damaged(f"{path} is damaged, the rest of it is left out: {error}")


class Directory:
    """A directory that this process writes alone.

    :raises OSError: from any method, whatever the disk says. What was
        begun is undone then, or by the next write.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = -1
        self._file = -1
        self._written = Path()
        self._end = 0
        self._encoder = records.Encoder()

    def lock(self) -> None:
        """Make the directory and wait until nobody else writes there."""
        if self._lock >= 0:
            return
        self._path.mkdir(mode=0o750, parents=True, exist_ok=True)
        lock = os.open(self._path / _LOCK, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                LOG.warning(
                    "%s is written by another agent; waiting for its end",
                    self._path,
                )
                fcntl.flock(lock, fcntl.LOCK_EX)
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock

    def append(self, step: HostStep) -> None:
        """Write a step, whole or not at all, and see that it is there."""
        self.lock()
        path = records.file_of(self._path, step.time_s)
        try:
            if self._file < 0 or path != self._written:
                self._open(path)
            self._write(self._encoder.encode(step))
        except BaseException:
            self._undo()
            raise

    def _open(self, path: Path) -> None:
        """Open the file of a day, after its last whole record."""
        self._close_file()
        self._end, guests = _mended(path)
        self._encoder = records.Encoder(guests)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.open(path, flags, 0o640)
        self._written = path
        if not self._end:
            self._write(records.MAGIC)
            self._sync_directory()

    def _write(self, content: bytes) -> None:
        left = memoryview(content)
        while left:
            left = left[os.write(self._file, left) :]
        os.fdatasync(self._file)
        self._end += len(content)

    def _undo(self) -> None:
        """Take back part of a record; what can't be is cut when mended."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self._end)
        self._close_file()

    def _sync_directory(self) -> None:
        directory = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def drop_before(self, time_s: float) -> None:
        """Remove the files of all days before that of ``time_s``."""
        for suffix in (records.SUFFIX, _DAMAGED):
            kept = records.files(self._path, time_s, suffix)
            for path in records.files(self._path, suffix=suffix):
                if path not in kept:
                    path.unlink()
                    LOG.info("%s is dropped: it is too old", path)

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def close(self) -> None:
        """Let others write."""
        self._close_file()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _mended(path: Path) -> tuple[int, list[str]]:
    """Give where a file ends, once nothing damaged is left in it.

    What would be written behind a damaged record could not be read. Also
    gives the guests that the file names.
    """
    if not path.exists():
        return 0, []
    with path.open("rb") as file:
        reader = records.Reader(file)
        try:
            for _step in reader.steps():
                pass
        except records.Damaged as error:
            _cut(path, reader.end, error)
    return reader.end, reader.guests


def _cut(path: Path, end: int, error: records.Damaged) -> None:
    if end:
        os.truncate(path, end)
        LOG.warning("%s is damaged, and begins anew there: %s", path, error)
    else:
        # None of ours, perhaps of a later release.
        aside = path.with_suffix(_DAMAGED)
        path.replace(aside)
        LOG.warning(
            "%s is damaged, and begins anew; it is now %s: %s",
            path,
            aside,
            error,
        )
