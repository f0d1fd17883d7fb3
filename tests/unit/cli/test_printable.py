# SPDX-License-Identifier: Apache-2.0
"""Nothing that was read is obeyed by a terminal."""

import unittest

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.cli.printable import clean


class CleanTest(unittest.TestCase):
    def test_plain_text_stays_as_it_is(self) -> None:
        for text in ("", "instance-0000002a", "Größe 7 MiB", "日本"):
            with self.subTest(text=text):
                self.assertEqual(text, clean(text))

    def test_what_a_terminal_would_obey_is_escaped(self) -> None:
        for raw, shown in (
            ("\x1b[2Jgone", "\\x1b[2Jgone"),
            ("a\rb\nc", "a\\rb\\nc"),
            ("\x9b31m", "\\x9b31m"),
            ("\x07\x00\x7f", "\\x07\\x00\\x7f"),
            ("txt.\u202egnp", "txt.\\u202egnp"),
            ("\ud800", "\\ud800"),
            ("\u2028", "\\u2028"),
        ):
            with self.subTest(raw=raw):
                self.assertEqual(shown, clean(raw))

    def test_structures_are_cleaned_all_through(self) -> None:
        self.assertEqual(
            {"\\x1b": ["\\r", {"a": "\\n"}, 1, None, True]},
            clean({"\x1b": ("\r", {"a": "\n"}, 1, None, True)}),
        )

    @given(st.text())
    def test_what_comes_out_is_printable(self, text: str) -> None:
        self.assertTrue(clean(text).isprintable())
