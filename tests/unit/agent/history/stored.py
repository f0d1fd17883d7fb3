# SPDX-License-Identifier: Apache-2.0
"""Steps to be written, and a directory for them."""

import tempfile
import unittest
from pathlib import Path

from nova_xen_overcommit.agent.history import files
from nova_xen_overcommit.agent.history.records import GuestStep, HostStep

# 2026-11-23 00:00 UTC
DAY = 1_795_392_000
FILE = "2026-11-23.history"


def step(number: int, guests: int = 2, begin_s: int = DAY) -> HostStep:
    """Give a step of guests that all need something else."""
    return HostStep(
        time_s=begin_s + 300 * number,
        step_s=300,
        demand_kib=1000 * number + 7,
        guests=[
            GuestStep(f"guest-{index}", 1 << 20, 100 * number + index, index)
            for index in range(guests)
        ],
    )


class StoredTest(unittest.TestCase):
    """Has a directory of its own, ``path``."""

    def setUp(self) -> None:
        # In memory where that can be had: nobody waits for a disk.
        shared = Path("/dev/shm")
        place = shared if shared.is_dir() else None
        directory = tempfile.TemporaryDirectory(dir=place)
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "history"

    def directory(self) -> files.Directory:
        directory = files.Directory(self.path)
        self.addCleanup(directory.close)
        return directory

    def write(self, *steps: HostStep) -> None:
        directory = self.directory()
        for one in steps:
            directory.append(one)
        directory.close()

    def read(self) -> tuple[list[HostStep], list[str]]:
        """Give what is there, and what was said of damage."""
        said: list[str] = []
        return list(files.read(self.path, damaged=said.append)), said
