# SPDX-License-Identifier: Apache-2.0
"""What must hold on a node after DevStack's scripts have run there."""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tests.devstack import fence, scenarios, units

AGENT = "devstack@xen-overcommit-agent.service"
COMPUTE = "devstack@n-cpu.service"
SCHEDULER = "devstack@n-sch.service"
API = "devstack@n-api.service"
_CPU_CONF = "/etc/nova/nova-cpu.conf"


class CheckFailed(Exception):
    """Something isn't as it must be; the text says what."""


def require(holds: object, what: str) -> None:
    """Fail unless it holds."""
    if not holds:
        raise CheckFailed(what)


def equal(what: str, found: object, expected: object) -> None:
    """Fail unless both are the same."""
    require(found == expected, f"{what} is {found!r}, not {expected!r}")


def ask(
    role: str, conf: pathlib.Path, environment: Mapping[str, str]
) -> dict[str, Any]:
    """Give what a process reads in a nova.conf.

    :raises CheckFailed: it would end there; the text has its last line.
    """
    ended = subprocess.run(
        [sys.executable, "-m", "tests.devstack.probe", role]
        + ["--config-file", str(conf)],
        env={"PATH": os.environ["PATH"], **_THREADS, **environment},
        cwd=fence.HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        last = ended.stderr.strip().splitlines()[-1:]
        raise CheckFailed(f"{role} can't read {conf.name}: {last}")
    return dict(json.loads(ended.stdout.splitlines()[-1]))


_THREADS = {"OS_NOVA_DISABLE_EVENTLET_PATCHING": "true"}


class Node:
    """Checks of one node."""

    def __init__(self, machine: fence.Fence, node: scenarios.Scenario) -> None:
        self._machine = machine
        self._node = node

    def stacked(self) -> None:
        """After stack.sh."""
        if self._node.schedules:
            self._scheduler()
        if self._node.computes:
            self._compute()
            self._agent()
        self._packages()

    def _started(self, unit: str, name: str) -> pathlib.Path:
        """Where what a unit read when it was started is kept."""
        kept = self._machine.path(f"/var/log/started/{unit}/nova/{name}")
        require(kept.exists(), f"{unit} wasn't started with {name}")
        return kept

    def _started_unit(self, unit: str) -> dict[str, list[str]]:
        directory = self._machine.path(f"/var/log/started/{unit}/system")
        require(directory.is_dir(), f"{unit} wasn't started")
        return units.read(directory, unit)

    def _scheduler(self) -> None:
        ask("nova-api", self._started(API, "nova.conf"), {})
        told = ask("nova-scheduler", self._started(SCHEDULER, "nova.conf"), {})
        require("XenOvercommitFilter" in told["filters"], "no filter of ours")
        require("ComputeFilter" in told["filters"], "no filter of Nova's")
        require(
            "XenOvercommitWeigher" in told["weighers"], "no weigher of ours"
        )
        require("CPUWeigher" in told["weighers"], "no weigher of Nova's")

    def _compute(self) -> None:
        unit = self._started_unit(COMPUTE)
        command = (
            f"{self._node.bin_dir}/nova-xen-overcommit-compute"
            f" --config-file {_CPU_CONF}"
        )
        equal("n-cpu's command", unit["ExecStart"], [command])
        self._as_devstack_has_it(command)
        variables = units.environment(unit)
        path = variables.pop("PATH")
        require(self._node.bin_dir in path, "n-cpu has lost DevStack's PATH")
        conf = self._started(COMPUTE, "nova-cpu.conf")
        at_start = ask("nova-compute", conf, variables)
        now = self._machine.path(_CPU_CONF)
        for told in (at_start, ask("nova-compute", now, {})):
            self._read_by_compute(told)

    def _as_devstack_has_it(self, command: str) -> None:
        """But for the program, what DevStack itself would run."""
        system = self._machine.path("/etc/systemd/system")
        text = (system / COMPUTE).read_text()
        stock = command.replace("nova-xen-overcommit-compute", "nova-compute")
        require(f"ExecStart = {stock}\n" in text, "DevStack's own differs")

    def _read_by_compute(self, told: Mapping[str, Any]) -> None:
        kind = self._node.libvirt_type
        module = "nova.virt.xen_overcommit"
        require(
            told["driver"].endswith(".XenOvercommitDriver"),
            f"{module} gives {told['driver']}",
        )
        # Without /dev/kvm, which the fence has as the machine has it,
        # DevStack itself turns to qemu.
        kinds = ("kvm", "qemu") if kind == "kvm" else (kind,)
        require(told["virt_type"] in kinds, f"virt_type {told['virt_type']}")
        equal("the driver's URI", told["uri"], self._uri())
        if self._node.is_xen:
            equal("cpu_mode", told["cpu_mode"], "none")
            equal("images_type", told["images_type"], "raw")
            equal("use_cow_images", told["use_cow_images"], False)
        require(told["privsep"], "rootwrap would refuse privsep-helper")
        self._options(told)

    def _uri(self) -> str:
        return "xen:///system" if self._node.is_xen else "qemu:///system"

    def _options(self, told: Mapping[str, Any]) -> None:
        for name, expected in self._node.options.items():
            equal(name, told["options"][name], expected)

    def _agent(self) -> None:
        unit = self._started_unit(AGENT)
        command = (
            f"{self._node.bin_dir}/nova-xen-overcommit-agent"
            f" --config-file {_CPU_CONF}"
        )
        equal("the agent's command", unit["ExecStart"], [command])
        equal(
            "its user",
            unit["User"],
            ["root" if self._node.is_xen else "stack"],
        )
        equal("its group", unit["Group"], ["libvirt"])
        equal("its Restart", unit["Restart"], ["always"])
        for name in ("RuntimeDirectory", "StateDirectory"):
            equal(f"its {name}", unit[name], ["nova-xen-overcommit"])
        told = ask("agent", self._started(AGENT, "nova-cpu.conf"), {})
        equal("connection_uri", told["connection_uri"], self._uri())
        equal("agent_users", told["agent_users"], ["stack"])
        self._options(told)

    def _packages(self) -> None:
        extras = "[agent]" if self._node.computes else ""
        self._called(f"-e {self._node.clone}{extras}", "pip install", True)
        for package in ("xen-system-amd64", "libvirt-daemon-driver-xen"):
            self._called(f"install {package}", "apt-get", self._node.is_xen)

    def _called(self, end: str, begin: str, expected: bool) -> None:
        found = any(
            call.startswith(begin) and call.endswith(end)
            for call in self._machine.calls()
        )
        equal(f"a call of {begin} … {end}", found, expected)

    def said(self, log: pathlib.Path) -> None:
        """stack.sh has said what it must, and not what it needn't."""
        text = log.read_text(errors="replace")
        if self._node.says:
            require(self._node.says in text, f"didn't say {self._node.says!r}")
        else:
            require(
                "ram_allocation_ratio is set" not in text, "warns of ratio"
            )
            require("has no effect there" not in text, "warns of itself")

    def unstacked(self) -> None:
        """After unstack.sh: the next stack may be without the plugin."""
        self._nothing_in(self._machine.path("/etc/systemd"))
        if self._node.computes:
            self._called(f"disable {AGENT}", "systemctl", True)

    def cleaned(self) -> None:
        """After clean.sh: nothing of ours is left on the machine."""
        for top in ("etc", "var/lib", "run", "usr-local", "home", "root"):
            self._nothing_in(self._machine.tree / top)
        self._called("uninstall -y nova_xen_overcommit", "pip", True)
        changed = _git(
            self._machine.path(self._node.clone),
            "status",
            "--porcelain",
            "--ignored",
        )
        equal("what is left in the clone", changed, "")

    def _nothing_in(self, top: pathlib.Path) -> None:
        for path in top.rglob("*"):
            require(not _ours(path), f"{path.relative_to(top)} is left")

    def files(self) -> dict[str, str]:
        """Give the files that a second run must leave as they are."""
        found = [
            *self._machine.path("/etc/nova").glob("nova*.conf"),
            *self._machine.path("/etc/systemd/system").rglob("*"),
            *self._machine.path("/etc/apparmor.d/local").glob("*"),
        ]
        return {
            str(path.relative_to(self._machine.tree)): path.read_text()
            for path in sorted(found)
            if path.is_file()
        }


def _ours(path: pathlib.Path) -> bool:
    if "overcommit" in path.name:
        return True
    if not path.is_file() or path.is_symlink():
        return False
    return "overcommit" in path.read_text(errors="replace")


def _git(directory: pathlib.Path, *arguments: str) -> str:
    command: Sequence[str] = ["git", "-c", "safe.directory=*", *arguments]
    return subprocess.run(
        command, cwd=directory, check=True, capture_output=True, text=True
    ).stdout
