# SPDX-License-Identifier: Apache-2.0
import unittest

from lxml import etree
from nova.virt.libvirt import config as vconfig

from nova_xen_overcommit.virt import errors, xen_guest
from tests.unit.virt import nova_guests

PATHS = xen_guest.HvmPaths(
    loader="/usr/lib/xen-4.17/boot/hvmloader",
    emulator="/usr/libexec/xen-qemu-system-i386",
)

HEAD = f"""
  <uuid>{nova_guests.UUID}</uuid>
  <name>instance-00000001</name>
  <memory>1048576</memory>
  <vcpu>1</vcpu>"""

KERNEL = """
    <kernel>/instances/kernel</kernel>
    <initrd>/instances/ramdisk</initrd>
    <cmdline>root=/dev/xvda console=hvc0</cmdline>"""

DISKS = """
    <disk type="file" device="disk">
      <driver name="qemu" type="qcow2"/>
      <source file="/instances/disk"/>
      <target dev="xvda" bus="xen"/>
    </disk>
    <disk type="file" device="disk">
      <driver name="phy" type="raw"/>
      <source file="/instances/disk.swap"/>
      <target dev="xvdb" bus="xen"/>
    </disk>"""

READ_ONLY_DISK = """
    <disk type="file" device="disk">
      <driver name="phy" type="raw"/>
      <source file="/instances/disk.config"/>
      <target dev="hdc" bus="ide"/>
      <readonly/>
    </disk>"""

VNC = '<graphics type="vnc" autoport="yes" listen="127.0.0.1"/>'

INTERFACE = """
    <interface type="bridge">
      <mac address="fa:16:3e:00:00:01"/>
      <model type="netfront"/>
      <source bridge="br-int"/>
      <mtu size="1450"/>
      <target dev="tap0"/>
    </interface>"""

CONSOLE = '<console type="pty"><target port="0" type="xen"/></console>'
BALLOON = '<memballoon model="xen"/>'

PV = f"""<domain type="xen">{HEAD}
  <os><type arch="x86_64" machine="xenpv">linux</type>{KERNEL}</os>
  <clock offset="utc"/>
  <devices>{DISKS}{READ_ONLY_DISK}
    {VNC}<video><model type="xen"/></video>
    {INTERFACE}{CONSOLE}{BALLOON}
  </devices>
</domain>"""

PVH = f"""<domain type="xen">{HEAD}
  <os><type arch="x86_64" machine="xenpvh">xenpvh</type>{KERNEL}</os>
  <clock offset="utc"/>
  <devices>{DISKS}{READ_ONLY_DISK}{INTERFACE}{CONSOLE}{BALLOON}</devices>
</domain>"""

HVM = f"""<domain type="xen">{HEAD}
  <os>
    <type arch="x86_64" machine="xenfv">hvm</type>
    <loader>/usr/lib/xen-4.17/boot/hvmloader</loader>
    <boot dev="hd"/>
  </os>
  <features><pae/><acpi/><apic/></features>
  <clock offset="utc"/>
  <devices>
    <emulator>/usr/libexec/xen-qemu-system-i386</emulator>
    {DISKS.replace("phy", "qemu")}
    <disk type="file" device="cdrom">
      <driver name="qemu" type="raw"/>
      <source file="/instances/disk.config"/>
      <target dev="hdc" bus="ide"/>
    </disk>
    <serial type="pty"/>
    {VNC}<video><model type="vga"/></video>
    <input type="tablet" bus="usb"/>
    {INTERFACE}{BALLOON}
  </devices>
</domain>"""


def canonical(xml: str) -> str:
    """Give the XML without the space between elements."""
    parser = etree.XMLParser(remove_blank_text=True)
    tree = etree.fromstring(xml, parser)
    return etree.tostring(tree, method="c14n").decode()


def converted(kind: xen_guest.Kind, *, kernel: bool) -> str:
    """Give the XML of Nova's guest made Xen's."""
    guest = nova_guests.guest(kernel=kernel)
    xen_guest.convert(guest, kind, PATHS)
    return canonical(guest.to_xml())


class ConvertTestCase(unittest.TestCase):
    """The whole XML, exactly."""

    maxDiff = None

    def test_pv(self) -> None:
        found = converted(xen_guest.Kind.PV, kernel=True)
        self.assertEqual(canonical(PV), found)

    def test_pvh(self) -> None:
        found = converted(xen_guest.Kind.PVH, kernel=True)
        self.assertEqual(canonical(PVH), found)

    def test_hvm(self) -> None:
        found = converted(xen_guest.Kind.HVM, kernel=False)
        self.assertEqual(canonical(HVM), found)

    def test_hvm_with_its_own_kernel_keeps_its_consoles(self) -> None:
        found = converted(xen_guest.Kind.HVM, kernel=True)
        self.assertIn(nova_guests.NOVA_CMDLINE, found)

    def test_twice_is_once(self) -> None:
        # Interfaces are converted when they are made and again here
        guest = nova_guests.guest(kernel=True)
        xen_guest.convert(guest, xen_guest.Kind.PV, PATHS)
        guest.devices = guest.devices[:-1]
        xen_guest.convert(guest, xen_guest.Kind.PV, PATHS)
        self.assertIn(canonical(INTERFACE), canonical(guest.to_xml()))

    def test_no_kernel_no_paravirtual_guest(self) -> None:
        for kind in (xen_guest.Kind.PV, xen_guest.Kind.PVH):
            guest = nova_guests.guest(kernel=False)
            with self.assertRaisesRegex(errors.UnsupportedGuest, "kernel"):
                xen_guest.convert(guest, kind, PATHS)

    def test_a_command_line_of_the_image_is_left_alone(self) -> None:
        guest = nova_guests.guest(kernel=True)
        guest.os_cmdline = "root=/dev/xvda2 ro console=tty0"
        xen_guest.convert(guest, xen_guest.Kind.PV, PATHS)
        self.assertEqual("root=/dev/xvda2 ro console=tty0", guest.os_cmdline)

    def test_an_emulated_nic_that_the_image_asks_for_stays_hvm_only(
        self,
    ) -> None:
        for kind, model in (
            (xen_guest.Kind.HVM, "rtl8139"),
            (xen_guest.Kind.PV, "netfront"),
        ):
            guest = nova_guests.guest(kernel=True)
            guest.devices[-1].model = "rtl8139"
            xen_guest.convert(guest, kind, PATHS)
            self.assertIn(f'<model type="{model}"', guest.to_xml())

    def test_a_network_disk_needs_qemu(self) -> None:
        guest = nova_guests.guest(kernel=True)
        guest.devices[0].source_type = "network"
        guest.devices[0].driver_format = None
        xen_guest.convert(guest, xen_guest.Kind.PV, PATHS)
        self.assertEqual("qemu", guest.devices[0].driver_name)
        self.assertEqual("raw", guest.devices[0].driver_format)

    def test_a_block_device_goes_through_blkback(self) -> None:
        guest = nova_guests.guest(kernel=True)
        guest.devices[0].source_type = "block"
        guest.devices[0].driver_format = "raw"
        for kind in (xen_guest.Kind.PV, xen_guest.Kind.HVM):
            xen_guest.convert(guest, kind, PATHS)
            disk = next(d for d in guest.devices if d.root_name == "disk")
            self.assertEqual("phy", disk.driver_name)

    def test_a_shared_set_pins_each_processor(self) -> None:
        # libxl ignores <vcpu cpuset>, seen with libvirt 9.0.
        guest = nova_guests.guest(kernel=True)
        guest.vcpus = 2
        guest.cpuset = {1, 3}
        guest.cputune.shares = 1024
        xen_guest.convert(guest, xen_guest.Kind.PV, PATHS)
        pins = canonical(
            '<cputune><vcpupin vcpu="0" cpuset="1,3"/>'
            '<vcpupin vcpu="1" cpuset="1,3"/></cputune>'
        )
        self.assertIn(pins, canonical(guest.to_xml()))

    def test_pins_of_its_own_stay(self) -> None:
        guest = nova_guests.guest(kernel=True)
        pin = vconfig.LibvirtConfigGuestCPUTuneVCPUPin()
        pin.id, pin.cpuset = 0, {2}
        guest.cputune.vcpupin = [pin]
        guest.cpuset = {1, 3}
        xen_guest.convert(guest, xen_guest.Kind.HVM, PATHS)
        pins = canonical('<cputune><vcpupin vcpu="0" cpuset="2"/></cputune>')
        self.assertIn(pins, canonical(guest.to_xml()))


class KindTestCase(unittest.TestCase):
    """Which image gets which kind."""

    def test_kinds(self) -> None:
        for vm_mode, machine_type, kind in (
            (None, None, xen_guest.Kind.HVM),
            ("hvm", None, xen_guest.Kind.HVM),
            ("hvm", "pc", xen_guest.Kind.HVM),
            ("xen", None, xen_guest.Kind.PV),
            ("xen", "pc", xen_guest.Kind.PV),
            (None, "xenpv", xen_guest.Kind.PV),
            (None, "xenpvh", xen_guest.Kind.PVH),
            ("xen", "xenpvh", xen_guest.Kind.PVH),
            ("hvm", "xenpvh", xen_guest.Kind.PVH),
        ):
            with self.subTest(vm_mode=vm_mode, machine_type=machine_type):
                found = xen_guest.kind_of(vm_mode, machine_type)
                self.assertIs(kind, found)


class HvmPathsTestCase(unittest.TestCase):
    """What the hypervisor's capabilities say."""

    def test_the_64_bit_hvm_guest_counts(self) -> None:
        capabilities = etree.fromstring(
            """<capabilities>
            <guest><os_type>xen</os_type><arch name='x86_64'>
              <emulator>/pv</emulator></arch></guest>
            <guest><os_type>hvm</os_type><arch name='i686'>
              <emulator>/32</emulator></arch></guest>
            <guest><os_type>hvm</os_type><arch name='x86_64'>
              <emulator>/e</emulator><loader>/l</loader></arch></guest>
            </capabilities>"""
        )
        found = xen_guest.HvmPaths.from_capabilities(capabilities)
        self.assertEqual(xen_guest.HvmPaths("/l", "/e"), found)

    def test_none_is_libxl_s_own(self) -> None:
        found = xen_guest.HvmPaths.from_capabilities(
            etree.fromstring("<capabilities/>")
        )
        self.assertEqual(xen_guest.HvmPaths(None, None), found)
