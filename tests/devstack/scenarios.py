# SPDX-License-Identifier: Apache-2.0
"""The nodes that are stacked: each a local.conf, and what to expect."""

import dataclasses
import pathlib
from typing import Any

_SAMPLES = pathlib.Path(__file__).resolve().parents[2] / "devstack/samples"
# The user's own name for the clone, unlike the project's; the samples have
# the project's.
_CLONE = "any-name"
_CLONE_OF_SAMPLES = "nova-xen-overcommit"
_CONTROL = "n-api,n-sch,n-cond,placement-api,mysql,rabbit"
_SERVICES = {
    "all-in-one": f"{_CONTROL},n-cpu,placement-client",
    "control": f"{_CONTROL},placement-client",
    "compute": "n-cpu,placement-client",
}
TYPES = ("qemu", "kvm", "xen")
ROLES = tuple(_SERVICES)
_LOCAL_CONF = """\
[[local|localrc]]
FORCE=yes
HOST_IP=192.0.2.10
SERVICE_HOST=192.0.2.{service_host}
DATABASE_TYPE=mysql
MYSQL_HOST=192.0.2.{service_host}
RABBIT_HOST=192.0.2.{service_host}
ADMIN_PASSWORD=secret
DATABASE_PASSWORD=secret
RABBIT_PASSWORD=secret
SERVICE_PASSWORD=secret
DOWNLOAD_DEFAULT_IMAGES=False
GIT_BASE=file:///mnt/src
VIRT_DRIVER=libvirt
LIBVIRT_TYPE={libvirt_type}
ENABLED_SERVICES={services}
XEN_OVERCOMMIT_MODE=balance
XEN_OVERCOMMIT_RESERVE_MIB=200
enable_plugin {clone} file:///mnt/src/x/nova-xen-overcommit.git

[[post-config|$NOVA_CONF]]
[xen_overcommit]
idle_tax = 0.5
{more}"""
_OPTIONS = {"mode": "balance", "reserve_mib": 200, "idle_tax": 0.5}
# What the fence can't do, for a sample that is stacked as it is: find the
# host's address, download, mount, and run OVN.
_FENCED = """
[[local|localrc]]
FORCE=yes
HOST_IP=192.0.2.10
DOWNLOAD_DEFAULT_IMAGES=False
disable_service n-novnc c-api c-sch c-vol horizon tempest etcd3 dstat
disable_service ovn-controller ovn-northd ovs-vswitchd ovsdb-server q-ovn-agent
Q_AGENT=openvswitch
"""
_RATIO = "\n[DEFAULT]\nram_allocation_ratio = 1.5\n"
_NO_VENV = "\n[[local|localrc]]\nGLOBAL_VENV=False\n"
# As much as the fence's machine has: nothing would be left for guests.
_ALL_RESERVED = "\n[[local|localrc]]\nXEN_OVERCOMMIT_HOST_RESERVED_MIB=8000\n"


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One node."""

    libvirt_type: str
    role: str
    more: str = ""
    # What stack.sh must say; where it must end, it must have said it.
    says: str = ""
    succeeds: bool = True
    under_xen: bool = True
    name: str = ""
    # A file of devstack/samples that is its local.conf.
    sample: str = ""
    # Where the user has DevStack install programs.
    bin_dir: str = "/opt/stack/data/venv/bin"
    # What nova-compute and the agent must read in [xen_overcommit].
    options: dict[str, Any] = dataclasses.field(
        default_factory=lambda: dict(_OPTIONS)
    )

    @property
    def key(self) -> str:
        """Give its name in the result."""
        return f"{self.libvirt_type}/{self.name or self.role}"

    @property
    def is_xen(self) -> bool:
        """Whether it is a compute node with Xen."""
        return self.libvirt_type == "xen" and self.computes

    @property
    def computes(self) -> bool:
        """Whether nova-compute runs there."""
        return self.role != "control"

    @property
    def schedules(self) -> bool:
        """Whether nova-scheduler runs there."""
        return self.role != "compute"

    @property
    def clone(self) -> str:
        """Give where on the node the clone of ours is."""
        name = _CLONE_OF_SAMPLES if self.sample else _CLONE
        return f"/opt/stack/{name}"

    def local_conf(self) -> str:
        """Give the text of its local.conf."""
        if self.sample:
            return (_SAMPLES / self.sample).read_text() + _FENCED
        return _LOCAL_CONF.format(
            libvirt_type=self.libvirt_type,
            services=_SERVICES[self.role],
            service_host=10 if self.schedules else 9,
            clone=_CLONE,
            more=self.more,
        )


ALL = (
    *(Scenario(kind, role) for kind in TYPES for role in ROLES),
    # Beyond these: what the plugin refuses, and what it warns of.
    Scenario(
        "xen",
        "compute",
        name="not-under-xen",
        under_xen=False,
        succeeds=False,
        says="LIBVIRT_TYPE is xen, but this host does not run under Xen",
    ),
    Scenario(
        "lxc",
        "compute",
        succeeds=False,
        says="LIBVIRT_TYPE is lxc; nova_xen_overcommit needs kvm, qemu or xen",
    ),
    Scenario(
        "qemu",
        "all-in-one",
        name="ram-allocation-ratio",
        more=_RATIO,
        says="ram_allocation_ratio is set in /etc/nova/nova-cpu.conf",
    ),
    Scenario(
        "qemu",
        "all-in-one",
        name="all-reserved",
        more=_ALL_RESERVED,
        succeeds=False,
        says="XEN_OVERCOMMIT_HOST_RESERVED_MIB is 8000",
    ),
    # The files that users begin with, and programs outside of a venv.
    Scenario(
        "qemu",
        "all-in-one",
        name="sample",
        sample="local.conf",
        options={
            "mode": "overcommit",
            "host_reserved_mib": 4096,
            "require_guest_swap": False,
            "warm_up_s": 60,
        },
    ),
    Scenario(
        "qemu",
        "all-in-one",
        name="no-global-venv",
        more=_NO_VENV,
        bin_dir="/usr/local/bin",
    ),
)
