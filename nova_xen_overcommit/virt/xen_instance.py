# SPDX-License-Identifier: Apache-2.0
"""A running Xen guest, where libxl takes other arguments than QEMU."""

from typing import Any

from nova.virt.libvirt import guest as libvirt_guest

# libxl refuses a migration with any other parameter, such as a bandwidth.
_KNOWN = ("destination_xml", "migrate_uri")


class XenInstance(libvirt_guest.Guest):
    """Nova's guest over libxl."""

    def migrate(
        self,
        destination: str,
        migrate_uri: str | None = None,
        migrate_disks: Any = None,  # noqa: ARG002
        destination_xml: str | None = None,
        flags: int = 0,
        **_unknown: Any,
    ) -> None:
        """Move the guest to another host; storage must be shared.

        Nova's flags (live, peer to peer, undefine here, persist there) are
        those that libxl knows.
        """
        given = (destination_xml, migrate_uri)
        params = {
            name: value
            for name, value in zip(_KNOWN, given, strict=True)
            if value
        }
        libvirt = libvirt_guest.libvirt
        flags &= ~libvirt.VIR_MIGRATE_NON_SHARED_INC
        self._domain.migrateToURI3(destination, params=params, flags=flags)
