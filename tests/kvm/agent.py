# SPDX-License-Identifier: Apache-2.0
"""The agent as its own process, as systemd starts it."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import client
from tests.lab import steps

_ANSWERS_WITHIN_S = 120
_STOPS_WITHIN_S = 15


class Agent:
    """nova-xen-overcommit-agent until the context is left."""

    def __init__(self, directory: pathlib.Path, **options: object) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.log = directory / "agent.log"
        socket = directory / "agent.sock"
        self.client = client.AgentClient(str(socket))
        self._options: dict[str, object] = {
            "agent_socket": socket,
            "history_dir": directory / "history",
            **options,
        }
        self._file = directory / "agent.conf"
        self._write()

    def _write(self) -> None:
        lines = [f"{name} = {x}\n" for name, x in self._options.items()]
        self._file.write_text(f"[DEFAULT]\n[xen_overcommit]\n{''.join(lines)}")

    def reload(self, **options: object) -> None:
        """Change options as an operator does: the file, then SIGHUP."""
        assert self._process is not None
        self._options.update(options)
        self._write()
        self._process.send_signal(signal.SIGHUP)

    def __enter__(self) -> "Agent":
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "nova_xen_overcommit.cmd.agent",
                    "--config-file",
                    self._file,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            steps.wait_until(
                "the agent", self._answers, _ANSWERS_WITHIN_S, self.log
            )
        except steps.LabError as error:
            self.__exit__()
            raise steps.LabError(
                f"{error}: {self.log.read_text()[-2000:]}"
            ) from error
        return self

    def _answers(self) -> bool:
        with contextlib.suppress(exception.OvercommitError):
            self.client.report()
            return True
        return False

    def signal(self, number: int) -> None:
        """Send a signal to all of the agent."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def __exit__(self, *_exc: object) -> None:
        assert self._process is not None
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(_STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self._process.wait()
