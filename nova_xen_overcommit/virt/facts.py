# SPDX-License-Identifier: Apache-2.0
"""What an instance asks for, in the terms of the agent."""

import dataclasses
from typing import Any, Self

from nova_xen_overcommit import extra_specs, guest_metadata
from nova_xen_overcommit.agent import protocol

_KIB = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceFacts:
    """An instance's memory needs; sizes in KiB."""

    uuid: str
    name: str
    flavor_kib: int
    vcpus: int
    floor_kib: int
    swap_kib: int
    weight: float
    overcommit: bool

    @classmethod
    def of(cls, instance: Any, flavor: Any = None) -> Self:
        """Read Nova's instance, with another flavor where it resizes.

        :raises OvercommitError: the extra specs are not of their form.
        """
        flavor = flavor or instance.flavor
        specs = extra_specs.parse(
            flavor.extra_specs or {},
            flavor.memory_mb,
            _image_properties(instance),
        )
        return cls(
            uuid=instance.uuid,
            name=instance.name,
            flavor_kib=flavor.memory_mb * _KIB,
            vcpus=flavor.vcpus,
            floor_kib=min(specs.floor_mib, flavor.memory_mb) * _KIB,
            swap_kib=flavor.swap * _KIB,
            weight=specs.weight,
            overcommit=specs.overcommit and not _has_pci_devices(instance),
        )

    def metadata(self) -> guest_metadata.GuestMetadata:
        """Give what goes into the domain for the agent."""
        return guest_metadata.GuestMetadata(
            floor_kib=self.floor_kib,
            swap_kib=self.swap_kib,
            weight=self.weight,
            overcommit=self.overcommit,
        )

    def request(
        self, os_type: str, restore_kib: int = 0
    ) -> protocol.StartRequest:
        """Give the agent's start request."""
        return protocol.StartRequest(
            uuid=self.uuid,
            name=self.name,
            flavor_kib=self.flavor_kib,
            vcpus=self.vcpus,
            os_type=os_type,
            floor_kib=self.floor_kib,
            swap_kib=self.swap_kib,
            restore_kib=restore_kib,
            overcommit=self.overcommit,
        )


def _image_properties(instance: Any) -> dict[str, Any]:
    properties = instance.image_meta.properties
    return {
        name: getattr(properties, name)
        for name in properties.fields
        if properties.obj_attr_is_set(name)
    }


def _has_pci_devices(instance: Any) -> bool:
    # Ports may ask for devices that no flavor tells of.
    requests = instance.pci_requests
    return bool(requests and requests.requests)
