# SPDX-License-Identifier: Apache-2.0
"""``python -m demo [DIRECTORY]``: run it; results go into DIRECTORY."""

# Nova first: it selects the concurrency backend.
from demo import stack  # isort: skip

import logging
import shutil
import sys
import tempfile
from pathlib import Path

from demo import agent, ending, host, play, plot, rules
from demo.show import Show
from demo.watch import Watch
from nova_xen_overcommit.agent import client
from nova_xen_overcommit.agent.sensors.scenario import Scenario

_SCENARIO = Path(__file__).with_name("scenario.toml")
_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class Demo:
    """One run.

    ``out`` takes log, picture and scenario, ``scratch`` what passes.
    """

    def __init__(self, out: Path, scratch: Path) -> None:
        self._out = out
        self._socket = scratch / "agent.sock"
        self._uri = host.describe(scratch)
        for stale in out.glob("*.event"):
            stale.unlink()
        copy = Path(shutil.copy(_SCENARIO, out))
        self._scenario = Scenario.load(copy)
        self._conf = agent.configure(self._uri, self._socket, copy)
        self._log = _log_to(out / "demo.log")
        self._watch: Watch | None = None
        self._show = Show(
            self._scenario,
            lambda: self._watch.latest if self._watch else None,
        )
        self.outcome: play.Outcome | None = None

    def run(self) -> None:
        """Start agent and Nova, play, draw.

        :raises RuntimeError: something did not work at all.
        """
        self._introduce()
        logging.getLogger().handlers = [self._log]
        with agent.RunningAgent(self._conf):
            stack.run(stack.Where(self._uri, self._socket), self._perform)

    def _introduce(self) -> None:
        self._show.console.print(
            "Real: Nova's API, scheduler, conductor and compute manager, "
            "Placement, our filter and weigher,\nour agent on libvirt's "
            "embedded hypervisor, its balloons, reservations and report.\n"
            "Substitutes: Nova's virt driver (fake disks and networks "
            "around our memory parts), Keystone,\nGlance, Neutron and "
            "Cinder; the guests' insides, played after "
            f"{_SCENARIO.parent.name}/{_SCENARIO.name}. There a balloon\n"
            "moves in no time; on Xen it takes seconds per GiB. Waiting "
            "times that are minutes by default are\nseconds here; sizes "
            "and limits are the defaults.\n",
            markup=False,
        )

    def _perform(self, nova: stack.Stack) -> None:
        # Nova's harness has put its own handlers there meanwhile.
        logging.getLogger().addHandler(self._log)
        options = self._conf.xen_overcommit
        limits = rules.Limits(
            floor_share=options.floor_share,
            reserve_kib=options.reserve_mib * host.KIB,
            swap_kib_per_guest=stack.SWAP_MIB * host.KIB,
        )
        self._watch = Watch(
            host.connection(self._uri),
            client.AgentClient(str(self._socket)),
            limits,
            observing=lambda: options.mode == "observe",
            capacity_mib=nova.capacity_mib,
        )
        with self._watch, self._show.live():
            stage = play.Stage(
                nova, self._conf, self._watch, self._show, self._scenario
            )
            self.outcome = play.perform(stage)
        self._finish(self._watch, self.outcome)

    def _finish(self, watch: Watch, outcome: play.Outcome) -> None:
        if watch.blind is not None:
            raise RuntimeError("the watch failed") from watch.blind
        picture = self._out / "demo.png"
        plot.draw(watch.moments, outcome.marks, picture)
        for fault, times in watch.faults.items():
            self._show.say(f"broken {times} times: {fault}")
        self._show.say(
            f"looked {len(watch.moments)} times; picture: {picture}; "
            f"log: {self._out / 'demo.log'}"
        )


def _log_to(path: Path) -> logging.Handler:
    handler = logging.FileHandler(path, mode="w")
    handler.setFormatter(logging.Formatter(_LOG_FORMAT))
    handler.setLevel(logging.INFO)
    return handler


def main() -> int:
    """Run the demo; give 0 when it did what it shows."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="overcommit-demo-") as scratch:
        demo = Demo(out, Path(scratch))
        code = ending.of(demo.run, out / "demo.log")
    outcome = demo.outcome
    if code or outcome is None:
        return code or 1
    return ending.tell(outcome, outcome.placed_without + 1, play.NEED_WITHIN_S)


if __name__ == "__main__":
    sys.exit(main())
