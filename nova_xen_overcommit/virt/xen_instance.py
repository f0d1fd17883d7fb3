# SPDX-License-Identifier: Apache-2.0
"""A running Xen guest, where libxl takes other arguments than QEMU."""

import threading
from typing import Any

from nova.virt.libvirt import guest as libvirt_guest

# libxl refuses a migration with any other parameter, such as a bandwidth.
_KNOWN = ("destination_xml", "migrate_uri")
# libxl gives each of a domain's block devices 10 s to be set up by a script
# that all domains wait for in turn: a few starts at once on a busy host fail
# each other.
_STARTING = threading.Lock()


class XenInstance(libvirt_guest.Guest):
    """Nova's guest over libxl."""

    def launch(self, pause: bool = False) -> None:
        """Start the domain, one at a time."""
        with _STARTING:
            super().launch(pause=pause)

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
