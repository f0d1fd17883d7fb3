# SPDX-License-Identifier: Apache-2.0
"""A libvirtd of our own: ``qemu:///system``, beside any other.

libvirt's directories are compiled in. It gets its own in a mount namespace,
where ours lie over them, so that it neither sees nor touches what this
machine may have; only its socket is seen from outside. Nothing listens on a
network. What was started is ended by process id.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import uuid

import libvirt

from tests.kvm.memory_limit import MemoryLimit
from tests.lab import steps

PROGRAMS = ("unshare", "libvirtd", "virtlogd", "qemu-system-x86_64")
# libvirt's own, and ours that lies over it.
_DIRECTORIES = {
    "/etc/libvirt": "etc",
    "/run/libvirt": "run",
    "/var/lib/libvirt": "lib",
    "/var/cache/libvirt": "cache",
    "/var/log/libvirt": "log",
}
# libvirt insists on its default users before it reads which others to use;
# packages make them that we don't install.
_ACCOUNTS = {
    "passwd": "libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin\n",
    "group": "libvirt-qemu:x:64055:\nkvm:x:64056:\n",
}
_LIBVIRTD = """\
unix_sock_dir = "{root}/sock"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "{uuid}"
log_filters = "1:qemu.qemu_monitor_json 3:qemu 4:*"
log_outputs = "3:file:{root}/log/libvirtd.log"
"""
# As root, without what only a host of many tenants needs; QEMU stays in the
# control group in which libvirtd was started.
_QEMU = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
seccomp_sandbox = 0
vnc_listen = "127.0.0.1"
"""
_START = """\
set -e
{mounts}
export PATH={root}/bin:$PATH:/usr/sbin
virtlogd --pid-file {root}/virtlogd.pid &
exec libvirtd --config {root}/etc/libvirtd.conf --pid-file {root}/libvirtd.pid
"""
# libvirt finds its emulator by PATH: this one enters the group first.
_EMULATOR = """\
#!/bin/sh
echo $$ > {procs}
exec {emulator} "$@"
"""
_START_WITHIN_S = 60
_STOP_WITHIN_S = 10


def missing() -> str:
    """Say what keeps us from starting one here, "" when nothing does."""
    if os.getuid():
        return "root is needed"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    absent = [p for p in PROGRAMS if shutil.which(p, path=path) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    tried = subprocess.run(
        ["unshare", "--mount", "true"], capture_output=True, check=False
    )
    return "no mount namespaces here" if tried.returncode else ""


class Libvirtd:
    """libvirtd and virtlogd, until the context is left.

    ``limit`` bounds what all its guests take together.
    """

    def __init__(self, limit: MemoryLimit | None = None) -> None:
        self._limit = limit
        self._made: list[pathlib.Path] = []
        self._process: subprocess.Popen[bytes] | None = None
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="nxo-kvm-"))

    @property
    def uri(self) -> str:
        """What clients open."""
        socket = self.root / "sock/libvirt-sock"
        return f"qemu+unix:///system?socket={socket}"

    @property
    def log(self) -> pathlib.Path:
        """Where it says why something failed."""
        return self.root / "log/libvirtd.log"

    def __enter__(self) -> "Libvirtd":
        try:
            self._configure()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self._end_guests()
        for name in ("libvirtd", "virtlogd"):
            self._end(self.root / f"{name}.pid")
        if self._process is not None:
            self._process.wait(_STOP_WITHIN_S)
        for directory in self._made:
            with contextlib.suppress(OSError):
                directory.rmdir()
        shutil.rmtree(self.root, ignore_errors=True)

    def _configure(self) -> None:
        for name in (*_DIRECTORIES.values(), "sock"):
            (self.root / name).mkdir()
        settings = {"root": self.root, "uuid": uuid.uuid4()}
        etc = self.root / "etc"
        (etc / "libvirtd.conf").write_text(_LIBVIRTD.format(**settings))
        (etc / "qemu.conf").write_text(_QEMU)
        if self._limit:
            self._wrap_emulator(self._limit.path / "cgroup.procs")
        for name, more in _ACCOUNTS.items():
            text = pathlib.Path("/etc", name).read_text()
            (self.root / name).write_text(text + more)
        for theirs in map(pathlib.Path, _DIRECTORIES):
            if not theirs.exists():
                theirs.mkdir(parents=True)
                self._made.append(theirs)

    def _wrap_emulator(self, procs: pathlib.Path) -> None:
        name = PROGRAMS[-1]
        wrapper = self.root / "bin" / name
        wrapper.parent.mkdir()
        wrapper.write_text(
            _EMULATOR.format(procs=procs, emulator=shutil.which(name))
        )
        wrapper.chmod(0o755)

    def _start(self) -> None:
        mounts = "\n".join(
            f"mount --bind {self.root / ours} {theirs}"
            for theirs, ours in [
                *_DIRECTORIES.items(),
                *((f"/etc/{name}", name) for name in _ACCOUNTS),
            ]
        )
        script = _START.format(mounts=mounts, root=self.root)
        with (self.root / "log/start.log").open("wb") as output:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        steps.wait_until(
            "libvirtd", self._answers, _START_WITHIN_S, self.log, pause_s=0.1
        )

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            told = (self.root / "log/start.log").read_text()
            raise steps.LabError(f"libvirtd ended at once: {told}")
        try:
            libvirt.open(self.uri).close()
        except libvirt.libvirtError:
            return False
        return True

    def _end_guests(self) -> None:
        """End what runs, also what nobody answers for any more."""
        for pid_file in (self.root / "run/qemu").glob("*.pid"):
            self._end(pid_file)

    @staticmethod
    def _end(pid_file: pathlib.Path) -> None:
        """End a process, by force if need be; it is not always our child."""
        try:
            pid = int(pid_file.read_text())
        except (OSError, ValueError):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            deadline_s = time.monotonic() + _STOP_WITHIN_S
            while time.monotonic() < deadline_s:
                with contextlib.suppress(ChildProcessError):
                    if os.waitpid(pid, os.WNOHANG)[0]:
                        return
                os.kill(pid, 0)
                time.sleep(0.05)
            os.kill(pid, signal.SIGKILL)
