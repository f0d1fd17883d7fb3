# SPDX-License-Identifier: Apache-2.0
"""Where the lab keeps what it builds and what it runs."""

import os
import pathlib

LAB = pathlib.Path(__file__).resolve().parent
TREE = LAB.parents[1]
CONSTRAINTS = LAB / "constraints.txt"


def cache() -> pathlib.Path:
    """The cache's directory, kept between labs."""
    told = os.environ.get("NOVA_XEN_OVERCOMMIT_LAB_CACHE")
    if told:
        return pathlib.Path(told)
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "nova-xen-overcommit-lab"


def run() -> pathlib.Path:
    """The running lab's directory: on disk, since it holds a disk."""
    return cache() / "run"


def logs() -> pathlib.Path:
    """Logs outlive the lab: they say why one failed."""
    return cache() / "logs"
