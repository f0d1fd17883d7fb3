# SPDX-License-Identifier: Apache-2.0
"""Real Nova and real Placement in this process.

Nova ships the harness of its own functional tests: its API, scheduler,
conductor and compute services and Placement, each the real code, on SQLite
and an in-process message bus. Keystone, Glance, Neutron and Cinder are that
harness's stand-ins. What is a test there is our stage here.
"""

# Nova wants to choose its concurrency backend before anything else.
import os

os.environ.setdefault("OS_NOVA_DISABLE_EVENTLET_PATCHING", "1")

from nova import monkey_patch

monkey_patch.patch()

import dataclasses  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import unittest  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import nova.conf  # noqa: E402
import nova.virt  # noqa: E402
from nova import context  # noqa: E402
from nova.tests.functional import integrated_helpers  # noqa: E402

from demo import host  # noqa: E402
from nova_xen_overcommit.virt import bootstrap, inventory  # noqa: E402

FLAVOR_MIB = 1024
SWAP_MIB = 1024
_COMPUTE = "demo-host"
_FILTERS = [
    "ComputeFilter",
    "ComputeCapabilitiesFilter",
    "ImagePropertiesFilter",
    "XenOvercommitFilter",
]
_OURS = "nova_xen_overcommit.scheduler"
_START_WITHIN_S = 60.0
_POLL_S = 0.1
_UPDATE_EVERY_S = 1.0
_TRACEBACK = "Traceback (most recent call last)"


@dataclasses.dataclass(frozen=True, slots=True)
class Where:
    """Where the compute host's parts are found."""

    uri: str
    agent_socket: Path


class Stack(integrated_helpers.ProviderUsageBaseTestCase):  # type: ignore[misc]
    """Nova and Placement, up while ``body`` runs with this object."""

    compute_driver = "overcommit_demo.DemoDriver"
    reserved_mib = host.RESERVED_MIB
    flavor_name = "demo.1g"
    flavor_mib = FLAVOR_MIB
    swap_mib = SWAP_MIB

    def __init__(self, where: Where, body: Callable[["Stack"], None]) -> None:
        super().__init__("runTest")
        self._where = where
        self._body = body

    def setUp(self) -> None:
        """Start all services and make the flavor."""
        bootstrap.prepare()
        own = str(Path(__file__).parent / "nova_virt")
        if own not in nova.virt.__path__:
            nova.virt.__path__.append(own)
        self._configure()
        super().setUp()
        self._compute = self._start_compute(_COMPUTE)
        self._flavor = self._make_flavor()
        self._provider = self._get_provider_uuid_by_host(self.node)
        self._keep_updating()

    def _configure(self) -> None:
        paste = Path(sys.prefix, "etc", "nova", "api-paste.ini")
        self.flags(api_paste_config=str(paste), group="wsgi")
        self.flags(reserved_host_memory_mb=self.reserved_mib)
        self.flags(connection_uri=self._where.uri, group="libvirt")
        self.flags(
            enabled_filters=_FILTERS,
            available_filters=[
                "nova.scheduler.filters.all_filters",
                f"{_OURS}.filters.XenOvercommitFilter",
            ],
            weight_classes=[
                "nova.scheduler.weights.all_weighers",
                f"{_OURS}.weights.XenOvercommitWeigher",
            ],
            group="filter_scheduler",
        )
        self.flags(
            agent_socket=str(self._where.agent_socket),
            reserve_wait_s=15,
            group="xen_overcommit",
        )
        # Nobody should believe the quota was what refused.
        self.flags(instances=-1, cores=-1, ram=-1, group="quota")

    def _keep_updating(self) -> None:
        """Run nova-compute's periodic task each second, not each minute.

        Nova's own timer would run it without saying in which cell: in one
        process with cell 0, that is the cell that was used last.
        """
        admin = context.get_admin_context()
        context.set_target_cell(admin, self.cell_mappings["cell1"])
        leaving = threading.Event()

        def update() -> None:
            while not leaving.wait(_UPDATE_EVERY_S):
                self._compute.manager.update_available_resource(admin)

        thread = threading.Thread(target=update, name="updates", daemon=True)
        thread.start()
        self.addCleanup(thread.join, 10.0)
        self.addCleanup(leaving.set)

    def _make_flavor(self) -> str:
        flavor = self._build_flavor(
            name=self.flavor_name, memory_mb=self.flavor_mib, vcpu=1, disk=1
        )
        flavor["flavor"]["swap"] = self.swap_mib
        flavor["flavor"]["OS-FLV-EXT-DATA:ephemeral"] = 0
        return str(self.admin_api.post_flavor(flavor)["id"])

    def runTest(self) -> None:  # noqa: N802 - unittest's name
        """Run the body."""
        self._body(self)

    def set_mode(self, mode: str) -> None:
        """Set nova-compute's mode, as a changed nova.conf and SIGHUP do."""
        nova.conf.CONF.set_override("mode", mode, group="xen_overcommit")

    @property
    def node(self) -> str:
        """What the driver calls its only node."""
        return _COMPUTE

    @property
    def image(self) -> str | None:
        """The image to start from; None for any."""
        return None

    def ask(self, name: str) -> tuple[str, str]:
        """Ask the API for an instance.

        Gives its UUID and "" when it runs, or what Nova answered.
        """
        server = self._build_server(
            name=name,
            flavor_id=self._flavor,
            networks="none",
            **({"image_uuid": self.image} if self.image else {}),
        )
        made = self.api.post_server({"server": server})
        give_up_s = time.monotonic() + _START_WITHIN_S
        while time.monotonic() < give_up_s:
            server = self.api.get_server(made["id"])
            if server["status"] == "ACTIVE":
                return str(made["id"]), ""
            if server["status"] == "ERROR":
                return str(made["id"]), str(server["fault"]["message"])
            time.sleep(_POLL_S)
        return str(made["id"]), f"not running after {_START_WITHIN_S:.0f} s"

    def forget(self, uuid: str) -> None:
        """Delete an instance that could not be placed."""
        self.api.delete_server(uuid)

    def running(self) -> dict[str, str]:
        """Give name by UUID of the instances that Nova says are running."""
        servers: list[dict[str, Any]] = self.api.get_servers()
        return {
            server["id"]: server["name"]
            for server in servers
            if server["status"] == "ACTIVE"
        }

    def capacity_mib(self) -> int:
        """Give the memory that Placement may hand out, from its API."""
        memory = self._get_provider_inventory(self._provider)["MEMORY_MB"]
        return inventory.capacity_mib(
            memory["total"], memory["reserved"], memory["allocation_ratio"]
        )


def run(
    where: Where,
    body: Callable[[Any], None],
    kind: type[Stack] = Stack,
) -> None:
    """Run ``body`` with all services of ``kind`` up.

    :raises RuntimeError: a service or the body failed; the text says where.
    """
    result = unittest.TestResult()
    kind(where, body).run(result)
    failures = [*result.errors, *result.failures]
    if failures:
        _case, text = failures[0]
        # Before the traceback comes all that was logged.
        raise RuntimeError(text[text.rfind(_TRACEBACK) :])
