# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import pathlib
import tempfile
import unittest
from unittest import mock

from tests.devstack import __main__ as check
from tests.devstack import scenarios, units
from tests.unit.devstack import shell

_UNIT = """\
[Service]
Environment = "PATH=/bin"
ExecStart = /bin/stock --config-file x
KillMode = process
"""
_DROP_IN = """\
[Service]
ExecStart=
ExecStart=/bin/ours --config-file x
Environment=OS_LIBVIRT__VIRT_TYPE=xen
KillMode=mixed
"""


class UnitsTestCase(unittest.TestCase):
    """Drop-ins add, replace and reset as with systemd."""

    def test_a_drop_in_comes_after_its_unit(self) -> None:
        # Given a unit of DevStack's with a drop-in of ours
        with tempfile.TemporaryDirectory() as name:
            directory = pathlib.Path(name)
            (directory / "a.service").write_text(_UNIT)
            (directory / "a.service.d").mkdir()
            (directory / "a.service.d/b.conf").write_text(_DROP_IN)

            # When it is read
            settings = units.read(directory, "a.service")

        # Then commands are reset, variables added, others replaced
        self.assertEqual(["/bin/ours --config-file x"], settings["ExecStart"])
        self.assertEqual(["mixed"], settings["KillMode"])
        self.assertEqual(
            {"PATH": "/bin", "OS_LIBVIRT__VIRT_TYPE": "xen"},
            units.environment(settings),
        )


class ScenariosTestCase(unittest.TestCase):
    """The nodes have names of their own, and the sample is what is shipped."""

    def test_each_node_can_be_asked_for_by_its_name(self) -> None:
        keys = [node.key for node in scenarios.ALL]
        self.assertEqual(len(keys), len(set(keys)))

    def test_the_sample_is_stacked_as_it_is(self) -> None:
        # Given the file that users begin with
        sample = (shell.PLUGIN / "samples/local.conf").read_text()

        # Then a node's local.conf is all of it, and only then the fence's
        (node,) = (x for x in scenarios.ALL if x.sample)
        self.assertTrue(node.local_conf().startswith(sample))

    def test_a_node_has_no_virtual_environment(self) -> None:
        (node,) = (
            x for x in scenarios.ALL if "GLOBAL_VENV=False" in x.local_conf()
        )
        self.assertEqual("/usr/local/bin", node.bin_dir)


class UsageTestCase(unittest.TestCase):
    """Without a checkout nothing is tried."""

    def test_no_checkout_is_a_clear_error(self) -> None:
        for given in ([], ["--devstack", "/nonexistent"]):
            with (
                self.subTest(given=given),
                tempfile.TemporaryDirectory() as logs,
                mock.patch.dict("os.environ"),
                contextlib.redirect_stderr(io.StringIO()) as stderr,
            ):
                check.os.environ.pop("DEVSTACK_DIR", None)
                code = check.main([*given, "--logs", logs])
                self.assertEqual(2, code)
                self.assertIn("DEVSTACK_DIR must name", stderr.getvalue())

    def test_what_is_not_installed_is_named(self) -> None:
        # Given a checkout, and a machine with nothing but git
        with (
            tempfile.TemporaryDirectory() as name,
            mock.patch.object(
                check.shutil, "which", {"git": "/usr/bin/git"}.get
            ),
            contextlib.redirect_stderr(io.StringIO()) as stderr,
        ):
            pathlib.Path(name, "stack.sh").touch()
            code = check.main(["--devstack", name, "--logs", name])

        # Then it says what else is needed
        self.assertEqual(2, code)
        self.assertIn(
            "not installed: gawk, unshare, setpriv", stderr.getvalue()
        )
