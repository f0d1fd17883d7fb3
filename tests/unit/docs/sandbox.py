# SPDX-License-Identifier: Apache-2.0
"""A compute host in a directory: where the documentation's commands run.

Paths of a host (``/etc/nova`` ...) lie below the directory: they are
rewritten in commands, and back in what these print. The agent is the real
one, in a process of its own, on libvirt's embedded hypervisor.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import client
from tests.unit.docs.pages import ROOT

HOST = Path(__file__).with_name("host")
PATIENCE_S = 180
_MOVED = re.compile(
    r"(?<![\w.~-])/(etc/nova|etc/nova_xen_overcommit|run/nova-xen-overcommit|"
    r"var/lib/nova-xen-overcommit)(?![\w.-])"
)
# Where pages let the agent show its metrics; here it is any free port.
_PORT = re.compile(r"(:|metrics_port = )9844\b")
_NOVA_CPU = "etc/nova/nova-cpu.conf"
_SCRIPT = """#!/bin/sh
exec {python} -c 'import sys
from {module} import {function}
sys.argv[0] = "{name}"
sys.exit({function}())' "$@"
"""


class Sandbox:
    """The directory, the agent that works in it, and a shell."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="docs-")
        self.path = Path(self._directory.name)
        self._port = str(_free_port())
        self._make_files()
        self._make_scripts()
        self._agent: subprocess.Popen[bytes] | None = None

    def start_agent(self) -> None:
        """Start the agent; return when it has reported."""
        log = (self.path / "agent.log").open("wb")
        with log:
            self._agent = subprocess.Popen(
                ["nova-xen-overcommit-agent"],
                env=self.environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        desk = client.AgentClient(
            str(self.path / "run/nova-xen-overcommit/agent.sock"), 5
        )
        deadline_s = time.monotonic() + PATIENCE_S
        while not self._settled(desk):
            if time.monotonic() > deadline_s:
                log_text = (self.path / "agent.log").read_text()
                raise AssertionError(f"no agent: {log_text}")
            time.sleep(0.2)

    def _settled(self, desk: client.AgentClient) -> bool:
        try:
            found = desk.report()
        except exception.OvercommitError:
            return False
        # It has seen all guests speak, and has kept what they need.
        if found.guests != 3 or not 0 < found.demand_mib < 3000:
            return False
        past = self.path / "var/lib/nova-xen-overcommit/history"
        return any(past.glob("*.history"))

    def close(self) -> None:
        """End the agent and remove the directory."""
        if self._agent is not None:
            os.killpg(self._agent.pid, signal.SIGTERM)
            try:
                self._agent.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._agent.pid, signal.SIGKILL)
                self._agent.wait()
        self._directory.cleanup()

    def working_directory(self, name: str) -> Path:
        """Give an empty directory with the repository's files beside it."""
        directory = self.path / "work" / name
        directory.mkdir(parents=True, exist_ok=True)
        for entry in ("doc", "etc", "nova_xen_overcommit"):
            link = directory / entry
            if not link.exists():
                link.symlink_to(ROOT / entry)
        return directory

    def environment(self) -> dict[str, str]:
        """Give what commands find in their environment."""
        return {
            "HOME": str(self.path / "home"),
            "LANG": "C.UTF-8",
            "PATH": f"{self.path / 'bin'}:{Path(sys.executable).parent}:"
            "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]]),
            "PYTHONWARNINGS": "ignore",
            "COLUMNS": "79",
            # Fonts are looked for once on a machine, not in each run.
            "XDG_CACHE_HOME": os.environ.get(
                "XDG_CACHE_HOME", str(Path.home() / ".cache")
            ),
        }

    def run(self, command: str, directory: Path) -> tuple[int, str]:
        """Run a command in bash; give its code and all that it printed."""
        done = subprocess.run(
            ["bash", "-c", self.inside(command)],
            cwd=directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        return done.returncode, self.outside(done.stdout)

    def inside(self, text: str) -> str:
        """Give a text with the host's paths moved into the directory."""
        moved = _MOVED.sub(rf"{self.path}/\1", text)
        return _PORT.sub(rf"\g<1>{self._port}", moved)

    def outside(self, text: str) -> str:
        """Give a text with the directory's paths as a host has them."""
        return text.replace(str(self.path), "")

    def _make_files(self) -> None:
        for name in (
            "bin",
            "etc/nova",
            "etc/nova_xen_overcommit",
            "home",
            "run/nova-xen-overcommit",
            "var/lib/nova-xen-overcommit",
        ):
            (self.path / name).mkdir(parents=True)
        for source in HOST.iterdir():
            text = self.inside(source.read_text())
            (self.path / "etc/nova" / source.name).write_text(text)
        # Where DevStack has what nova-compute reads.
        shutil.copy(self.path / "etc/nova/nova.conf", self.path / _NOVA_CPU)
        # oslo.config looks there before it looks into /etc/nova.
        (self.path / "home/.nova").symlink_to(self.path / "etc/nova")

    def _make_scripts(self) -> None:
        """Make the project's console scripts, of this very tree."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        for name, entry in project["project"]["scripts"].items():
            module, _, function = entry.partition(":")
            script = self.path / "bin" / name
            script.write_text(
                _SCRIPT.format(
                    python=sys.executable,
                    module=module,
                    function=function,
                    name=name,
                )
            )
            script.chmod(0o755)
        if shutil.which("python3") != sys.executable:
            (self.path / "bin/python3").symlink_to(sys.executable)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
