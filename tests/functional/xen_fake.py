# SPDX-License-Identifier: Apache-2.0
"""Nova's fake libvirt, answering and refusing as libxl does.

What is refused here was seen to be refused by libvirt 9.0 with Xen 4.17.
"""

from collections.abc import Callable
from typing import Any

from lxml import etree
from nova.tests.fixtures import libvirt as fakelibvirt

DOMAIN_0_UUID = "00000000-0000-0000-0000-000000000000"
CAPABILITIES = """
<capabilities>
  <host>
    <cpu><arch>x86_64</arch><features><pae/></features></cpu>
    <topology><cells num="1"><cell id="0">
      <memory unit="KiB">4194304</memory>
      <cpus num="1"><cpu id="0" socket_id="0" core_id="0" siblings="0"/></cpus>
    </cell></cells></topology>
  </host>
  <guest><os_type>xen</os_type><arch name="x86_64">
    <wordsize>64</wordsize>
    <emulator>/usr/libexec/xen-qemu-system-i386</emulator>
    <machine>xenpv</machine><domain type="xen"/></arch></guest>
  <guest><os_type>hvm</os_type><arch name="x86_64">
    <wordsize>64</wordsize>
    <emulator>/usr/libexec/xen-qemu-system-i386</emulator>
    <loader>/usr/lib/xen-4.17/boot/hvmloader</loader>
    <machine>xenfv</machine><domain type="xen"/></arch></guest>
  <guest><os_type>xenpvh</os_type><arch name="x86_64">
    <wordsize>64</wordsize>
    <emulator>/usr/libexec/xen-qemu-system-i386</emulator>
    <machine>xenpvh</machine><domain type="xen"/></arch></guest>
</capabilities>
"""
_REFUSED = (
    "devices/controller[@type='usb']",
    "devices/disk/driver[@cache]",
    "devices/disk/driver[@io]",
    "devices/rng",
    "devices/channel",
    "devices/watchdog",
    "devices/video/model[@type='virtio']",
)


class Domain0:
    """The privileged domain, which libxl lists among the others."""

    def __init__(self, memory_mib: int) -> None:
        self._memory_kib = memory_mib * 1024

    def ID(self) -> int:  # noqa: N802
        return 0

    def UUIDString(self) -> str:  # noqa: N802
        return DOMAIN_0_UUID

    def name(self) -> str:
        return "Domain-0"

    def info(self) -> list[int]:
        return [1, self._memory_kib, self._memory_kib, 1, 0]


class XenConnection(fakelibvirt.Connection):  # type: ignore[misc]
    """A Xen host; ``free_mib`` is what the hypervisor has free."""

    free_mib = 3000
    domain_0_mib = 768

    def getType(self) -> str:  # noqa: N802
        return "Xen"

    def getCapabilities(self) -> str:  # noqa: N802
        return CAPABILITIES

    def getFreeMemory(self) -> int:  # noqa: N802
        return self.free_mib * 1024 * 1024

    def lookupByID(self, domain_id: int) -> Domain0:  # noqa: N802
        if domain_id != 0:
            raise _unsupported("lookup")
        return Domain0(self.domain_0_mib)

    def listAllDomains(self, flags: int = 0) -> list[Any]:  # noqa: N802
        return [Domain0(self.domain_0_mib), *super().listAllDomains(flags)]

    def getCPUMap(self) -> Any:  # noqa: N802
        raise _unsupported("virNodeGetCPUMap")

    def getDomainCapabilities(self, *args: Any) -> str:  # noqa: N802
        raise _unsupported("virConnectGetDomainCapabilities")

    def defineXML(self, xml: str) -> Any:  # noqa: N802
        wanted = etree.fromstring(xml)
        for path in _REFUSED:
            if wanted.find(path) is not None:
                raise _unsupported(path)
        domain = super().defineXML(xml)
        domain.XMLDesc = _without_aliases(domain.XMLDesc)
        return domain


def _without_aliases(stock: Callable[[int], str]) -> Callable[[int], str]:
    """Give the definition as libxl does: it names no device."""

    def described(flags: int) -> str:
        domain = etree.fromstring(stock(flags))
        etree.strip_elements(domain, "alias", with_tail=False)
        return str(etree.tostring(domain, encoding="unicode"))

    return described


def _unsupported(what: str) -> Exception:
    error: Exception = fakelibvirt.make_libvirtError(
        fakelibvirt.libvirtError,
        f"this function is not supported by the connection driver: {what}",
        error_code=fakelibvirt.VIR_ERR_NO_SUPPORT,
        error_domain=fakelibvirt.VIR_FROM_QEMU,
    )
    return error
