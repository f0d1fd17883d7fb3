# SPDX-License-Identifier: Apache-2.0
"""Base of the functional tests: a real Nova in this process.

API, scheduler, conductor, compute and Placement are Nova's own, over SQLite
in memory and an in-process message bus. Only what is below Nova's libvirt
driver is Nova's fake libvirt, whose hosts have whatever size a test says.
"""

import pathlib
import sys
from typing import Any

import fixtures
from nova.tests.fixtures import libvirt as fakelibvirt
from nova.tests.functional.libvirt import base

from nova_xen_overcommit.virt import bootstrap

# As the console script does, before Nova's fixtures replace anything.
bootstrap.prepare()

FLAVOR_MIB = 1024
HOST_MIB = 4096
FILTER = "XenOvercommitFilter"
WEIGHER = "nova_xen_overcommit.scheduler.weights.XenOvercommitWeigher"
_ALL_FILTERS = "nova.scheduler.filters.all_filters"
_OUR_FILTER = f"nova_xen_overcommit.scheduler.filters.{FILTER}"


def api_paste_config() -> str:
    """Give the path at which Nova's wheel has put api-paste.ini.

    :raises FileNotFoundError: Nova is not installed in this environment.
    """
    path = pathlib.Path(sys.prefix, "etc", "nova", "api-paste.ini")
    if not path.exists():
        raise FileNotFoundError(path)
    return str(path)


class FunctionalTestCase(base.ServersTestBase):  # type: ignore[misc]
    """A Nova with our filter and weigher, and a flavor of 1 GiB.

    No compute is running yet: a test starts those it needs with
    :meth:`start_host`. ``compute_driver`` is what runs on them.
    """

    api_major_version = "v2.1"
    microversion = "latest"
    ADMIN_API = True
    compute_driver = "libvirt.LibvirtDriver"

    def setUp(self) -> None:
        self.flags(api_paste_config=api_paste_config(), group="wsgi")
        super().setUp()
        self.flags(reserved_host_memory_mb=512)
        self.flavor_id = self._create_flavor(
            memory_mb=FLAVOR_MIB, vcpu=1, disk=1, swap=256
        )

    def _setup_compute_service(self) -> None:
        self.flags(compute_driver=self.compute_driver)

    def _setup_scheduler_service(self) -> Any:
        self.flags(
            available_filters=[_ALL_FILTERS, _OUR_FILTER],
            weight_classes=["nova.scheduler.weights.all_weighers", WEIGHER],
            group="filter_scheduler",
        )
        self.ADDITIONAL_FILTERS = [FILTER]
        return super()._setup_scheduler_service()

    def start_host(self, name: str, memory_mib: int = HOST_MIB) -> str:
        """Start a nova-compute on a fake libvirt host of ``memory_mib``."""
        host = fakelibvirt.HostInfo(
            cpu_nodes=1,
            cpu_sockets=1,
            cpu_cores=15,
            cpu_threads=1,
            kB_mem=memory_mib * 1024,
        )
        return str(self.start_compute(hostname=name, host_info=host))

    def _get_connection(self, *args: Any, **kwargs: Any) -> Any:
        connection = super()._get_connection(*args, **kwargs)
        stock = connection.getInfo

        def get_info() -> list[Any]:
            # libvirt gives MiB here; the fake gives its KiB as they are.
            model, memory_kib, *rest = stock()
            return [model, memory_kib // 1024, *rest]

        connection.getInfo = get_info
        return connection

    def boot(self, expected: str = "ACTIVE", **api_args: Any) -> Any:
        """Ask Nova's API for an instance and wait for its status."""
        api_args.setdefault("flavor_id", self.flavor_id)
        return self._create_server(
            networks="none", expected_state=expected, **api_args
        )

    def let_disks_move(self) -> None:
        """Take the disks of a resize or a cold migration as moved."""
        for method, result in (
            ("migrate_disk_and_power_off", "{}"),
            ("_is_path_shared_with", True),
        ):
            self.useFixture(
                fixtures.MonkeyPatch(
                    f"nova.virt.libvirt.driver.LibvirtDriver.{method}",
                    lambda *args, _result=result, **kwargs: _result,
                )
            )

    def memory_inventory(self, host: str) -> Any:
        """Give what Placement knows of a host's MEMORY_MB."""
        provider = self.compute_rp_uuids[host]
        path = f"/resource_providers/{provider}/inventories/MEMORY_MB"
        return self.placement.get(path).body
