# SPDX-License-Identifier: Apache-2.0
"""Run every check, as many at once as there are cores; sum up the tests.

Each check is a tox environment with a log of its own. The last line tells how
many tests passed, failed and were skipped in all of them together; a check
that fails without a failed test counts as one. The exit code is 0 only when
every check was good.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGS = ROOT / ".tox" / "logs"

# Longest first, so that none is left over at the end.
TOGETHER = (
    "functional-nova34",
    "functional-nova31",
    "packaging",
    "py3",
    "pep8",
    "mypy",
    "docs",
    "releasenotes",
)
# Need all cores, and memory that must not be shared with others; with the
# variable that leaves them out where it is 0.
ALONE = {
    "kvm": "NOVA_XEN_OVERCOMMIT_KVM",
    "lab": "NOVA_XEN_OVERCOMMIT_LAB",
}

TIMEOUT_S = 3600
TAIL_LINES = 60
_COUNT = re.compile(r"^ - (Passed|Skipped|Failed|Unexpected Success): (\d+)$")


@dataclasses.dataclass(frozen=True)
class Result:
    """How one check went."""

    name: str
    good: bool
    seconds: float
    log: pathlib.Path
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def line(self) -> str:
        """Say it in one line."""
        verdict = "ok    " if self.good else "FAILED"
        text = f"{verdict} {self.name:<20} {self.seconds:5.0f} s"
        if self.passed or self.failed or self.skipped:
            text += f"  {self.passed} passed, {self.failed} failed"
            text += f", {self.skipped} skipped"
        if not self.good:
            text += f"  see {self.log.relative_to(ROOT)}"
        return text


class Runner:
    """Starts checks and ends them when it is told to stop."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, name: str) -> Result:
        """Run one check to its end."""
        log = LOGS / f"{name}.log"
        started = time.monotonic()
        say(f"start  {name}")
        code = self._execute(name, log)
        seconds = time.monotonic() - started
        counts = read_counts(log)
        good = code == 0 and not counts["failed"]
        if not good and not counts["failed"]:
            counts["failed"] = 1
        result = Result(name, good, seconds, log, **counts)
        say(result.line())
        return result

    def stop(self) -> None:
        """End what is running, and start nothing more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                kill_group(process)

    def _execute(self, name: str, log: pathlib.Path) -> int:
        command = ["tools/tox.sh", "run", "-e", name]
        with log.open("wb") as output:
            with self._lock:
                if self._stopped:
                    return 1
                process = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self._running.add(process)
            try:
                return process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                output.write(f"\nended after {TIMEOUT_S} s\n".encode())
                return 1
            finally:
                kill_group(process)
                with self._lock:
                    self._running.discard(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
    except ProcessLookupError:
        return


def say(text: str) -> None:
    """Print a line of progress at once."""
    print(text, flush=True)


def read_counts(log: pathlib.Path) -> dict[str, int]:
    """Sum stestr's totals in a log."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    keys = {
        "Passed": "passed",
        "Skipped": "skipped",
        "Failed": "failed",
        "Unexpected Success": "failed",
    }
    for line in log.read_text(errors="replace").splitlines():
        match = _COUNT.match(line)
        if match:
            counts[keys[match[1]]] += int(match[2])
    return counts


def show_tail(result: Result) -> None:
    """Print the end of a failed check's log."""
    lines = result.log.read_text(errors="replace").splitlines()
    say(f"\n--- {result.log.relative_to(ROOT)}, last {TAIL_LINES} lines")
    for line in lines[-TAIL_LINES:]:
        say(f"    {line}")


def run_together(
    runner: Runner, names: Iterable[str], jobs: int
) -> list[Result]:
    """Run checks side by side, ``jobs`` at a time."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(runner.run, names))


def unless_left_out() -> Sequence[str]:
    """Give the checks that take the whole machine, for half an hour."""
    return [x for x, name in ALONE.items() if os.environ.get(name) != "0"]


def sum_up(results: Sequence[Result]) -> int:
    """Print the summary; gives the exit code."""
    bad = [result for result in results if not result.good]
    for result in bad:
        show_tail(result)
    say("\nsummary")
    for result in results:
        say(result.line())
    passed = sum(result.passed for result in results)
    failed = sum(result.failed for result in results)
    skipped = sum(result.skipped for result in results)
    say(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if bad else 0


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", help="tox environments; default: all checks"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the checks that the command line names."""
    arguments = parse(argv)
    names = arguments.names or [*TOGETHER, *unless_left_out()]
    LOGS.mkdir(parents=True, exist_ok=True)
    runner = Runner()
    signal.signal(signal.SIGTERM, lambda *_: runner.stop())
    try:
        together = [name for name in names if name not in ALONE]
        results = run_together(runner, together, arguments.jobs)
        results += [runner.run(name) for name in names if name in ALONE]
    except KeyboardInterrupt:
        runner.stop()
        return 130
    return sum_up(results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
