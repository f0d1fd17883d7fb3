# SPDX-License-Identifier: Apache-2.0
"""Run DevStack's stack.sh, unstack.sh and clean.sh with our plugin.

The scripts are those of the checkout; see :mod:`tests.devstack.fence` for
what keeps them off this machine. The last line tells, for each kind of
hypervisor and node, whether all that must hold did.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from tests.devstack import checks, fence, scenarios, sources

PASS = "pass"
_DEVSTACK = "/opt/stack/devstack"
# With another awk, DevStack drops what local.conf wants in nova.conf.
_TOOLS = ("gawk", "git", "unshare", "setpriv")
_NOT_GIVEN = """\
DEVSTACK_DIR must name a checkout of DevStack:
    git clone https://opendev.org/openstack/devstack
    make devstack-check DEVSTACK_DIR=devstack
"""


class Run:
    """One node, from stack.sh to clean.sh."""

    def __init__(
        self,
        checkout: pathlib.Path,
        tree: pathlib.Path,
        log: pathlib.Path,
        node: scenarios.Scenario,
    ) -> None:
        self._machine = fence.Fence(tree)
        self._log = log
        self._node = node
        self._checks = checks.Node(self._machine, node)
        sources.copy_devstack(checkout, self._machine.path(_DEVSTACK))
        sources.make_all(checkout, tree / "src")
        local_conf = self._machine.path(f"{_DEVSTACK}/local.conf")
        local_conf.write_text(node.local_conf())
        if not node.under_xen:
            self._machine.path("/etc/without-xen").touch()
        self._machine.own()

    def _script(self, name: str) -> int:
        return self._machine.run(
            ["bash", "-c", f"cd {_DEVSTACK} && ./{name}"], self._log
        )

    def _must(self, name: str) -> None:
        code = self._script(name)
        checks.require(code == 0, f"{name} ended with {code}")

    def play(self) -> None:
        """Run all of it.

        :raises CheckFailed: what doesn't hold.
        """
        if not self._node.succeeds:
            checks.require(self._script("stack.sh"), "stack.sh succeeded")
            self._checks.said(self._log)
            return
        self._must("stack.sh")
        self._checks.stacked()
        self._checks.said(self._log)
        first = self._checks.files()
        self._must("stack.sh")
        self._same(first)
        self._must("unstack.sh")
        self._checks.unstacked()
        self._must("stack.sh")
        self._same(first)
        self._leave_state()
        self._must("clean.sh")
        self._checks.cleaned()

    def _same(self, first: dict[str, str]) -> None:
        now = self._checks.files()
        differ = [x for x in first | now if first.get(x) != now.get(x)]
        checks.equal("what differs when run again", differ, [])

    def _leave_state(self) -> None:
        """What systemd makes for the agent, which doesn't run here."""
        for top in ("var/lib", "run"):
            kept = self._machine.tree / top / "nova-xen-overcommit/history"
            kept.mkdir(parents=True)
        self._machine.own()


def _verdict(
    checkout: pathlib.Path, logs: pathlib.Path, node: scenarios.Scenario
) -> str:
    log = logs / f"{node.key.replace('/', '-')}.log"
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="devstack-") as name:
        tree = pathlib.Path(name)
        tree.chmod(0o755)
        try:
            Run(checkout, tree, log, node).play()
        except (checks.CheckFailed, subprocess.SubprocessError) as failure:
            return f"fail: {failure}; see {log}"
    return PASS


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devstack", default=os.environ.get("DEVSTACK_DIR"))
    parser.add_argument("--logs", type=pathlib.Path, required=True)
    parser.add_argument("only", nargs="*", help="such as xen/compute")
    return parser.parse_args(argv)


def _missing(devstack: str | None) -> str:
    """Say what is missing to begin."""
    if not devstack or not pathlib.Path(devstack, "stack.sh").is_file():
        return _NOT_GIVEN
    tools = [x for x in _TOOLS if not shutil.which(x)]
    # DevStack's clouds.yaml is written by the machine's own interpreter.
    yaml = subprocess.run(
        ["/usr/bin/python3", "-c", "import yaml"],
        capture_output=True,
        check=False,
    )
    tools += ["python3-yaml"] if yaml.returncode else []
    return f"not installed: {', '.join(tools)}\n" if tools else ""


def main(argv: Sequence[str]) -> int:
    """Run the nodes; give the exit code."""
    arguments = _arguments(argv)
    if missing := _missing(arguments.devstack):
        sys.stderr.write(missing)
        return 2
    # So that what was begun is ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    checkout = pathlib.Path(arguments.devstack).resolve()
    arguments.logs.mkdir(parents=True, exist_ok=True)
    result: dict[str, str] = {}
    for node in scenarios.ALL:
        if not arguments.only or node.key in arguments.only:
            began = time.monotonic()
            result[node.key] = _verdict(checkout, arguments.logs, node)
            seconds = time.monotonic() - began
            print(
                f"{seconds:5.0f} s  {node.key}: {result[node.key]}", flush=True
            )
    print(f"RESULT {json.dumps(result)}")
    return 0 if set(result.values()) == {PASS} else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
