# SPDX-License-Identifier: Apache-2.0
"""Our package in dom0, installed and configured as an operator would."""

import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from tests.lab import openstack_conf, paths, steps, xenhost
from tests.lab import settings as lab_settings

AGENT = "nova-xen-overcommit-agent"
COMPUTE = "nova-xen-overcommit-compute"
_UNITS = paths.TREE / "etc/systemd"
# nova-compute runs as root here: the image has neither sudo nor rootwrap.
_DROP_IN = "[Service]\nUser=root\nTimeoutStopSec=20\n"
# The most Xen's scheduler knows. Beside it all guests are alike, whatever
# they weigh: what keeps a guest from the processor is a cap.
_FIRST_WEIGHT = 65535
_INSTALL = """\
set -e
id nova >/dev/null 2>&1 || useradd -r -d /var/lib/nova -s /bin/false nova
mkdir -p /var/lib/nova/instances /var/lib/nova/locks /etc/nova
cd /root/lab
/opt/nova/bin/pip -q --disable-pip-version-check install --no-deps \
    --no-index --force-reinstall ./*.whl
for name in {agent} {compute}; do
    ln -sf /opt/nova/bin/$name /usr/bin/$name
    cp $name.service /etc/systemd/system/
done
mkdir -p /etc/systemd/system/{compute}.service.d
cp lab.conf /etc/systemd/system/{compute}.service.d/
[ -e /swap ] || {{ fallocate -l 2G /swap && chmod 600 /swap &&
    mkswap /swap >/dev/null && swapon /swap; }}
# Emulated, nova-compute may stand still for longer than that lasts.
grep -q ^keepalive_interval /etc/libvirt/libvirtd.conf ||
    {{ echo "keepalive_interval = -1" >>/etc/libvirt/libvirtd.conf &&
    systemctl restart libvirtd; }}
systemctl daemon-reload
rm -f ./*.whl
"""


def build_wheel(out: pathlib.Path, log: pathlib.Path) -> pathlib.Path:
    """Build the tree's wheel."""
    out.mkdir(parents=True, exist_ok=True)
    steps.run(
        [sys.executable, "-m", "pip", "-q", "wheel", "--no-deps"]
        + ["-w", str(out), str(paths.TREE)],
        log,
    )
    return max(out.glob("*.whl"))


class Dom0:
    """What is done to dom0 over ssh."""

    def __init__(
        self, settings: lab_settings.Settings, host: xenhost.XenHost
    ) -> None:
        self._settings = settings
        self._host = host

    def install(self, wheel: pathlib.Path) -> None:
        """Install wheel and units; nothing is started."""
        with tempfile.TemporaryDirectory() as name:
            drop_in = pathlib.Path(name, "lab.conf")
            drop_in.write_text(_DROP_IN)
            units = [_UNITS / f"{x}.service" for x in (AGENT, COMPUTE)]
            tools = sorted((paths.LAB / "dom0").glob("*.py"))
            files = [wheel, *units, drop_in, *tools]
            self._host.put(files, "/root/lab")
        script = _INSTALL.format(agent=AGENT, compute=COMPUTE)
        self._host.ssh(script, timeout_s=300)
        # Guests that swap would keep dom0, who does it for them, from running.
        self._host.ssh(f"xl sched-credit2 -d Domain-0 -w {_FIRST_WEIGHT}")

    def configure(
        self,
        mode: str,
        overrides: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        """Write nova.conf; :meth:`restart` makes it known."""
        conf = openstack_conf.compute(self._settings, mode, overrides or {})
        self._host.ssh(
            "umask 077; cat >/etc/nova/nova.conf",
            stdin=openstack_conf.render(conf),
        )

    def mode(self) -> str:
        """The mode that nova.conf tells."""
        told = self._host.ssh("grep '^mode = ' /etc/nova/nova.conf")
        return told.split()[-1]

    def restart(self, *units: str) -> None:
        """Start or restart units."""
        self._host.ssh(f"systemctl restart {' '.join(units)}", timeout_s=120)

    def reload(self, *units: str) -> None:
        """Let units read those options again that may change."""
        command = "systemctl kill --kill-whom=main -s HUP"
        self._host.ssh(f"{command} {' '.join(units)}")

    def stop(self, unit: str) -> None:
        """Stop a unit."""
        self._host.ssh(f"systemctl stop {unit}", timeout_s=120)

    def journal(self, unit: str, lines: int = 60) -> str:
        """The newest lines of a unit's log."""
        command = f"journalctl -o cat -u {unit} -n {lines} --no-pager"
        return self._host.ssh(command)

    def cap(self, domain: str, percent: int) -> None:
        """Let a guest have no more than that of one processor."""
        self._host.ssh(f"xl sched-credit2 -d {domain} -c {percent}")

    def agent_status(self) -> dict[str, Any]:
        """What the agent says of itself."""
        told = self._host.ssh("/opt/nova/bin/python /root/lab/status.py")
        return dict(json.loads(told))

    def save_logs(self) -> None:
        """Bring dom0's logs where the lab's other logs are."""
        try:
            text = self._host.ssh(
                "journalctl --no-pager -o short-precise", timeout_s=60
            )
        except (steps.LabError, subprocess.TimeoutExpired):
            return
        (paths.logs() / "dom0.log").write_text(text)
