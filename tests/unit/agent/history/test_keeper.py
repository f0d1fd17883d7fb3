# SPDX-License-Identifier: Apache-2.0
"""The thread that keeps the history: whatever the disk does."""

import os
import resource
import threading
import time
from pathlib import Path

from nova_xen_overcommit.agent import build
from nova_xen_overcommit.agent.history import DemandHistory
from nova_xen_overcommit.agent.history.keeper import Keeper
from nova_xen_overcommit.agent.history.past import Past
from tests.simulator import MIB
from tests.simulator.production import configured
from tests.unit.agent.harness import Harness
from tests.unit.agent.history.stored import DAY, FILE, StoredTest, step
from tests.unit.agent.idle_guest import SCENARIO

PATIENCE_S = 20.0
WEEK_S = 7 * 86400


class KeeperTest(StoredTest):
    now_s = DAY + 3000.0

    def keeper(self, **more) -> Keeper:
        kept = {"history_s": WEEK_S, "keep_s": 30 * 86400} | more
        made = Keeper(self.path, wall_s=lambda: self.now_s, **kept).start()
        self.addCleanup(made.close)
        return made

    def until(self, condition, what: str):
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            if found := condition():
                return found
            time.sleep(0.01)
        raise self.failureException(f"{what} takes too long")

    def loaded(self, of: Keeper) -> Past:
        return self.until(of.loaded, "reading")


class KeptTest(KeeperTest):
    def test_what_one_wrote_the_next_one_knows(self) -> None:
        first = self.keeper()
        for number in (7, 8, 9):
            first.put(step(number))
        first.close()
        past = self.loaded(self.keeper())
        self.assertEqual([700, 800, 900, 0], self.sums_of(past))

    def sums_of(self, past: Past) -> list[int]:
        # What is open has nothing in it yet.
        return past.sums({"guest-0": None})[:3] + [past.open_kib]

    def test_it_is_told_once(self) -> None:
        made = self.keeper()
        self.loaded(made)
        self.assertIsNone(made.loaded())

    def test_what_is_too_old_is_dropped(self) -> None:
        self.write(step(0), step(288))
        made = self.keeper(keep_s=86400)
        self.now_s = DAY + 2.5 * 86400
        made.put(step(2 * 288))
        made.close()
        names = sorted(path.name for path in self.path.glob("*.history"))
        self.assertEqual(["2026-11-24.history", "2026-11-25.history"], names)


class BadDiskTest(KeeperTest):
    def warned(self, action) -> list[str]:
        """Give what is warned of while ``action`` is done."""
        with self.assertLogs("nova_xen_overcommit", "WARNING") as logs:
            action()
        return logs.output

    def test_a_directory_that_cannot_be_made_is_told_of_once(self) -> None:
        self.path.touch()

        def run() -> None:
            made = self.keeper()
            self.assertEqual({}, self.loaded(made).guests)
            for number in range(5):
                made.put(step(number))
            made.close()

        said = self.warned(run)
        self.assertEqual(1, len(said), said)
        self.assertIn(str(self.path), said[0])

    def test_a_full_disk_is_told_of_once_and_balancing_goes_on(self) -> None:
        # Given an agent with a history and a guest
        harness = Harness()
        harness.host.start(wants_kib=100 * MIB)
        now_s = harness.host.clock
        history = DemandHistory(
            60,
            Keeper(self.path, 60, 1e9, now_s.wall_s).start(),
        )
        harness.agent._reporter._history = history
        self.addCleanup(history.close)
        # Passes may be over before the history is read

        def written() -> list[Path]:
            harness.run(1)
            return list(self.path.glob("*.history"))

        self.until(written, "writing")

        with self.assertLogs("nova_xen_overcommit", "WARNING") as logs:
            # When no file may grow any more, for many steps
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (150, hard))
            try:
                for _ in range(6):
                    harness.run(5)
                    self.until(history._store._waiting.empty, "trying")
                self.until(lambda: logs.output, "complaining")
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        # Then that is said once
        self.assertEqual(1, len(logs.output), logs.output)
        self.assertIn("File too large", logs.output[0])
        # And every pass succeeds meanwhile, with all that was seen
        self.assertEqual(0, harness.agent.status()["failures"])
        self.assertGreaterEqual(harness.agent.status()["past_s"], 25)
        # And when there is room again history is kept again
        before = len(self.read()[0])
        harness.run(5.5)
        self.until(lambda: len(self.read()[0]) > before, "writing again")
        self.assertEqual([], self.read()[1])

    def test_a_disk_that_hangs_stops_no_pass(self) -> None:
        # Given a file whose reading never ends, as on a dead server
        self.path.mkdir(parents=True)
        os.mkfifo(self.path / FILE)
        made = self.keeper()
        self.addCleanup(self.release, made)
        history = DemandHistory(WEEK_S, made)
        harness = Harness(warm_up_s=0)
        harness.agent._reporter._history = history
        harness.host.start(wants_kib=100 * MIB)
        harness.host.clock.wall_offset_s = DAY
        # When the agent goes on for hours
        longest_s = 0.0
        with self.assertLogs("nova_xen_overcommit", "WARNING") as logs:
            for _ in range(3 * 3600 // 20):
                began_s = time.thread_time()
                waited_s = time.monotonic()
                harness.agent.tick()
                longest_s = max(longest_s, time.thread_time() - began_s)
                self.assertLess(time.monotonic() - waited_s, PATIENCE_S)
                harness.host.run(20)
        # Then no pass has waited for it, and each did its work
        self.assertLess(longest_s, 0.5)
        status = harness.agent.status()
        self.assertEqual(0, status["failures"])
        self.assertGreaterEqual(status["past_s"], 2.5 * 3600)
        # And both that it can't be read and can't be written is told once
        self.assertEqual(2, len(logs.output), logs.output)
        self.assertIn("can't be read", logs.output[0])
        self.assertIn(str(self.path), logs.output[1])
        # And its end isn't waited for
        began_s = time.monotonic()
        history.close()
        self.assertLess(time.monotonic() - began_s, 1.0)

    def release(self, made: Keeper) -> None:
        """Let the reader go that hangs, and wait for its end."""
        fifo = os.open(self.path / FILE, os.O_RDWR | os.O_NONBLOCK)
        (self.path / FILE).unlink()
        os.close(fifo)
        self.until(made._waiting.empty, "the writer")
        made.close()

    def test_a_fault_of_ours_ends_nothing(self) -> None:
        made = self.keeper()
        self.loaded(made)
        bad = step(1)._replace(demand_kib=-1)

        def run() -> None:
            made.put(bad)
            made.put(step(2))
            made.close()

        self.assertIn("error", self.warned(run)[0])
        self.assertEqual(([step(2)], []), self.read())


class BuildTest(KeeperTest):
    """What the agent is put together with."""

    def threads(self, history_dir: str) -> int:
        scenario = self.path.parent / "scenario.toml"
        scenario.write_text(SCENARIO)
        conf = configured(
            connection_uri="test:///default",
            sensors=["simulated"],
            simulated_scenario=str(scenario),
            history_dir=history_dir,
        )
        agent = build.make_agent(conf)
        self.addCleanup(agent.close)
        agent.tick()
        return [thread.name for thread in threading.enumerate()].count(
            "history"
        )

    def test_history_is_kept_where_the_option_says(self) -> None:
        self.assertEqual(1, self.threads(str(self.path)))
        self.until(lambda: (self.path / "lock").exists(), "beginning")

    def test_without_a_directory_nothing_is_kept(self) -> None:
        self.assertEqual(0, self.threads(""))
