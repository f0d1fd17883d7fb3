# SPDX-License-Identifier: Apache-2.0
"""A cloud of real records: Nova's scheduler over as many hosts as asked for.

Scheduler, databases (SQLite in memory) and Placement are Nova's own, by the
fixtures of its functional tests. Nothing runs on the hosts: what their
nova-compute would have written is written for them.
"""

import contextlib
import json
import logging
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from nova import context as nova_context
from nova import objects
from nova.db.main import api as database
from nova.db.main import models
from nova.scheduler import host_manager
from nova.tests.functional.libvirt import base
from oslo_utils import timeutils, uuidutils

from nova_xen_overcommit import report

FILTER = "XenOvercommitFilter"
HOST_MIB = 65536
RESERVED_MIB = 2048
FLAVOR_MIB = 2048
# Flavors of eight guests; as much again is promised beside.
COMMITTED_MIB = 8 * FLAVOR_MIB
RATIO = 2.0
AGGREGATE = {"memory": "overcommit"}
EXTRA_SPECS = {
    "aggregate_instance_extra_specs:memory": "overcommit",
    "capabilities:hypervisor_type": "xen",
}
CPU_INFO = {
    "arch": "x86_64",
    "model": "EPYC-Rome",
    "vendor": "AMD",
    "features": ["aes", "avx2", "sse4.2", "svm", "xsave"],
    "topology": {"cells": 1, "sockets": 1, "cores": 32, "threads": 2},
}


def a_report(number: int, now_s: float) -> report.HostReport:
    """Give what the agent of host ``number`` would report."""
    return report.HostReport(
        time_s=round(now_s, 3),
        mode="overcommit",
        state=report.NORMAL,
        physical_mib=HOST_MIB,
        usable_mib=HOST_MIB - RESERVED_MIB,
        reserve_mib=128,
        free_mib=9000 + number,
        committed_mib=COMMITTED_MIB,
        promise_mib=110_000 + number,
        floors_mib=8 * 420,
        demand_mib=6000 + number,
        peak_mib=9000 + number,
        idle_mib=8000 + number,
        reclaimable_mib=7000 + number,
        swap_mib=COMMITTED_MIB * 8,
        max_ratio=4.0,
        floor_share=0.02,
        start_share=0.25,
        require_guest_swap=True,
        guests=8,
        uncooperative=0,
    )


def stats_of(number: int, now_s: float) -> dict[str, str]:
    """Give the stats of host ``number``: Nova's own, and ours."""
    return {
        "num_instances": "8",
        "io_workload": "0",
        "failed_builds": "0",
        "num_vm_active": "8",
        "num_task_None": "8",
        "num_os_type_None": "8",
        "num_proj_5f705771d1a1457b9a1d0d0b1c4f6a6d": "8",
        "uptime": "up 12 days, 3:04, 0 users, load average: 0.1, 0.2, 0.1",
        report.RESERVED_KEY: str(RESERVED_MIB),
        **a_report(number, now_s).to_stats(),
    }


class Cloud(base.ServersTestBase):  # type: ignore[misc]
    """``hosts`` hosts; one aggregate has them all."""

    microversion = "latest"
    ADMIN_API = True
    hosts = 1000

    def runTest(self) -> None:  # noqa: N802
        """Nothing: it is a fixture here."""

    def setUp(self) -> None:
        """Start Nova without any nova-compute, and make its hosts."""
        paste = pathlib.Path(sys.prefix, "etc", "nova", "api-paste.ini")
        self.flags(api_paste_config=str(paste), group="wsgi")
        # Nobody sends heartbeats, nor reports by himself.
        self.flags(service_down_time=86400)
        super().setUp()
        self.flags(report_max_age_s=3600, group="xen_overcommit")
        self._quiet()
        self.context = nova_context.get_admin_context()
        self.cell_context = nova_context.get_admin_context()
        cell = self.cell_mappings["cell1"]
        nova_context.set_target_cell(self.cell_context, cell)
        self.names = [f"compute{n:04}" for n in range(self.hosts)]
        self.uuids = [uuidutils.generate_uuid() for _ in self.names]
        for number, name in enumerate(self.names):
            self._make_host(number, name, cell)
        self._make_aggregate()

    def _setup_scheduler_service(self) -> Any:
        self.flags(
            available_filters=[
                "nova.scheduler.filters.all_filters",
                f"nova_xen_overcommit.scheduler.filters.{FILTER}",
            ],
            group="filter_scheduler",
        )
        self.ADDITIONAL_FILTERS = [FILTER]
        return super()._setup_scheduler_service()

    @staticmethod
    def _quiet() -> None:
        # Nova's tests word each debug message; a scheduler in use doesn't.
        logging.getLogger().setLevel(logging.WARNING)
        logging.getLogger("nova").setLevel(logging.WARNING)

    @property
    def manager(self) -> Any:
        """Nova's SchedulerManager."""
        return self.scheduler.manager

    def _make_host(self, number: int, name: str, cell: Any) -> None:
        objects.Service(
            context=self.cell_context,
            host=name,
            binary="nova-compute",
            topic="compute",
            report_count=1,
            last_seen_up=timeutils.utcnow(),
        ).create()
        objects.ComputeNode(
            context=self.cell_context,
            uuid=self.uuids[number],
            host=name,
            hypervisor_hostname=name,
            hypervisor_type="xen",
            hypervisor_version=4017000,
            host_ip="10.0.0.1",
            vcpus=64,
            vcpus_used=8,
            memory_mb=HOST_MIB,
            memory_mb_used=RESERVED_MIB + COMMITTED_MIB,
            free_ram_mb=HOST_MIB - RESERVED_MIB - COMMITTED_MIB,
            local_gb=1000,
            local_gb_used=80,
            free_disk_gb=920,
            disk_available_least=900,
            running_vms=8,
            current_workload=0,
            cpu_info=json.dumps(CPU_INFO),
            metrics="[]",
            stats=stats_of(number, time.time()),
            supported_hv_specs=[
                objects.HVSpec.from_list(["x86_64", "xen", kind])
                for kind in ("xen", "hvm")
            ],
            cpu_allocation_ratio=16.0,
            ram_allocation_ratio=RATIO,
            disk_allocation_ratio=1.0,
        ).create()
        objects.HostMapping(
            context=self.context, host=name, cell_mapping=cell
        ).create()
        self._make_provider(name, self.uuids[number])
        # As nova-compute does when it starts and every two minutes: only who
        # is in step isn't looked up in the database with each request.
        self.manager.update_instance_info(
            self.context, name, objects.InstanceList(objects=[])
        )
        self.manager.sync_instance_info(self.context, name, [])

    def _make_provider(self, name: str, uuid: str) -> None:
        made = self.placement.post(
            "/resource_providers", {"name": name, "uuid": uuid}, version="1.20"
        )
        inventories = {
            "VCPU": {"total": 64, "allocation_ratio": 16.0},
            "MEMORY_MB": {
                "total": HOST_MIB,
                "reserved": RESERVED_MIB,
                "allocation_ratio": RATIO,
            },
            "DISK_GB": {"total": 1000},
        }
        self._put(
            f"/resource_providers/{uuid}/inventories",
            {
                "resource_provider_generation": made.body["generation"],
                "inventories": inventories,
            },
        )
        self._put(
            f"/resource_providers/{uuid}/traits",
            {
                "resource_provider_generation": made.body["generation"] + 1,
                "traits": ["COMPUTE_NODE", "OWNER_NOVA"],
            },
        )

    def _put(self, path: str, body: dict[str, Any]) -> None:
        answer = self.placement.put(path, body, version="1.20")
        assert answer.status == 200, answer.content

    def _make_aggregate(self) -> None:
        aggregate = objects.Aggregate(
            context=self.context, name="overcommitted", metadata=AGGREGATE
        )
        aggregate.create()
        aggregate.hosts = list(self.names)
        self.manager.update_aggregates(self.context, [aggregate])

    def report_anew(self) -> None:
        """Let each host send its next report."""
        now_s = time.time()
        rows = database.compute_node_get_all(self.cell_context)
        ids = {row["uuid"]: row["id"] for row in rows}
        updates = [
            {
                "id": ids[uuid],
                "stats": json.dumps(stats_of(number, now_s)),
                "updated_at": timeutils.utcnow(),
            }
            for number, uuid in enumerate(self.uuids)
        ]
        manager = database.get_context_manager(self.cell_context)
        with manager.writer.using(self.cell_context) as session:
            session.bulk_update_mappings(models.ComputeNode, updates)

    def host_states(self) -> list[host_manager.HostState]:
        """Give the hosts as the scheduler reads them for a request."""
        manager = self.manager.host_manager
        return list(
            manager.get_host_states_by_uuids(
                self.context, set(self.uuids), None
            )
        )

    def request_spec(self) -> objects.RequestSpec:
        """Give a request for one instance."""
        flavor = objects.Flavor(
            flavorid="overcommitted",
            name="overcommitted",
            memory_mb=FLAVOR_MIB,
            vcpus=2,
            root_gb=10,
            ephemeral_gb=0,
            swap=FLAVOR_MIB,
            rxtx_factor=1.0,
            vcpu_weight=0,
            disabled=False,
            is_public=True,
            description=None,
            projects=[],
            extra_specs=dict(EXTRA_SPECS),
        )
        properties = objects.ImageMetaProps(hw_machine_type="xenpvh")
        return objects.RequestSpec(
            context=self.context,
            instance_uuid=uuidutils.generate_uuid(),
            project_id="5f705771d1a1457b9a1d0d0b1c4f6a6d",
            user_id="e3a6c1b0f4d94c4a8e0c9b8d7f6a5e4d",
            num_instances=1,
            flavor=flavor,
            image=objects.ImageMeta(
                id=uuidutils.generate_uuid(), properties=properties
            ),
            is_bfv=False,
            numa_topology=None,
            pci_requests=objects.InstancePCIRequests(requests=[]),
            scheduler_hints={},
            ignore_hosts=None,
            force_hosts=None,
            force_nodes=None,
            requested_destination=None,
            requested_resources=[],
            request_level_params=objects.RequestLevelParams(),
            requested_networks=objects.NetworkRequestList(objects=[]),
            limits=objects.SchedulerLimits(),
            instance_group=None,
            availability_zone=None,
            retry=None,
            security_groups=objects.SecurityGroupList(objects=[]),
        )

    def forget(self, spec: objects.RequestSpec) -> None:
        """Take back what the scheduler has claimed for ``spec``."""
        self.placement.delete(f"/allocations/{spec.instance_uuid}")


@contextlib.contextmanager
def made(hosts: int) -> Iterator[Cloud]:
    """Give a cloud, and take it down in the end."""
    cloud = Cloud()
    cloud.hosts = hosts
    try:
        cloud.setUp()
        yield cloud
    finally:
        cloud.doCleanups()
