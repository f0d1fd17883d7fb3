# SPDX-License-Identifier: Apache-2.0
"""What the host's kernel says of its memory."""

import pathlib
import tempfile
import unittest

from nova_xen_overcommit.agent.hypervisor import host_files, kinds

MIB = 1024
TOTAL_KIB = 4096 * MIB
BYTES = 1024 * 1024
MEMINFO = f"""\
MemTotal:       {TOTAL_KIB} kB
MemFree:          102400 kB
MemAvailable:    1024000 kB
HugePages_Total:       0
"""
PRESSURE = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\nfull total=0\n"


class HostFilesCase(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        self.now_s = 100.0
        self.write("proc/meminfo", MEMINFO)
        self.files = host_files.HostFiles(
            str(self.root / "group"), self.root / "proc", lambda: self.now_s
        )

    def write(self, name: str, text: object) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}")


class AvailableTest(HostFilesCase):
    def test_it_is_what_the_kernel_says(self) -> None:
        self.assertEqual(1024000, self.files.available_kib(TOTAL_KIB))

    def test_another_host_s_is_not_ours_to_read(self) -> None:
        self.assertIsNone(self.files.available_kib(TOTAL_KIB + 4))

    def test_no_proc_tells_nothing(self) -> None:
        (self.root / "proc/meminfo").unlink()
        self.assertIsNone(self.files.available_kib(TOTAL_KIB))


class BoundTest(HostFilesCase):
    def test_no_group_bounds_nothing(self) -> None:
        self.assertIsNone(self.files.bound())

    def test_version_2_counts_file_pages_as_left(self) -> None:
        self.write("group/memory.max", 2048 * BYTES)
        self.write("group/memory.current", 1500 * BYTES)
        stat = (
            f"anon 7\ninactive_file {90 * BYTES}\nactive_file {10 * BYTES}\n"
        )
        self.write("group/memory.stat", stat)
        self.assertEqual(
            host_files.Bound(2048 * MIB, 648 * MIB), self.files.bound()
        )

    def test_version_1_is_understood(self) -> None:
        self.write("group/memory.limit_in_bytes", 2048 * BYTES)
        self.write("group/memory.usage_in_bytes", 2000 * BYTES)
        self.write("group/memory.stat", f"total_active_file {8 * BYTES}\n")
        self.assertEqual(
            host_files.Bound(2048 * MIB, 56 * MIB), self.files.bound()
        )

    def test_a_group_without_limit_bounds_nothing(self) -> None:
        self.write("group/memory.current", 7)
        self.write("group/memory.max", "max\n")
        self.assertIsNone(self.files.bound())
        self.write("group/memory.usage_in_bytes", 7)
        self.write("group/memory.limit_in_bytes", 9223372036854771712)
        self.assertIsNone(self.files.bound())


class StalledTest(HostFilesCase):
    def stalled(self, total_us: int, file="proc/pressure/memory") -> float:
        self.write(file, PRESSURE.format(total_us))
        return self.files.stalled_percent()

    def test_a_kernel_without_psi_stalls_nobody(self) -> None:
        self.assertEqual(0.0, self.files.stalled_percent())

    def test_what_was_before_we_looked_does_not_count(self) -> None:
        self.assertEqual(0.0, self.stalled(10_000_000))

    def test_it_is_the_share_since_the_last_look(self) -> None:
        self.stalled(0)
        self.now_s += 2
        self.assertEqual(25.0, self.stalled(500_000))
        self.now_s += 2
        self.assertEqual(0.0, self.stalled(500_000))

    def test_looks_that_come_close_do_not_exaggerate(self) -> None:
        self.stalled(0)
        self.now_s += 0.01
        self.assertEqual(0.0, self.stalled(9_000))

    def test_the_guests_own_group_is_asked_first(self) -> None:
        self.write("proc/pressure/memory", PRESSURE.format(0))
        self.stalled(0, "group/memory.pressure")
        self.now_s += 1
        self.assertEqual(50.0, self.stalled(500_000, "group/memory.pressure"))


class Connection:
    def getMemoryStats(self, _cell, _flags) -> dict:  # noqa: N802
        return {"total": TOTAL_KIB, "free": 3000 * MIB}


class QemuHostTest(HostFilesCase):
    """The three measures together: the smallest counts."""

    def measure(self):
        kind = kinds.Qemu(self.files, 10.0)
        return kind.host_memory(Connection(), [], 512 * MIB)

    def test_no_more_is_free_than_the_kernel_has_available(self) -> None:
        self.assertEqual(1024000, self.measure().free_kib)

    def test_a_group_s_limit_is_what_guests_can_have(self) -> None:
        self.write("group/memory.max", 2048 * BYTES)
        self.write("group/memory.current", 1500 * BYTES)
        memory = self.measure()
        usable_kib = memory.physical_kib - memory.kept_kib
        self.assertEqual(2048 * MIB - kinds.SHARED_KIB, usable_kib)
        self.assertEqual(548 * MIB, memory.free_kib)

    def test_a_host_that_stalls_has_none(self) -> None:
        self.write("proc/pressure/memory", PRESSURE.format(0))
        self.assertEqual(1024000, self.measure().free_kib)
        self.now_s += 1
        self.write("proc/pressure/memory", PRESSURE.format(200_000))
        self.assertEqual(0, self.measure().free_kib)
