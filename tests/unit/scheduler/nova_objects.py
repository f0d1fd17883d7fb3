# SPDX-License-Identifier: Apache-2.0
"""Nova's real host state and request, filled without a database."""

from typing import Any

from nova import objects
from nova.scheduler import host_manager

from nova_xen_overcommit.report import RESERVED_KEY, HostReport
from tests.unit.scheduler import world

objects.register_all()


def host_state(
    report: HostReport | None = world.REPORT,
    name: str = "host1",
    free_mib: int = world.HOST.free_mib,
    **stats: Any,
) -> host_manager.HostState:
    """Give the host of :mod:`world` as the scheduler holds it."""
    state = host_manager.HostState(name, name, None)
    state.total_usable_ram_mb = world.HOST.total_mib
    state.free_ram_mb = free_mib
    state.num_instances = world.HOST.instances
    state.stats = {RESERVED_KEY: str(world.RESERVED_MIB), **stats}
    if report is not None:
        state.stats.update(report.to_stats())
    return state


def request_spec(
    extra_specs: dict[str, str] | None = None,
    image: dict[str, Any] | None = None,
    pci_alias: str | None = None,
    hints: dict[str, list[str]] | None = None,
    uuid: str = "6e1f2f0a-39e8-4a8b-9f3d-6f6f3a2f9c11",
    **flavor: Any,
) -> objects.RequestSpec:
    """Give the request for a 1 GiB guest with 1 GiB of swap."""
    sizes = {"memory_mb": 1024, "swap": 1024, **flavor}
    spec = objects.RequestSpec(
        instance_uuid=uuid,
        flavor=objects.Flavor(
            name="small",
            vcpus=1,
            root_gb=1,
            ephemeral_gb=0,
            extra_specs=extra_specs or {},
            **sizes,
        ),
        num_instances=1,
        numa_topology=None,
        scheduler_hints=hints or {},
        pci_requests=objects.InstancePCIRequests(requests=[]),
    )
    if image is not None:
        properties = objects.ImageMetaProps.from_dict(image)
        spec.image = objects.ImageMeta(properties=properties)
    if pci_alias:
        spec.pci_requests.requests.append(
            objects.InstancePCIRequest(count=1, alias_name=pci_alias)
        )
    return spec
