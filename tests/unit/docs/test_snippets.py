# SPDX-License-Identifier: Apache-2.0
import unittest

from tests.unit.docs import pages, snippets


class SnippetsTestCase(unittest.TestCase):
    """Configuration and data of the documentation can be used as they are."""

    def test_every_language_is_known(self) -> None:
        known = {*snippets.CHECKS, *snippets.UNCHECKED}
        for page in pages.all_pages():
            for block in pages.blocks_of(page):
                self.assertIn(block.language, known, block.place)

    def test_every_snippet_is_right(self) -> None:
        blocks = pages.all_blocks(*snippets.CHECKS)
        self.assertGreater(len(blocks), 10)
        for block in blocks:
            with self.subTest(block.place):
                snippets.check(block)

    def test_a_wrong_snippet_is_refused(self) -> None:
        for section, line, named in (
            ("xen_overcommit", "mood = observe", "mood"),
            ("xen_overcommit", "mode = fast", "fast"),
            ("xen_overcommit", "reserve_mib = 8", "16"),
            ("xen_overcommit", "host_slack_mib = 128", "reserve_mib"),
            ("DEFAULT", "ram_allocation_ration = 2", "ration"),
            ("libvirt", "virt_type = vmware", "vmware"),
            ("DEFAULT", "compute_driver = xen_overcommit.Driver", "Driver"),
            ("filter_scheduler", "available_filters = nova.no.Filter", "no"),
            ("filter_scheduler", "enabled_filters = NoFilter", "NoFilter"),
            ("filter_scheduler", "weight_classes = nova.no.Weigher", "no"),
            ("DEFAULT", "mode", "mode"),
        ):
            text = f"[{section}]\n{line}\n"
            with self.subTest(line):
                with self.assertRaises(AssertionError) as raised:
                    snippets.check_nova_conf(text)
                self.assertIn(named, str(raised.exception))

    def test_what_xen_needs_is_known(self) -> None:
        snippets.check_nova_conf("[libvirt]\nvirt_type = xen\n")
