# SPDX-License-Identifier: Apache-2.0
"""History on disk: what was written whole is read, whatever happens."""

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nova_xen_overcommit.agent.history import files, records
from tests.unit.agent.history.stored import DAY, FILE, StoredTest, step

ROOT = Path(__file__).parents[4]
MB = 1_000_000
YEAR_DAYS = 365
# Writes without end; says when it has begun.
WRITER = """
    import sys
    from pathlib import Path
    from nova_xen_overcommit.agent.history import files
    from tests.unit.agent.history.stored import step

    directory = files.Directory(Path(sys.argv[1]))
    for number in range(10**9):
        directory.append(step(number % 288, guests=40))
        if number == 20:
            print("begun", flush=True)
"""


class WrittenTest(StoredTest):
    def test_what_was_written_is_read(self) -> None:
        steps = [step(0), step(1, guests=3), step(2, guests=1)]
        self.write(*steps)
        self.assertEqual((steps, []), self.read())

    def test_a_new_process_goes_on_where_the_last_one_ended(self) -> None:
        self.write(step(0))
        self.write(step(1, guests=3))
        self.assertEqual(([step(0), step(1, guests=3)], []), self.read())

    def test_each_day_has_its_file(self) -> None:
        steps = [step(287), step(288), step(289)]
        self.write(*steps)
        self.assertEqual((steps, []), self.read())
        names = [path.name for path in records.files(self.path)]
        self.assertEqual([FILE, "2026-11-24.history"], names)
        self.assertEqual(steps[1:], list(files.read(self.path, DAY + 86400)))

    def test_a_clock_set_back_opens_the_older_file_again(self) -> None:
        self.write(step(0), step(288), step(1), step(289))
        found, damage = self.read()
        self.assertEqual([step(0), step(1), step(288), step(289)], found)
        self.assertEqual([], damage)

    def test_what_is_too_old_is_dropped_and_nothing_else(self) -> None:
        self.write(step(0), step(288), step(2 * 288))
        (self.path / "2020-01-01.damaged").touch()
        (self.path / "2020-01-01.notes").touch()
        directory = self.directory()
        directory.drop_before(DAY + 86400 + 5)
        left = sorted(path.name for path in self.path.iterdir())
        self.assertEqual(
            [
                "2020-01-01.notes",
                "2026-11-24.history",
                "2026-11-25.history",
                "lock",
            ],
            left,
        )

    def test_only_one_agent_writes(self) -> None:
        # Given an agent at work, and another that wants to write there
        self.write(step(0))
        first, second = self.directory(), self.directory()
        first.lock()
        writer = threading.Thread(target=second.append, args=(step(1),))
        with self.assertLogs(files.LOG, "WARNING") as logs:
            writer.start()
            writer.join(0.5)
            # Then that one waits, and says so
            self.assertTrue(writer.is_alive())
            self.assertEqual(([step(0)], []), self.read())
            # Until the first one ends
            first.close()
            writer.join()
        self.assertIn("another agent", logs.output[0])
        self.assertEqual(([step(0), step(1)], []), self.read())

    def writer(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(self.path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

        def end() -> None:
            process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def test_sigkill_costs_at_most_the_record_under_way(self) -> None:
        for _ in range(3):
            # Given a process that writes as fast as it can
            writer = self.writer()
            self.assertEqual("begun\n", writer.stdout.readline())
            # When it is killed
            writer.kill()
            writer.wait()
            # Then all records are whole, but for the last one at most
            before, _damage = self.read()
            self.assertGreater(len(before), 20)
            for number, found in enumerate(before[:20]):
                self.assertEqual(step(number, guests=40), found)
            # And the next one can be written and read
            self.write(step(3))
            self.assertEqual((before + [step(3)], []), self.read())
            (self.path / FILE).unlink()


class SizeTest(StoredTest):
    """A month is really written, in steps of five minutes."""

    def year_of(self, guests: int) -> float:
        """Give the megabytes that one guest takes in a year."""
        days = 30
        self.write(*(step(n, guests) for n in range(days * 288)))
        taken = sum(path.stat().st_size for path in self.path.iterdir())
        return taken / MB / days * YEAR_DAYS / guests

    def test_a_guest_alone_takes_less_than_5_mb_a_year(self) -> None:
        self.assertLess(self.year_of(1), 4.2)

    def test_one_of_many_takes_less_than_2(self) -> None:
        self.assertLess(self.year_of(10), 2.0)


class DamageTest(StoredTest):
    STEPS = [step(0), step(1), step(2, guests=3), step(3, guests=3)]

    def setUp(self) -> None:
        super().setUp()
        self.write(*self.STEPS)
        self.file = self.path / FILE
        self.whole = self.file.read_bytes()

    def whole_steps(self, size: int) -> int:
        """Give how many steps end within the first ``size`` bytes."""
        count, encoder, end = 0, records.Encoder(), len(records.MAGIC)
        for one in self.STEPS:
            end += len(encoder.encode(one))
            count += end <= size
        return count

    def assert_mended(self, kept: int) -> None:
        """What is whole is read; what is written next is read, too."""
        with self.assertLogs(files.LOG, "WARNING") as logs:
            self.write(step(9))
        self.assertIn(str(self.file), logs.output[0])
        self.assertEqual((self.STEPS[:kept] + [step(9)], []), self.read())

    def test_cut_at_every_byte(self) -> None:
        for size in range(1, len(self.whole)):
            self.file.write_bytes(self.whole[:size])
            steps = self.whole_steps(size)
            found, damage = self.read()
            self.assertEqual(self.STEPS[:steps], found, size)
            # A cut between two records can't be seen, and does no harm.
            for complaint in damage:
                self.assertIn(str(self.file), complaint)
        self.assert_mended(3)

    @settings(max_examples=20, deadline=None)
    @given(st.data())
    def test_cut_anywhere_it_is_mended(self, data) -> None:
        size = data.draw(st.integers(1, len(self.whole)))
        self.file.write_bytes(self.whole[:size])
        kept = self.whole_steps(size)
        self.write(step(9))
        self.assertEqual((self.STEPS[:kept] + [step(9)], []), self.read())

    def test_a_change_of_any_byte_is_seen(self) -> None:
        for at in range(len(self.whole)):
            changed = bytearray(self.whole)
            changed[at] ^= 1 + at % 255
            self.file.write_bytes(changed)
            found, damage = self.read()
            self.assertEqual(self.STEPS[: self.whole_steps(at)], found, at)
            self.assertEqual(1, len(damage))
            self.assertIn(str(self.file), damage[0])

    @settings(max_examples=20, deadline=None)
    @given(st.data())
    def test_changed_anywhere_it_is_mended(self, data) -> None:
        at = data.draw(st.integers(0, len(self.whole) - 1))
        changed = bytearray(self.whole)
        changed[at] ^= data.draw(st.integers(1, 255))
        self.file.write_bytes(changed)
        self.assert_mended(self.whole_steps(at))
        for aside in self.path.glob("*.damaged"):
            aside.unlink()

    @settings(max_examples=50, deadline=None)
    @given(st.binary(max_size=200), st.booleans())
    def test_rubbish_is_no_history(self, rubbish, behind) -> None:
        assume(behind or rubbish != records.MAGIC)
        self.file.write_bytes(self.whole + rubbish if behind else rubbish)
        found, damage = self.read()
        self.assertEqual(self.STEPS if behind else [], found)
        self.assertEqual(bool(rubbish), bool(damage))

    def test_zeros_after_a_power_failure_are_cut(self) -> None:
        self.file.write_bytes(self.whole + bytes(4096))
        self.assert_mended(len(self.STEPS))

    def test_a_file_of_another_release_is_put_aside(self) -> None:
        other = b"nova_xen_overcommit history 2\n" + bytes(100)
        self.file.write_bytes(other)
        self.assert_mended(0)
        aside = self.file.with_suffix(".damaged")
        self.assertEqual(other, aside.read_bytes())

    def test_other_days_are_read_all_the_same(self) -> None:
        self.write(step(288))
        self.file.write_bytes(b"?")
        found, damage = self.read()
        self.assertEqual(([step(288)], 1), (found, len(damage)))


class FullDiskTest(StoredTest):
    # A record is written in part, then the limit is reached.
    WRITER = """
        import resource, sys
        from pathlib import Path
        from nova_xen_overcommit.agent.history import files
        from tests.unit.agent.history.stored import step

        directory = files.Directory(Path(sys.argv[1]))
        directory.append(step(0))
        limit = int(sys.argv[2])
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        failures = 0
        for number in range(1, 4):
            try:
                directory.append(step(number, guests=30))
            except OSError:
                failures += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        directory.append(step(4))
        print(failures)
    """

    def test_nothing_is_left_of_what_could_not_be_written(self) -> None:
        for limit in (200, 333, 500):
            with self.subTest(limit=limit):
                done = subprocess.run(
                    [
                        sys.executable,
                        "-c",
                        textwrap.dedent(self.WRITER),
                        str(self.path),
                        str(limit),
                    ],
                    cwd=ROOT,
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                    env={**os.environ, "PYTHONWARNINGS": "ignore"},
                )
                self.assertEqual("3\n", done.stdout)
                self.assertEqual(([step(0), step(4)], []), self.read())
                (self.path / FILE).unlink()
