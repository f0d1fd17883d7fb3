# SPDX-License-Identifier: Apache-2.0
import doctest
import unittest
from pathlib import Path

import ddt

from tests.unit.docs import classes, pages
from tests.unit.docs.pages import ROOT, Block, Command
from tests.unit.docs.sandbox import Sandbox

_SHAPE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_PAGES = [
    str(page.relative_to(ROOT))
    for page in pages.all_pages()
    if any(block.language == "console" for block in pages.blocks_of(page))
]
# At home in the repository, not on a host.
_OF_THE_TREE = ("make", "tools/")


@ddt.ddt
class CommandsTestCase(unittest.TestCase):
    """Every command of the documentation runs, or is known to be right.

    Within a page they run in their order, in one directory; all pages share
    one host, whose agent is at work.
    """

    box: Sandbox

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.box = Sandbox()
        cls.addClassCleanup(cls.box.close)
        cls.box.start_agent()

    @ddt.data(*_PAGES)
    def test_the_commands_of(self, page: str) -> None:
        # Given a page's console blocks
        directory = self.box.working_directory(page.replace("/", "-"))
        blocks = [
            block
            for block in pages.blocks_of(ROOT / page)
            if block.language == "console"
        ]
        for command in _commands(blocks):
            with self.subTest(command.place, command=command.text):
                # Then each command is right, and what can be run runs
                if classes.check_line(command.text):
                    self.require_runs(command, directory)

    def require_runs(self, command: Command, directory: Path) -> None:
        if command.text.startswith(_OF_THE_TREE):
            directory = ROOT
        code, output = self.box.run(command.text, directory)
        good = [
            codes
            for begin, codes in classes.CODES.items()
            if command.text.startswith(begin)
        ]
        self.assertIn(code, *(good or [{0}]), output)
        if command.output:
            self.require_shape(command.output, output)

    def require_shape(self, shown: str, output: str) -> None:
        """Compare what is shown; dots stand for anything."""
        wanted = shown.replace("…", "...") + "\n"
        if doctest.OutputChecker().check_output(wanted, output, _SHAPE):
            return
        self.fail(f"The page shows:\n{shown}\nIt printed:\n{output}")

    def test_every_block_says_its_language(self) -> None:
        unnamed = [
            place
            for page in pages.all_pages()
            for place in pages.unnamed_blocks(page)
        ]
        self.assertEqual([], unnamed)

    def test_a_program_in_no_class_is_refused(self) -> None:
        with self.assertRaises(classes.Unclassed):
            classes.check_line("curl -s localhost | frobnicate --all")

    def test_what_the_client_does_not_know_is_refused(self) -> None:
        classes.check_line("openstack flavor create --ram 1024 m1.x")
        for wrong in ("flavor create --rom 1024 m1.x", "flavour list"):
            with self.subTest(wrong), self.assertRaises(AssertionError):
                classes.check_line(f"openstack {wrong}")

    def test_what_the_tree_has_not_is_refused(self) -> None:
        for wrong in (
            "make no-such-target",
            "pip install nova_xen_overcommit[everything]",
            "systemctl enable nova-xen-overcommit-agend",
            "tools/tox.sh run -e py2",
            "python3 -m tests.lab fly",
            "if true",
        ):
            with self.subTest(wrong), self.assertRaises(AssertionError):
                classes.check_line(wrong)

    def test_what_is_installed_is_where_pip_puts_it(self) -> None:
        share = "/opt/x/share/nova_xen_overcommit"
        unit = "systemd/nova-xen-overcommit-agent.service"
        for right in (
            f"install -m 0644 -t /etc/systemd/system {share}/{unit}",
            f"install -m 0644 {share}/{unit} /etc/systemd/system/",
        ):
            with self.subTest(right):
                self.assertFalse(classes.check_line(right))
        for wrong in (
            f"install -m 0644 -t /etc/systemd/system etc/{unit}",
            f"install -m 0644 etc/{unit} /etc/systemd/system/",
            f"install -t /etc/systemd/system {share}/systemd/x.service",
            f"install -t /etc/systemd/system {share}/{unit} {share}/x",
            "install nova_xen_overcommit/guest/x /usr/local/sbin/",
        ):
            with self.subTest(wrong), self.assertRaises(AssertionError):
                classes.check_line(wrong)

    def test_another_shape_is_refused(self) -> None:
        self.require_shape("a … c", "a b c\n")
        with self.assertRaises(AssertionError):
            self.require_shape("a … d", "a b c\n")


def _commands(blocks: list[Block]) -> list[Command]:
    return [
        command for block in blocks for command in pages.commands_of(block)
    ]
