# SPDX-License-Identifier: Apache-2.0
"""Guests on our libvirtd, defined as Nova does, and their consoles."""

import importlib.util
import pathlib
import threading
import xml.etree.ElementTree as ET
from typing import Any

import libvirt

from tests.lab import guests, paths

_TEMPLATE = """\
<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <metadata>{metadata}</metadata>
  <memory unit='MiB'>{flavor_mib}</memory>
  <currentMemory unit='KiB'>{start_kib}</currentMemory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{images}/vmlinuz</kernel>
    <initrd>{images}/initrd.gz</initrd>
    <cmdline>{cmdline}</cmdline>
  </os>
  <features><acpi/><apic/><tcg><tb-cache unit='MiB'>32</tb-cache></tcg>
  </features>
  <devices>
    {disks}
    <controller type='usb' model='none'/>
    <serial type='pty'><log file='{console_log}'/></serial>
    <memballoon model='virtio' autodeflate='on' freePageReporting='on'>
      <stats period='10'/>
    </memballoon>
  </devices>
</domain>
"""
_DISK = """\
<disk type='file' device='disk'>
  <driver name='qemu' type='raw' cache='none'/>
  <source file='{path}'/><target dev='{name}' bus='virtio'/>
</disk>
"""


def _dom0_consoles() -> Any:
    """The program that speaks to guests in the lab's dom0."""
    path = paths.LAB / "dom0/consoles.py"
    spec = importlib.util.spec_from_file_location("dom0_consoles", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Consoles:
    """Runs commands in guests at their serial consoles."""

    def __init__(self, connection: libvirt.virConnect) -> None:
        self._connection = connection
        self._converse = _dom0_consoles().converse
        self._locks: dict[str, threading.Lock] = {}

    def ask(self, guest: str, command: str, timeout_s: float) -> str:
        """Run a command in a guest and give what it printed.

        :raises GuestError: no answer, or it ended with an error.
        """
        lock = self._locks.setdefault(guest, threading.Lock())
        with lock:
            try:
                told, status = self._converse(
                    self._terminal(guest), command, timeout_s
                )
            except (OSError, libvirt.libvirtError) as error:
                raise guests.GuestError(f"{guest}: {error}") from error
        if status:
            raise guests.GuestError(f"{guest}: {command!r}: {told}")
        return str(told)

    def _terminal(self, guest: str) -> str:
        xml = self._connection.lookupByName(guest).XMLDesc()
        source = ET.fromstring(xml).find("devices/serial/source")
        path = None if source is None else source.get("path")
        if not path:
            raise guests.GuestError(f"{guest} has no serial console")
        return path


def disk(directory: pathlib.Path, name: str, mib: int) -> str:
    """Make a sparse disk; give its part of the definition."""
    path = directory / name
    with path.open("wb") as empty:
        empty.truncate(mib << 20)
    return _DISK.format(path=path, name=name.rpartition(".")[2])


def definition(**parts: object) -> str:
    """Give a guest's XML; see the template for its ``parts``."""
    return _TEMPLATE.format(**parts)


def named(consoles: Consoles, domain: libvirt.virDomain) -> guests.Guest:
    """Give the lab's way to use a guest."""
    return guests.Guest(
        consoles, domain.name(), domain.UUIDString(), domain.name()
    )
