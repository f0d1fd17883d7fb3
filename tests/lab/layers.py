# SPDX-License-Identifier: Apache-2.0
"""Built things, kept by what they are made of."""

import hashlib
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterable

from tests.lab import paths, steps

_KEEP_DAYS = 14


def key(*parts: str | bytes | pathlib.Path) -> str:
    """A short hash of texts and of files' contents."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, pathlib.Path):
            part = part.read_bytes()
        data = part.encode() if isinstance(part, str) else part
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()[:16]


def layer(
    name: str,
    content_key: str,
    build: Callable[[pathlib.Path], None],
) -> pathlib.Path:
    """Give the directory of a layer, built if it isn't there yet.

    ``build`` fills an empty directory, which gets its final name only when
    that succeeded: a layer is whole or absent.
    """
    final = paths.cache() / f"{name}-{content_key}"
    if final.is_dir():
        os.utime(final)
        return final
    work = final.with_suffix(".part")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    start_s = time.monotonic()
    build(work)
    work.rename(final)
    steps.say(f"built {name} in {time.monotonic() - start_s:.0f} s")
    return final


def drop_old(used: Iterable[pathlib.Path]) -> None:
    """Remove layers that no lab has used for two weeks."""
    oldest = time.time() - _KEEP_DAYS * 86400
    kept = set(used)
    for path in paths.cache().glob("*-*"):
        if path not in kept and path.stat().st_mtime < oldest:
            shutil.rmtree(path, ignore_errors=True)
