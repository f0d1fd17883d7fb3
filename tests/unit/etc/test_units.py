# SPDX-License-Identifier: Apache-2.0
"""The units, by systemd's own tools and by a systemd that runs the agent."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from tests.unit.agent import idle_guest

ROOT = Path(__file__).resolve().parents[3]
UNITS = ROOT / "etc" / "systemd"
SYSUSERS = ROOT / "etc" / "sysusers.d" / "nova-xen-overcommit.conf"
AGENT = "nova-xen-overcommit-agent"
COMPUTE = "nova-xen-overcommit-compute"
SYSTEMD = Path("/lib/systemd/systemd")
# Of 10. Most of what is left: it is root, and it has sockets.
MOST_EXPOSED = 2.2
PATIENCE_S = 240


class AnalyzeTest(unittest.TestCase):
    """What systemd-analyze says; the binaries needn't be installed."""

    def setUp(self) -> None:
        if shutil.which("systemd-analyze") is None:
            self.skipTest("there is no systemd-analyze here")
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.units = []
        for unit in sorted(UNITS.glob("*.service")):
            text = unit.read_text()
            installed = re.sub(
                r"(?m)^(ExecStart=)/usr/bin/\S+", r"\1/bin/true", text
            )
            path = Path(directory.name) / unit.name
            path.write_text(installed)
            self.units.append(path)

    def analyze(self, *arguments: str) -> str:
        done = subprocess.run(
            ["systemd-analyze", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.stdout

    def test_nothing_in_them_is_unknown_or_wrong(self) -> None:
        self.assertEqual(2, len(self.units))
        for unit in self.units:
            told = self.analyze("verify", "--man=no", str(unit))
            ours = [line for line in told.splitlines() if unit.name in line]
            self.assertEqual([], ours)

    def test_that_would_find_a_misspelt_setting(self) -> None:
        unit = self.units[0]
        unit.write_text(unit.read_text() + "\n[Service]\nProtectSistem=yes\n")
        told = self.analyze("verify", "--man=no", str(unit))
        self.assertIn("ProtectSistem", told)

    def test_the_agent_is_exposed_no_more_than_it_must_be(self) -> None:
        (unit,) = (one for one in self.units if AGENT in one.name)
        told = self.analyze("security", "--offline=true", str(unit))
        found = re.search(r"Overall exposure level .*: ([0-9.]+)", told)
        assert found, told
        self.assertLessEqual(float(found[1]), MOST_EXPOSED)


def settings_of(unit: str, name: str) -> list[str]:
    """Give the values that a unit of ours has for a setting."""
    text = (UNITS / f"{unit}.service").read_text()
    return re.findall(rf"(?m)^{name}=(.*)$", text)


class NeighboursTest(unittest.TestCase):
    """The units get on with QEMU and with libvirt."""

    def test_qemu_can_enter_what_nova_compute_makes(self) -> None:
        # Given systemd's own umask, unless the unit has another
        umask = ["0022", *settings_of(COMPUTE, "UMask")][-1]

        # When Nova makes a directory as it does, with all bits
        made = 0o777 & ~int(umask, 8)

        # Then others, such as QEMU's user, may pass through it
        self.assertTrue(made & 0o001, oct(made))

    def test_neither_brings_up_one_of_libvirts_daemons(self) -> None:
        # Given that virtqemud and libvirtd conflict with one another
        for unit in (AGENT, COMPUTE):
            for name in ("Wants", "Requires", "BindsTo", "Upholds"):
                asked = " ".join(settings_of(unit, name))
                with self.subTest(unit=unit, name=name):
                    self.assertNotRegex(asked, "virt[a-z]*d")

    def test_both_start_after_whichever_of_them_there_is(self) -> None:
        for unit in (AGENT, COMPUTE):
            after = " ".join(settings_of(unit, "After")).split()
            for daemon in ("libvirtd", "virtqemud", "virtxend"):
                with self.subTest(unit=unit, daemon=daemon):
                    self.assertIn(f"{daemon}.service", after)

    def test_the_user_it_runs_as_may_use_libvirt(self) -> None:
        if shutil.which("systemd-sysusers") is None:
            self.skipTest("there is no systemd-sysusers here")
        with tempfile.TemporaryDirectory() as name:
            etc = Path(name, "etc")
            etc.mkdir()

            # When our file is all that makes users
            subprocess.run(
                ["systemd-sysusers", f"--root={name}", str(SYSUSERS)],
                check=True,
                capture_output=True,
            )
            groups = (etc / "group").read_text().splitlines()
            users = (etc / "passwd").read_text()

        # Then the unit's user is there, in libvirt's group
        (user,) = settings_of(COMPUTE, "User")
        self.assertRegex(users, rf"(?m)^{user}:")
        (libvirt,) = (x for x in groups if x.startswith("libvirt:"))
        self.assertIn(user, libvirt.rpartition(":")[2].split(","))


# A drop-in for what differs here: where the agent is, what it finds, and a
# watchdog that barks while a test waits. The sandbox is the unit's.
DROP_IN = """
[Unit]
DefaultDependencies=no
[Service]
SupplementaryGroups=
WatchdogSec=5
ExecStart=
ExecStart={python} -m nova_xen_overcommit.cmd.agent \
    --config-file {work}/nova.conf --log-dir= --log-file=
WorkingDirectory={root}
ProtectHome=tmpfs
BindReadOnlyPaths={paths}
StandardOutput=append:{work}/agent.log
StandardError=append:{work}/agent.log
"""
CONF = """
[DEFAULT]
log_dir = /nowhere
[xen_overcommit]
mode = balance
connection_uri = test:///default
sensors = simulated
simulated_scenario = {work}/scenario.toml
heartbeat_file = /run/nova-xen-overcommit/heartbeat
"""
# What an operator does to the unit; each line of its output is NAME=VALUE.
STORY = """
unit=nova-xen-overcommit-agent
say() { echo "$1=$(systemctl show -P "$2" $unit)"; }
active() {
    for _ in $(seq 300); do
        [ "$(systemctl is-active $unit)" = active ] && return
        sleep 0.2
    done
}
active
say began ActiveState
say status StatusText
main=$(systemctl show -P MainPID $unit)
caps=$(awk '/^CapBnd|^CapEff/ { print $2 }' "/proc/$main/status" | sort -u)
echo "caps=$caps"
echo "socket=$(stat -c %A /run/nova-xen-overcommit/agent.sock)"
[ -e /run/nova-xen-overcommit/heartbeat ] && echo heartbeat=there
[ -e /var/lib/nova-xen-overcommit/history/lock ] && echo history=there
systemctl reload $unit
sleep 8
say reloaded ActiveState
say restarts NRestarts
kill -STOP "$(pgrep -P "$main" | tail -n 1)"
for _ in $(seq 200); do
    [ "$(systemctl show -P NRestarts $unit)" = 0 ] || break
    sleep 0.2
done
say stalled NRestarts
active
say again ActiveState
systemctl stop $unit
say ended ActiveState
say result Result
echo told=all
"""
# Namespaces of its own, and a cgroup below ours in which it is the root.
BOOT = """
set -eu
for tree in systemd unified; do
    mkdir -p /sys/fs/cgroup/$tree/nxo-$1
    echo $$ > /sys/fs/cgroup/$tree/nxo-$1/cgroup.procs
done
exec unshare --kill-child --pid --fork --mount --uts --ipc --cgroup \
    --mount-proc sh -euc '
    mount --make-rprivate /
    umount -R /sys/fs/cgroup
    mount -t tmpfs tmpfs /sys/fs/cgroup
    mkdir -p /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
    mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd systemd /sys/fs/cgroup/systemd
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /var/lib/systemd
    mkdir -p '"$2"'/lib /var/lib/nova-xen-overcommit
    mount --bind '"$2"'/lib /var/lib/nova-xen-overcommit
    mkdir -p /run/systemd/system
    cp -r '"$2"'/units/. /run/systemd/system/
    export container=test
    exec /lib/systemd/systemd --system --log-target=console \
        --unit=story.target
'
"""


def _can_run_systemd() -> str:
    """Say why a systemd can't be run here, "" if it can."""
    if os.geteuid() != 0:
        return "it takes root"
    if not SYSTEMD.exists():
        return "there is no systemd"
    if not os.access("/sys/fs/cgroup/systemd/cgroup.procs", os.W_OK):
        return "there is no cgroup of systemd's that may be written"
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount", "--cgroup", "true"],
        capture_output=True,
    )
    return "there are no new namespaces" if done.returncode else ""


class RunTest(unittest.TestCase):
    """The agent in its unit, started by a real systemd as process 1."""

    def setUp(self) -> None:
        trouble = _can_run_systemd()
        if trouble:
            self.skipTest(f"systemd can't be run: {trouble}")
        # Not below /tmp, which the unit hides.
        self.work = Path(tempfile.mkdtemp(prefix="nxo-units-", dir="/var"))
        self.addCleanup(shutil.rmtree, self.work)
        self.units = self.work / "units"
        self.units.mkdir()

    def write(self) -> None:
        shutil.copy(UNITS / f"{AGENT}.service", self.units)
        paths = {sys.prefix, sys.base_prefix, str(ROOT), str(self.work)}
        drop_in = self.units / f"{AGENT}.service.d" / "test.conf"
        drop_in.parent.mkdir()
        drop_in.write_text(
            DROP_IN.format(
                python=sys.executable,
                work=self.work,
                root=ROOT,
                paths=" ".join(sorted(paths)),
            )
        )
        (self.work / "nova.conf").write_text(CONF.format(work=self.work))
        (self.work / "scenario.toml").write_text(idle_guest.SCENARIO)
        (self.work / "story.sh").write_text(STORY)
        unit = "[Unit]\nDefaultDependencies=no\n"
        (self.units / "story.target").write_text(
            f"{unit}Wants={AGENT}.service story.service\n"
        )
        (self.units / "story.service").write_text(
            f"{unit}[Service]\nType=oneshot\n"
            f"ExecStart=/bin/bash {self.work}/story.sh\n"
            # Ends this systemd, and all that it runs.
            "ExecStopPost=/bin/systemctl --force --force poweroff\n"
            f"StandardOutput=append:{self.work}/told\n"
        )

    def run_systemd(self) -> dict[str, str]:
        with (self.work / "systemd.log").open("w") as log:
            process = subprocess.Popen(
                ["sh", "-c", BOOT, "boot", str(os.getpid()), str(self.work)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            finally:
                self.remove_cgroups()
        told = (self.work / "told").read_text().splitlines()
        return dict(line.partition("=")[::2] for line in told)

    def remove_cgroups(self) -> None:
        for tree in ("systemd", "unified"):
            top = Path("/sys/fs/cgroup", tree, f"nxo-{os.getpid()}")
            for directory, _names, _files in os.walk(top, topdown=False):
                try:
                    Path(directory).rmdir()
                except OSError:
                    continue

    def test_the_unit_does_what_it_says(self) -> None:
        self.write()
        told = self.run_systemd()
        log = self.work / "agent.log"
        seen = log.read_text() if log.exists() else "the agent said nothing"
        # Given the sandbox, it is ready after its first pass
        self.assertEqual("all", told.get("told"), (told, seen))
        self.assertEqual("active", told["began"], seen)
        self.assertEqual("balancing", told["status"])
        self.assertEqual("0000000000000000", told["caps"])
        # And has its socket, its heartbeat and its history
        self.assertEqual("srw-rw-rw-", told["socket"])
        self.assertEqual("there", told["heartbeat"])
        self.assertEqual("there", told["history"])
        # When it is reloaded the new worker feeds the watchdog as well
        self.assertEqual("active", told["reloaded"])
        self.assertEqual("0", told["restarts"])
        # When its worker stalls it is started anew, once
        self.assertEqual("1", told["stalled"])
        self.assertEqual("active", told["again"])
        # And it ends when it is told to
        self.assertEqual("inactive", told["ended"])
        self.assertEqual("success", told["result"])
