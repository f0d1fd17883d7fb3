# SPDX-License-Identifier: Apache-2.0
import unittest

from nova_xen_overcommit import exception
from nova_xen_overcommit.virt import guest_xml

DOMAIN = """<domain type="xen">
  <memory>1048576</memory>
  <vcpu>1</vcpu>
  <metadata><n:a xmlns:n="urn:n" b="c"/></metadata>
  <os><type>linux</type></os>
</domain>"""


class CurrentMemoryTestCase(unittest.TestCase):
    """What a start changes."""

    def test_is_added_after_memory(self) -> None:
        expected = DOMAIN.replace(
            "</memory>\n",
            "</memory>\n  <currentMemory>262144</currentMemory>\n",
        )
        found = guest_xml.with_current_memory(DOMAIN, 262144)
        self.assertEqual(expected, found)

    def test_replaces_what_libvirt_had(self) -> None:
        once = guest_xml.with_current_memory(DOMAIN, 262144).replace(
            "<currentMemory>", '<currentMemory unit="MiB">'
        )
        found = guest_xml.with_current_memory(once, 524288)
        expected = guest_xml.with_current_memory(DOMAIN, 524288)
        self.assertEqual(expected, found)

    def test_is_never_above_memory(self) -> None:
        found = guest_xml.with_current_memory(DOMAIN, 9999999)
        self.assertIn("<currentMemory>1048576<", found)

    def test_refuses_what_it_does_not_understand(self) -> None:
        for text in ("", '<memory unit="GiB">1</memory>'):
            with self.assertRaises(exception.InvalidConfiguration):
                guest_xml.with_current_memory(f"<domain>{text}</domain>", 1)

    def test_os_type(self) -> None:
        self.assertEqual("linux", guest_xml.os_type(DOMAIN))
        self.assertEqual("hvm", guest_xml.os_type("<domain/>"))
