# SPDX-License-Identifier: Apache-2.0
"""From Nova's objects to what the decision needs.

Nova's objects are duck-typed here, so that nothing of Nova is imported.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from nova_xen_overcommit import exception, extra_specs
from nova_xen_overcommit import report as report_module
from nova_xen_overcommit.report import RESERVED_KEY, HostReport
from nova_xen_overcommit.scheduler import admission
from nova_xen_overcommit.scheduler.admission import HostFigures, Request, Why


def request_of(spec: Any) -> Request:
    """Read a ``RequestSpec``.

    :raises InvalidConfiguration: the flavor's extra specs are not of their
        form.
    """
    flavor = spec.flavor
    specs = extra_specs.parse(
        _extra_specs(flavor), flavor.memory_mb, _image_properties(spec)
    )
    if specs.overcommit and _has_devices(spec):
        specs = specs.exempt("it has PCI devices")
    return Request(
        memory_mib=flavor.memory_mb,
        floor_mib=specs.floor_mib,
        swap_mib=flavor.swap or 0,
        overcommit=specs.overcommit,
    )


class Reading(NamedTuple):
    """What one host says: ``report`` is None where ``why_not`` says why."""

    figures: HostFigures
    report: HostReport | None
    why_not: Why


def read(host_state: Any, default_reserved_mib: int) -> Reading:
    """Read a ``HostState``.

    ``default_reserved_mib`` stands in where the host doesn't say what it
    reserves.
    """
    # A host that was never updated has no stats.
    stats: Mapping[str, Any] = getattr(host_state, "stats", None) or {}
    figures = HostFigures(
        host_state.total_usable_ram_mb,
        host_state.free_ram_mb,
        _reserved_mib(
            stats, host_state.total_usable_ram_mb, default_reserved_mib
        ),
        host_state.num_instances,
    )
    found = report_module.read_stats(stats)
    if isinstance(found, exception.InvalidReport):
        return Reading(figures, None, admission.why_invalid(found))
    return Reading(figures, found, admission.NO_REPORT)


def uuid_of(spec: Any) -> str:
    """Give the UUID of the instance that a ``RequestSpec`` is about."""
    return str(spec.instance_uuid) if "instance_uuid" in spec else "unknown"


def _reserved_mib(
    stats: Mapping[str, Any], total_mib: int, default_mib: int
) -> int:
    try:
        reserved_mib = int(stats[RESERVED_KEY])
    except (KeyError, ValueError, TypeError, OverflowError):
        return default_mib
    # Beyond the total it would hide what was placed since the report.
    return reserved_mib if 0 <= reserved_mib <= total_mib else default_mib


def _extra_specs(flavor: Any) -> Mapping[str, str]:
    specs: Mapping[str, str] = {}
    if "extra_specs" in flavor and flavor.extra_specs:
        specs = flavor.extra_specs
    return specs


def _image_properties(spec: Any) -> dict[str, Any]:
    image = spec.image if "image" in spec else None
    properties = image.properties if image and "properties" in image else None
    if properties is None:
        return {}
    return {
        name: getattr(properties, name)
        for name in extra_specs.IMAGE_PROPERTIES
        if name in properties.fields and name in properties
    }


def _has_devices(spec: Any) -> bool:
    # Not only the flavor's: SR-IOV ports bring theirs.
    requests = spec.pci_requests if "pci_requests" in spec else None
    return bool(requests and requests.requests)
