# SPDX-License-Identifier: Apache-2.0
"""Runs the tool in the test's own process."""

import io
import logging
import unittest

from nova_xen_overcommit.cli.app import Tool


class ToolMixin(unittest.TestCase):
    """Takes the tool's log handlers away again."""

    def setUp(self) -> None:
        super().setUp()
        root = logging.getLogger()
        handlers, level = list(root.handlers), root.level
        self.addCleanup(root.setLevel, level)
        self.addCleanup(setattr, root, "handlers", handlers)

    def run_words(self, *words: str) -> tuple[int, str, str]:
        """Give exit code, stdout and stderr."""
        out, err = io.StringIO(), io.StringIO()
        tool = Tool(stdin=io.StringIO(), stdout=out, stderr=err)
        code = tool.run(list(words))
        return code, out.getvalue(), err.getvalue()
