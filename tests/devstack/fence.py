# SPDX-License-Identifier: Apache-2.0
"""A machine for DevStack's own scripts that is none.

They run as they are, as an unprivileged user, in a mount namespace where
``/etc``, ``/opt``, ``/var`` and so on are directories of a tree, and without
a network. Commands that would touch a machine (apt, pip, systemctl, ...) are
found first in the tree's ``/mnt/bin``, where they only write down that they
were called.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
from collections.abc import Sequence

HERE = pathlib.Path(__file__).resolve().parent
STUBS = HERE / "stubs"
# Nobody's, so that the machine's files are safe from it.
UID = 61234
TIMEOUT_S = 1800

_DIRECTORIES = (
    *("bin", "home/stack", "opt/stack", "root", "run", "tmp", "usr-local"),
    *("etc/apache2/sites-available", "etc/apparmor.d/local", "etc/apt"),
    *("etc/apt/apt.conf.d", "etc/apt/preferences.d"),
    *("etc/apt/sources.list.d", "etc/bash_completion.d", "etc/iscsi"),
    *("etc/libvirt", "etc/mysql", "etc/sudoers.d", "etc/systemd/system"),
    *("var/lib", "var/log", "var/tmp"),
)
_FILES = (
    *("etc/fstab", "etc/iscsi/iscsid.conf", "etc/sudoers"),
    *("etc/libvirt/libvirtd.conf", "etc/libvirt/qemu.conf"),
    *("etc/systemd/journald.conf", "etc/xen-arguments", "var/log/calls"),
    "etc/apparmor.d/usr.sbin.libvirtd",
)
# What programs need to run at all, and DevStack to know where it is.
_OF_THE_MACHINE = (
    *("alternatives", "debian_version", "hosts", "ld.so.cache"),
    *("localtime", "lsb-release", "nsswitch.conf", "os-release"),
)
_RECORDED = (
    *("a2dissite", "a2ensite", "a2enmod", "a2query", "apparmor_parser"),
    *("aa-enabled", "apt-get", "bindep", "chgrp", "chown", "curl"),
    *("debconf-set-selections", "glance-manage", "groupadd", "ip6tables"),
    *("iptables", "iscsiadm", "keystone-manage", "killall", "modprobe"),
    *("mysql", "mysqladmin", "neutron-db-manage", "nova-manage"),
    *("nova-status", "nova-xen-overcommit", "nvme", "ovs-ofctl", "ovs-vsctl"),
    *("psql", "rabbitmqctl", "service", "sysctl", "systemd-tmpfiles"),
    *("udevadm", "useradd", "usermod", "uuidgen", "uwsgi", "virsh", "wget"),
)
_USERS = (
    "root:x:0:0::/root:/bin/bash\n"
    f"stack:x:{UID}:{UID}::/home/stack:/bin/bash\n"
)
# Where repositories are when there is no network.
_GITCONFIG = """\
[url "file:///mnt/src/"]
    insteadOf = https://opendev.org/
"""
# So that what settings may ask for is the same on each machine: 8 GiB, less
# what a kernel keeps.
_MEMINFO = """\
MemTotal:        8153668 kB
MemFree:         7000000 kB
MemAvailable:    7500000 kB
SwapTotal:             0 kB
SwapFree:              0 kB
"""
_GROUPS = f"root:x:0:\nlibvirt:x:{UID + 1}:stack\nstack:x:{UID}:\n"


class Fence:
    """One machine, all of it below ``tree``."""

    def __init__(self, tree: pathlib.Path) -> None:
        self.tree = tree
        for name in _DIRECTORIES:
            (tree / name).mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            (tree / name).touch()
        for name in _OF_THE_MACHINE:
            self._copy(pathlib.Path("/etc") / name)
        (tree / "etc/passwd").write_text(_USERS)
        (tree / "etc/group").write_text(_GROUPS)
        (tree / "etc/gitconfig").write_text(_GITCONFIG)
        (tree / "meminfo").write_text(_MEMINFO)
        (tree / "tmp").chmod(0o1777)
        self._stub()

    def _copy(self, path: pathlib.Path) -> None:
        target = self.tree / "etc" / path.name
        if path.is_dir():
            shutil.copytree(path, target, symlinks=True, dirs_exist_ok=True)
        elif path.exists():
            shutil.copy(path, target)

    def _stub(self) -> None:
        interpreter = pathlib.Path("/usr/bin/python3").resolve().name
        for stub in STUBS.iterdir():
            name = interpreter if stub.name == "python" else stub.name
            shutil.copy(stub, self.tree / "bin" / name)
        for name in _RECORDED:
            (self.tree / "bin" / name).symlink_to("record")

    def path(self, inside: str) -> pathlib.Path:
        """Give where a path of the machine is to be found."""
        return self.tree / inside.lstrip("/")

    def calls(self) -> list[str]:
        """Give the commands that were written down, oldest first."""
        return self.path("/var/log/calls").read_text().splitlines()

    def own(self) -> None:
        """Make all of it the stack user's."""
        if os.geteuid() == 0:
            command = ["chown", "-Rh", f"{UID}:{UID}", str(self.tree)]
            subprocess.run(command, check=True)

    def run(self, command: Sequence[str], log: pathlib.Path) -> int:
        """Run a command on the machine; give its exit code."""
        root = os.geteuid() == 0
        unshare = ["unshare", "--mount", "--net"]
        unshare += [] if root else ["--user", "--map-root-user"]
        command = [*unshare, str(STUBS / "enter"), str(self.tree), *command]
        with (
            log.open("ab") as output,
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                    "FENCE_AS_ROOT": "yes" if root else "no",
                    "FENCE_UID": str(UID),
                },
                start_new_session=True,
            ) as process,
        ):
            try:
                return process.wait(TIMEOUT_S)
            finally:
                # What it has left in the background must not stay.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
