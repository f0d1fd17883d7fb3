# SPDX-License-Identifier: Apache-2.0
import unittest

from tests.unit.docs import messages, pages


class MessagesTestCase(unittest.TestCase):
    """What the documentation quotes is what the code says."""

    def test_every_message_is_one_of_the_code(self) -> None:
        blocks = [
            block
            for block in pages.all_blocks("text")
            if block.options.get("class") == "log"
        ]
        self.assertGreater(len(blocks), 10)
        for block in blocks:
            for place, line in messages.lines_of(block):
                with self.subTest(place):
                    self.assertTrue(messages.can_be_said(line), line)

    def test_what_nobody_says_is_refused(self) -> None:
        for line in (
            "The agent has the flu",
            "Host state was: normal -> pressure",
            "Guest one does not follow its target of 4 MiB and keeps 8 MiB",
        ):
            with self.subTest(line):
                self.assertFalse(messages.can_be_said(line))
