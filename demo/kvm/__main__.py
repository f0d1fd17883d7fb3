# SPDX-License-Identifier: Apache-2.0
"""``python -m demo.kvm [DIRECTORY]``: run it; its log goes there."""

from demo import stack  # isort: skip - Nova selects its backend first

import contextlib
import logging
import sys
import tempfile
import time
from pathlib import Path

import libvirt

from demo import agent as demo_agent
from demo import ending
from demo.kvm import play
from demo.kvm.stack import KvmStack, Where
from demo.kvm.watch import KIB, Watch
from demo.play import Outcome
from tests.kvm import agent as kvm_agent
from tests.kvm import guests, images, libvirtd, memory_limit
from tests.lab import packages

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class Demo:
    """One run; ``out`` takes logs, ``scratch`` what passes."""

    def __init__(self, out: Path, scratch: Path) -> None:
        self._out = out
        self._scratch = scratch
        self._began_s = time.monotonic()
        self.outcome: Outcome | None = None

    def say(self, text: str) -> None:
        """Tell one thing that happened."""
        elapsed_s = time.monotonic() - self._began_s
        sys.stdout.write(f"{elapsed_s:6.1f} s  {text}\n")
        sys.stdout.flush()

    def run(self) -> None:
        """Make the host, start agent and Nova, play.

        :raises RuntimeError: something did not work at all.
        """
        guest = images.build(self._out / "packages.log")
        limit = memory_limit.MemoryLimit.make(play.LIMIT_MIB)
        self.say(
            f"{play.HOST_MIB} MiB for guests, {play.QEMU_MIB} for their QEMU, "
            + (f"held to that by {limit.path}" if limit else "by reckoning")
        )
        with contextlib.ExitStack() as stack_:
            if limit:
                stack_.callback(limit.remove)
            host = stack_.enter_context(libvirtd.Libvirtd(limit))
            connection = libvirt.open(host.uri)
            stack_.callback(connection.close)
            self._on(host, connection, limit, guest, stack_)

    def _on(
        self,
        host: libvirtd.Libvirtd,
        connection: libvirt.virConnect,
        limit: memory_limit.MemoryLimit | None,
        guest: Path,
        stack_: contextlib.ExitStack,
    ) -> None:
        total_kib = connection.getMemoryStats(-1, 0)["total"]
        agent = kvm_agent.Agent(
            self._scratch,
            **demo_agent.IN_A_HURRY
            | {
                "connection_uri": host.uri,
                # Real guests boot one after another within minutes: all of
                # them a surge to the default, that lasts for a week.
                "predictor": "recent_max",
                "host_reserved_mib": total_kib // KIB - play.LIMIT_MIB,
                "guests_cgroup": limit.path if limit else "",
            },
        )
        stack_.enter_context(agent)
        watch = Watch(connection, agent.client, limit, play.HOST_MIB)
        where = Where(
            host.uri,
            self._scratch / "agent.sock",
            connection.getHostname(),
            # Nova asks libvirt for the node, not for its statistics.
            connection.getInfo()[1] - play.LIMIT_MIB,
            self._scratch / "instances",
            guest,
        )

        def body(nova: KvmStack) -> None:
            self._log()
            self.outcome = play.perform(
                play.Stage(
                    nova,
                    agent,
                    watch,
                    connection,
                    guests.Consoles(connection),
                    self.say,
                )
            )

        with watch:
            try:
                stack.run(where, body, KvmStack)
            finally:
                (self._out / "agent.log").write_bytes(agent.log.read_bytes())
        self._tell(watch, limit)

    def _log(self) -> None:
        # Nova's harness has put its own handlers there meanwhile.
        handler = logging.FileHandler(self._out / "nova.log", mode="w")
        handler.setFormatter(logging.Formatter(_LOG_FORMAT))
        handler.setLevel(logging.INFO)
        logging.getLogger().addHandler(handler)

    def _tell(
        self, watch: Watch, limit: memory_limit.MemoryLimit | None
    ) -> None:
        for fault, times in watch.faults.items():
            self.say(f"broken {times} times: {fault}")
        used = f"{watch.most_used_kib // KIB} MiB" if limit else "not known"
        self.say(
            f"looked {watch.looks} times; most that all QEMU had: RSS "
            f"{watch.most_resident_kib // KIB} MiB (what they share counted "
            f"in each), control group {used}; host swap used: "
            f"{watch.most_swap_kib} KiB"
        )


def main() -> int:
    """Run the demo; give 0 when it did what it shows."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")
    out.mkdir(parents=True, exist_ok=True)
    if not libvirtd.missing().startswith("root"):
        packages.install(out / "packages.log", "kvm")
    if why := libvirtd.missing():
        sys.stderr.write(f"make kvm-demo can't run here: {why}\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="overcommit-kvm-") as scratch:
        demo = Demo(out, Path(scratch))
        code = ending.of(demo.run, out)
    outcome = demo.outcome
    if code or outcome is None:
        return code or 1
    return ending.tell(
        outcome, 2 * outcome.placed_without, play.NEED_MET_WITHIN_S
    )


if __name__ == "__main__":
    sys.exit(main())
