# SPDX-License-Identifier: Apache-2.0
"""Real guests on a real libvirtd and QEMU, balanced by the real agent."""

import contextlib
import os
import pathlib
import signal
import tempfile
import time
import unittest
import uuid
from collections.abc import Callable
from typing import Any

import libvirt

from nova_xen_overcommit import guest_metadata
from nova_xen_overcommit.agent import protocol
from tests.kvm import agent as kvm_agent
from tests.kvm import guests, images, libvirtd, memory_limit
from tests.lab import guests as lab_guests
from tests.lab import packages, paths, steps

_KIB = 1024
FLAVOR_MIB = 256
SWAP_MIB = 256
# Three guests of 256 MiB and what QEMU takes beside them.
HOST_MIB = 800
MOST_WITHOUT = HOST_MIB // FLAVOR_MIB
NEED_MIB = 100
# What a guest lacks while nobody gives.
_TAKEN_MIB = 24
# Plain QEMU on a busy machine: a guest boots in 5 s, or in 100.
PATIENCE_S = 120.0
_OPTIONS = {
    "mode": "balance",
    "reserve_mib": 48,
    "cool_down_s": 2,
    "demand_decay_s": 5,
    "tick_interval_s": 0.5,
}


class KvmTest(unittest.TestCase):
    """Four guests where three fit; one is in need, one helps itself."""

    @classmethod
    def setUpClass(cls) -> None:
        """Bring the host up, or say why that can't be here."""
        if os.environ.get("NOVA_XEN_OVERCOMMIT_KVM") == "0":
            raise unittest.SkipTest("NOVA_XEN_OVERCOMMIT_KVM is 0")
        log = paths.cache() / "kvm.log"
        if not libvirtd.missing().startswith("root"):
            packages.install(log, "kvm")
        why = libvirtd.missing()
        if why:
            raise unittest.SkipTest(f"no QEMU host can be made: {why}")
        limit = memory_limit.MemoryLimit.make(HOST_MIB)
        if limit is None:
            raise unittest.SkipTest("no control group can be made here")
        cls.limit = limit
        cls.addClassCleanup(limit.remove)
        cls.images = images.build(log)
        cls.host = libvirtd.Libvirtd(limit)
        cls.enterClassContext(cls.host)
        cls.connection = libvirt.open(cls.host.uri)
        cls.addClassCleanup(cls.connection.close)
        cls.consoles = guests.Consoles(cls.connection)

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="nxo-kvm-agent-")
        self.addCleanup(directory.cleanup)
        total_kib = self.connection.getMemoryStats(-1, 0)["total"]
        self.agent = kvm_agent.Agent(
            pathlib.Path(directory.name),
            **_OPTIONS
            | {
                "connection_uri": self.host.uri,
                "guests_cgroup": self.limit.path,
                "host_reserved_mib": total_kib // _KIB - HOST_MIB,
            },
        )
        self.enterContext(self.agent)
        self.addCleanup(self._tell_of_failure)

    def _tell_of_failure(self) -> None:
        outcome = self._outcome
        if outcome is not None and outcome.result.wasSuccessful():
            return
        steps.say(self.agent.log.read_text()[-4000:])
        for console in self.host.root.glob("*/console.log"):
            told = console.read_text(errors="replace")
            steps.say(f"{console}: {told[-1500:]}")

    # How a guest starts, as the driver starts it.

    def start(self, name: str, swap_mib: int) -> lab_guests.Guest:
        request = protocol.StartRequest(
            uuid=str(uuid.uuid4()),
            name=name,
            flavor_kib=FLAVOR_MIB * _KIB,
            # What the rule of swap counts; the guest may have less.
            swap_kib=SWAP_MIB * _KIB,
        )
        with self.agent.client.reserve(request, 120) as grant:
            domain = self.connection.createXML(
                self._xml(request, grant.start_kib, swap_mib), 0
            )
        return guests.named(self.consoles, domain)

    def _xml(
        self, request: protocol.StartRequest, start_kib: int, swap_mib: int
    ) -> str:
        directory = self.host.root / request.name
        directory.mkdir()
        disks = guests.disk(directory, "disk.vda", 1)
        if swap_mib:
            disks += guests.disk(directory, "disk.swap.vdb", swap_mib)
        told = guest_metadata.GuestMetadata(swap_kib=request.swap_kib)
        attributes = " ".join(
            f"{name}='{value}'" for name, value in told.to_attributes().items()
        )
        return guests.definition(
            name=request.name,
            uuid=request.uuid,
            metadata=(
                f"<x:guest xmlns:x='{guest_metadata.NAMESPACE}' {attributes}/>"
            ),
            flavor_mib=FLAVOR_MIB,
            start_kib=start_kib,
            images=self.images,
            cmdline=images.KERNEL_ARGS,
            disks=disks,
            console_log=directory / "console.log",
        )

    # What is seen, by the agent and by others.

    def told(self, guest: lab_guests.Guest) -> dict[str, Any]:
        """Give the guest's row of the agent's status."""
        rows = self.agent.client.status()["guests"]
        return next(row for row in rows if row["uuid"] == guest.uuid)

    def balloon_kib(self, guest: lab_guests.Guest) -> int:
        """Ask QEMU itself what a guest's balloon leaves it."""
        domain = self.connection.lookupByName(guest.domain)
        return int(domain.memoryStats()["actual"])

    def until(self, what: str, ready: Callable[[], bool]) -> float:
        """Wait; give how long that took."""
        began_s = time.monotonic()

        def quietly() -> bool:
            with contextlib.suppress(lab_guests.GuestError):
                return ready()
            return False

        steps.wait_until(what, quietly, PATIENCE_S, self.agent.log)
        return time.monotonic() - began_s

    def answers(self, guest: lab_guests.Guest) -> bool:
        return guest.run("echo well", 5).split() == ["well"]

    def test_more_run_than_fit_and_each_has_what_it_needs(self) -> None:
        """Given room for three guests, when four run, then all are well.

        One of them has no swap: when it is out of memory while the agent
        is stopped, it takes its own back, and the agent counts that as had.
        """
        # When one more starts than there is memory for
        running = []
        for number in range(MOST_WITHOUT + 1):
            guest = self.start(f"guest{number}", SWAP_MIB if number else 0)
            running.append(guest)
            took_s = self.until(
                f"{guest.name} boots", lambda g=guest: self.answers(g)
            )
            # Then each is known to use less than its balloon leaves it
            self.until(f"{guest.name} is known", lambda g=guest: self.known(g))
            steps.say(f"{guest.name} boots in {took_s:.1f} s")
        self.check_sums(running)
        self.check_need_is_met(running[1])
        self.check_taken_back(running[0])
        self.check_sums(running)
        for guest in running:
            self.assertTrue(self.answers(guest), guest.name)
        self.assertEqual(0, self.limit.killed())

    def known(self, guest: lab_guests.Guest) -> bool:
        row = self.told(guest)
        used_kib = row["used_kib"]
        return used_kib is not None and used_kib < row["actual_kib"]

    def check_sums(self, running: list[lab_guests.Guest]) -> None:
        """What guests have in all, QEMU included, fits the host."""
        held_kib = sum(map(self.balloon_kib, running))
        report = self.agent.client.report()
        steps.say(
            f"{len(running)} guests of {FLAVOR_MIB} MiB hold "
            f"{held_kib // _KIB}; QEMU and guests "
            f"{self.limit.used_kib() // _KIB} of {HOST_MIB} MiB; the agent "
            f"says {report.free_mib} free, promises {report.promise_mib}"
        )
        self.assertLessEqual(held_kib, HOST_MIB * _KIB)
        self.assertLessEqual(
            report.free_mib * _KIB, HOST_MIB * _KIB - held_kib
        )

    def check_need_is_met(self, guest: lab_guests.Guest) -> None:
        before_kib = self.balloon_kib(guest)
        pid = guest.eat(NEED_MIB, 100)
        met_s = self.until(
            f"{guest.name} has {NEED_MIB} MiB",
            lambda: guest.eaten_kib(pid)[0] >= NEED_MIB * _KIB,
        )
        now_kib = self.balloon_kib(guest)
        steps.say(
            f"{guest.name} has its {NEED_MIB} MiB in RAM after {met_s:.1f} "
            f"s; balloon {before_kib // _KIB} -> {now_kib // _KIB} MiB"
        )
        self.assertEqual(0, guest.oom_kills())
        guest.stop_eating()

    def check_taken_back(self, guest: lab_guests.Guest) -> None:
        """Out of memory while nobody gives: it helps itself, and keeps it."""
        self.until(
            "the guest without swap is small",
            lambda: self.balloon_kib(guest) < (FLAVOR_MIB - 64) * _KIB,
        )
        # Its kernel frees a MiB each time it is out of memory, which takes
        # an emulated one a while.
        row = self.told(guest)
        more_kib = row["actual_kib"] - row["used_kib"] + _TAKEN_MIB * _KIB
        self.agent.signal(signal.SIGSTOP)
        before_kib = self.balloon_kib(guest)
        pid = guest.eat(more_kib // _KIB, 100)
        self.until(
            "it takes its memory back",
            lambda: self.balloon_kib(guest) >= before_kib + 8 * _KIB,
        )
        self.until(
            "it has it",
            lambda: guest.eaten_kib(pid)[0] >= more_kib - _KIB,
        )
        took_kib = self.balloon_kib(guest) - before_kib
        self.assertEqual(0, guest.oom_kills())
        self.agent.signal(signal.SIGCONT)
        self.until(
            "the agent counts it",
            lambda: self.told(guest)["target_kib"] >= before_kib + took_kib,
        )
        steps.say(f"{guest.name} took {took_kib // _KIB} MiB back unasked")
