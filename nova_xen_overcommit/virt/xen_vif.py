# SPDX-License-Identifier: Apache-2.0
"""Network interfaces of Xen guests, also those attached while running."""

from typing import Any

from nova.virt.libvirt import vif as libvirt_vif

from nova_xen_overcommit.virt import xen_devices, xen_guest, xen_patches


class XenVIFDriver(libvirt_vif.LibvirtGenericVIFDriver):
    """Nova's interface driver with Xen's models."""

    def get_vif_model(
        self, image_meta: Any = None, vif_model: Any = None
    ) -> Any:
        """Give the model an image names; an OS name alone says virtio."""
        if not image_meta:
            return vif_model
        return image_meta.properties.get("hw_vif_model", vif_model)

    def get_config(
        self,
        instance: Any,
        vif: Any,
        image_meta: Any,
        flavor: Any,
        virt_type: str,
    ) -> Any:
        """Give the interface's configuration as libxl takes it."""
        config = super().get_config(
            instance, vif, image_meta, flavor, virt_type
        )
        kind = xen_patches.kind_of(instance)
        emulated = kind is xen_guest.Kind.HVM
        return xen_devices.convert(config, emulated=emulated)
