# SPDX-License-Identifier: Apache-2.0
"""The demo's Nova with our own driver on a real ``qemu:///system``."""

from demo import stack  # isort: skip

import contextlib
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import fixtures
import libvirt  # noqa: F401 - before Nova's harness forbids to import it
from nova import context
from nova.tests import fixtures as nova_fixtures

from tests.kvm import images

FLAVOR_MIB = 512
SWAP_MIB = 512
_EMPTY_IMAGE_BYTES = 1 << 20
# What keeps Nova's tests from the machine they run on. Here it is the point.
_POISONS = (
    "GenericPoisonFixture",
    "ImportModulePoisonFixture",
    "PoisonFunctions",
    "SysFsPoisonFixture",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Where(stack.Where):
    """Where the compute host's parts are found; MiB.

    ``node`` is libvirt's name of the host, ``reserved_mib`` what of this
    machine's memory is not for guests,
    ``guest`` the directory of their kernel and initramfs.
    """

    node: str
    reserved_mib: int
    instances: Path
    guest: Path


class _Harmless(fixtures.Fixture):  # type: ignore[misc]
    """Stands where a poison would.

    Only Nova's own thread of libvirt's events stays out: the harness can't
    end it.
    """

    def __init__(self, *_args: object, **_more: object) -> None:
        super().__init__()

    def setUp(self) -> None:
        """Keep Nova from listening."""
        super().setUp()
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova.virt.libvirt.host.Host._init_events", lambda _self: None
            )
        )


@contextlib.contextmanager
def _no_poison() -> Iterator[None]:
    with contextlib.ExitStack() as patches:
        for name in _POISONS:
            patches.enter_context(
                mock.patch.object(nova_fixtures, name, _Harmless)
            )
        yield


class KvmStack(stack.Stack):
    """Nova's services, its compute with XenOvercommitDriver."""

    compute_driver = "xen_overcommit.XenOvercommitDriver"
    flavor_name = "demo.512m"
    flavor_mib = FLAVOR_MIB
    swap_mib = SWAP_MIB

    _where: Where

    def setUp(self) -> None:
        """Start all services with the machine in reach; give it an image."""
        self.useFixture(nova_fixtures.PrivsepFixture())
        with _no_poison():
            super().setUp()
        self._image = self._add_images()

    def _configure(self) -> None:
        super()._configure()
        where = self._where
        where.instances.mkdir(exist_ok=True)
        self.flags(
            reserved_host_memory_mb=where.reserved_mib,
            instances_path=str(where.instances),
            initial_cpu_allocation_ratio=16.0,
            force_raw_images=True,
        )
        self.flags(
            virt_type="qemu",
            connection_uri=where.uri,
            cpu_mode="none",
            images_type="raw",
            # Plain QEMU would take a GiB for what it translates.
            tb_cache_size=32,
            group="libvirt",
        )
        self.flags(enabled=False, group="vnc")

    def _add_images(self) -> str:
        """Give Glance's stand-in the kernel, the initramfs and a disk."""
        admin = context.get_admin_context()

        def add(name: str, kind: str, data: bytes, **properties: str) -> str:
            made: dict[str, Any] = self.glance.create(
                admin,
                {
                    "name": name,
                    "container_format": kind,
                    "disk_format": kind if kind != "bare" else "raw",
                    "size": len(data),
                    "properties": properties,
                },
                io.BytesIO(data),
            )
            return str(made["id"])

        guest = self._where.guest
        return add(
            "guest",
            "bare",
            bytes(_EMPTY_IMAGE_BYTES),
            kernel_id=add("kernel", "aki", (guest / "vmlinuz").read_bytes()),
            ramdisk_id=add(
                "ramdisk", "ari", (guest / "initrd.gz").read_bytes()
            ),
            os_command_line=images.KERNEL_ARGS,
        )

    @property
    def node(self) -> str:
        """Libvirt's name of the host."""
        return self._where.node

    @property
    def image(self) -> str:
        """The image's id."""
        return self._image
