# SPDX-License-Identifier: Apache-2.0
import unittest

from nova_xen_overcommit import exception
from nova_xen_overcommit.virt import compat

_DRIVER = "nova.virt.libvirt.driver:LibvirtDriver"


class CompatTestCase(unittest.TestCase):
    """A Nova that doesn't fit is told by name."""

    def fault(self, *symbols: compat.Symbol) -> str:
        with self.assertRaises(exception.InvalidConfiguration) as caught:
            compat.check(symbols)
        return str(caught.exception)

    def test_the_installed_nova_fits(self) -> None:
        compat.check()

    def test_a_missing_method_is_named_with_its_purpose(self) -> None:
        text = self.fault(compat.Symbol(f"{_DRIVER}.gone", "a purpose", ""))
        self.assertIn(f"{_DRIVER}.gone is missing", text)
        self.assertIn("a purpose", text)

    def test_a_missing_module_is_named(self) -> None:
        text = self.fault(compat.Symbol("nova.virt.gone:Thing", "a purpose"))
        self.assertIn("nova.virt.gone:Thing is missing", text)

    def test_other_parameters_are_named(self) -> None:
        target = f"{_DRIVER}._create_guest"
        text = self.fault(compat.Symbol(target, "starts", "self xml context"))
        self.assertIn("(self, context, xml, …)", text)
        self.assertIn("(self, xml, context, …)", text)

    def test_all_faults_are_told_at_once(self) -> None:
        text = self.fault(
            compat.Symbol(f"{_DRIVER}.one", "a"),
            compat.Symbol(f"{_DRIVER}.two", "b"),
        )
        self.assertIn(".one", text)
        self.assertIn(".two", text)
