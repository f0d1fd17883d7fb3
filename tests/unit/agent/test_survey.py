# SPDX-License-Identifier: Apache-2.0
"""One look at a hypervisor, on libvirt's embedded one."""

import threading
import unittest
from unittest import mock

import libvirt

from nova_xen_overcommit import exception, guest_metadata
from nova_xen_overcommit.agent.hypervisor import survey

XML = f"""<domain type='kvm' xmlns:xen_overcommit='{guest_metadata.NAMESPACE}'>
  <name>web</name><uuid>0-1</uuid>
  <metadata>
    <xen_overcommit:guest overcommit='{{may}}' swap_kib='2048'/>
  </metadata>
  <memory>1024</memory>
  {{inside}}
</domain>
"""
NUMA = "<cpu><numa><cell id='0' cpus='0' memory='1024'/></numa></cpu>"
BOUND = "<numatune><memory mode='strict' nodeset='0'/></numatune>"
PINNED = "<cputune><vcpupin vcpu='0' cpuset='1'/></cputune>"


class SurveyTest(unittest.TestCase):
    def test_what_the_embedded_one_tells(self) -> None:
        seen = survey.survey("test:///default")
        self.assertEqual(("test", 3072 * 1024), (seen.kind, seen.physical_kib))
        self.assertRegex(seen.libvirt, r"^\d+\.\d+\.\d+$")
        self.assertEqual(["test"], [guest.name for guest in seen.guests])
        # Nova didn't make it
        self.assertTrue(seen.guests[0].foreign)
        self.assertEqual((), seen.unread)
        self.assertEqual(0, seen.domain_0_kib)

    def test_one_that_is_not_there(self) -> None:
        with self.assertRaisesRegex(exception.HypervisorError, "^test:///no"):
            survey.survey("test:///nonexistent.xml")

    def test_one_that_hangs_is_left(self) -> None:
        go_on = threading.Event()
        self.addCleanup(go_on.set)

        def hang(_uri: str) -> None:
            go_on.wait(30)

        with (
            mock.patch.object(libvirt, "openReadOnly", hang),
            self.assertRaisesRegex(exception.HypervisorError, "no answer in"),
        ):
            survey.survey("test:///default", patience_s=0.05)

    def test_why_its_flavor_forbids_it(self) -> None:
        for inside, why in (
            ("", ""),
            (NUMA, "; it has NUMA cells"),
            (BOUND, "; its memory is bound to NUMA nodes"),
            (PINNED, "; its CPUs are pinned"),
        ):
            with self.subTest(why=why):
                xml = XML.format(may="no", inside=inside)
                self.assertEqual(
                    f"its flavor or image forbids overcommit{why}",
                    survey.surveyed(xml).exempt,
                )

    def test_who_may_be_ballooned_is_not_exempt(self) -> None:
        # Pinned by the operator's hand, not by its flavor: it may be.
        seen = survey.surveyed(XML.format(may="yes", inside=PINNED))
        self.assertFalse(seen.foreign)
        self.assertEqual(
            ("web", "0-1", 1024, 2048, ""),
            (
                seen.name,
                seen.uuid,
                seen.flavor_kib,
                seen.swap_kib,
                seen.exempt,
            ),
        )
