# SPDX-License-Identifier: Apache-2.0
"""The emulated Xen host: boot it, and reach its dom0 by ssh."""

import pathlib
import shlex
import socket
import subprocess
from collections.abc import Sequence

from tests.lab import paths, processes, steps

HOST_MIB = 4096
DOM0_MIB = 768
# What each flag that is off would break is told in the lab's README.
_CPU = (
    "max,-la57,-pku,-smap,-smep,-rdtscp,-xsave,-rdpid"
    ",+invtsc,x-force-features=on"
)
_XEN_ARGS = (
    "console=com1 com1=115200,8n1 dom0_mem={mib}M,max:{mib}M"
    " dom0_max_vcpus=2 no-real-mode edd=off vga=none"
)
_DOM0_ARGS = (
    "root=/dev/vda ro console=hvc0 net.ifnames=0 mitigations=off"
    " systemd.show_status=0 loglevel=4"
)
_BOOT_TIMEOUT_S = 420.0


class XenHost:
    """The host of one lab; ``port`` is ssh's on 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._key = paths.run() / "ssh-key"
        self.console_log = paths.logs() / "xen-console.log"

    def prepare(self, disk: pathlib.Path, log: pathlib.Path) -> None:
        """Make the key and a disk on top of the pristine one."""
        steps.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._key],
            log,
        )
        steps.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw"]
            + ["-b", str(disk / "disk.img"), str(paths.run() / "disk.qcow2")],
            log,
        )

    def boot(self, disk: pathlib.Path) -> None:
        """Start the emulator; :meth:`wait` waits for ssh."""
        public = self._key.with_name("ssh-key.pub").read_text().strip()
        # The key comes by the firmware's configuration channel, so the
        # image needs no change: sshd's key directory is made at boot.
        initrd = f"{disk / 'vmlinuz'} {_DOM0_ARGS},{disk / 'initrd.img'}"
        processes.start(
            "xen-host",
            [
                "qemu-system-x86_64",
                *("-accel", "tcg,thread=multi,tb-size=512"),
                *("-cpu", _CPU, "-smp", "2", "-m", str(HOST_MIB)),
                *("-display", "none", "-vga", "none", "-no-reboot"),
                *("-serial", f"file:{self.console_log}"),
                *("-kernel", str(disk / "xen"), "-initrd", initrd),
                *("-append", _XEN_ARGS.format(mib=DOM0_MIB)),
                "-drive",
                f"file={paths.run() / 'disk.qcow2'},if=virtio,cache=unsafe",
                "-netdev",
                f"user,id=net,hostfwd=tcp:127.0.0.1:{self.port}-:22",
                *("-device", "virtio-net-pci,netdev=net,romfile="),
                *("-smbios", f"type=11,value=lab-ssh-key={public}"),
            ],
        )

    def _options(self) -> list[str]:
        return [
            *("-i", str(self._key), "-o", "IdentitiesOnly=yes"),
            *("-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"),
            *("-o", "UserKnownHostsFile=/dev/null"),
            *("-o", "ConnectTimeout=20", "-o", "BatchMode=yes"),
            *("-o", f"ControlPath={paths.run()}/ssh-%r"),
            *("-o", "ControlMaster=auto", "-o", "ControlPersist=yes"),
        ]

    def command(self, *remote: str) -> list[str]:
        """The ssh command line for a remote one (none: a shell)."""
        options = [*self._options(), "-p", str(self.port)]
        return ["ssh", *options, "root@127.0.0.1", *remote]

    def ssh(
        self, command: str, timeout_s: float = 120, stdin: str = ""
    ) -> str:
        """Run a shell command in dom0 and give what it printed.

        :raises LabError: it failed; the message has its output.
        :raises subprocess.TimeoutExpired: it took too long.
        """
        done = subprocess.run(
            self.command(command),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=processes.environment(),
        )
        if done.returncode:
            raise steps.LabError(
                f"dom0: {command[:200]!r} ended with {done.returncode}:"
                f" {(done.stderr or done.stdout)[-1000:]}"
            )
        return done.stdout

    def put(self, files: Sequence[pathlib.Path], target: str) -> None:
        """Copy files into a directory of dom0."""
        names = [x for f in files for x in ("-C", str(f.parent), f.name)]
        unpack = f"mkdir -p {shlex.quote(target)} && tar -xf - -C "
        # Its output is closed in the end, or tar would wait for a reader.
        with subprocess.Popen(
            ["tar", "-cf", "-", *names], stdout=subprocess.PIPE
        ) as packed:
            done = subprocess.run(
                self.command(unpack + shlex.quote(target)),
                stdin=packed.stdout,
                env=processes.environment(),
                capture_output=True,
                text=True,
                check=False,
            )
        if packed.returncode or done.returncode:
            raise steps.LabError(f"copying to dom0 failed: {done.stderr}")

    def _ssh_answers(self) -> bool:
        if processes.pid_of("xen-host") is None:
            raise steps.LabError(
                f"the emulator died; read {paths.logs()}/xen-host.log"
            )
        try:
            with socket.create_connection(
                ("127.0.0.1", self.port), timeout=10
            ) as probe:
                probe.settimeout(10)
                if not probe.recv(4):
                    return False
            self.ssh("true", timeout_s=60)
        except (OSError, steps.LabError, subprocess.TimeoutExpired):
            return False
        return True

    def wait(self) -> None:
        """Wait until dom0 answers by ssh."""
        steps.wait_until(
            "dom0's ssh",
            self._ssh_answers,
            _BOOT_TIMEOUT_S,
            self.console_log,
        )
