# SPDX-License-Identifier: Apache-2.0
"""The nodes that are stacked: each a local.conf, and what to expect."""

import dataclasses

# The user's own name for the clone, unlike the project's.
CLONE = "any-name"
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
enable_plugin {clone} file:///mnt/src/overcommit.git

[[post-config|$NOVA_CONF]]
[xen_overcommit]
idle_tax = 0.5
{more}"""
_RATIO = "\n[DEFAULT]\nram_allocation_ratio = 1.5\n"


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

    def local_conf(self) -> str:
        """Give the text of its local.conf."""
        return _LOCAL_CONF.format(
            libvirt_type=self.libvirt_type,
            services=_SERVICES[self.role],
            service_host=10 if self.schedules else 9,
            clone=CLONE,
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
)
