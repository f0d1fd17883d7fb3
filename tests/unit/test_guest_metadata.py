# SPDX-License-Identifier: Apache-2.0
"""What the driver leaves in a domain's XML, as the agent finds it."""

import unittest
import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit import exception, guest_metadata
from nova_xen_overcommit.guest_metadata import GuestMetadata


def domain_with(attributes: str) -> ET.Element:
    return ET.fromstring(
        f"<domain><metadata><x:guest xmlns:x='{guest_metadata.NAMESPACE}' "
        f"{attributes}/></metadata></domain>"
    )


class GuestMetadataTest(unittest.TestCase):
    @given(
        st.builds(
            GuestMetadata,
            floor_kib=st.integers(0, 1 << 40),
            swap_kib=st.integers(0, 1 << 40),
            weight=st.floats(0, 1000, exclude_min=True),
            overcommit=st.booleans(),
        )
    )
    def test_what_goes_in_comes_out(self, metadata: GuestMetadata) -> None:
        element = ET.Element(guest_metadata.TAG, metadata.to_attributes())
        text = ET.tostring(element)
        self.assertEqual(
            metadata, guest_metadata.from_element(ET.fromstring(text))
        )

    def test_a_domain_that_is_not_ours(self) -> None:
        # Given a domain without metadata, or with that of others only
        for text in (
            "<domain/>",
            "<domain><metadata/></domain>",
            "<domain><metadata><guest floor_kib='7'/></metadata></domain>",
        ):
            # Then the defaults hold
            with self.subTest(text=text):
                self.assertEqual(
                    GuestMetadata(),
                    guest_metadata.from_domain(ET.fromstring(text)),
                )

    def test_attributes_that_are_absent(self) -> None:
        found = guest_metadata.from_domain(domain_with("swap_kib='1024'"))
        self.assertEqual(GuestMetadata(swap_kib=1024), found)

    def test_an_exempt_guest(self) -> None:
        found = guest_metadata.from_domain(domain_with("overcommit='no'"))
        self.assertFalse(found.overcommit)

    def test_attributes_that_cant_be(self) -> None:
        for attributes in (
            "floor_kib='-1'",
            "swap_kib='-1'",
            "weight='0'",
            "weight='-2'",
            "weight='nan'",
            "floor_kib='x'",
            "weight='heavy'",
        ):
            with (
                self.subTest(attributes=attributes),
                self.assertRaises(exception.InvalidConfiguration),
            ):
                guest_metadata.from_domain(domain_with(attributes))
