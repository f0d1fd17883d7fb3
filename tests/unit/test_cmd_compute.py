# SPDX-License-Identifier: Apache-2.0
"""The console script, in processes of its own.

A wheel puts a package below site-packages; an editable install leaves it
where it is and finds it by a hook on the import path. Both are made here
for Nova and for us, since Nova's loader and our search path meet in the
middle of it.
"""

import importlib.util
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import textwrap
import unittest

_OURS = "nova_xen_overcommit"

# What setuptools installs for an editable package, cut to the essence.
_FINDER = """
    import importlib.util, pathlib, sys

    class Finder:
        mapping = {mapping!r}

        def find_spec(self, name, path=None, target=None):
            if name not in self.mapping:
                return None
            directory = pathlib.Path(self.mapping[name])
            return importlib.util.spec_from_file_location(
                name,
                directory / "__init__.py",
                submodule_search_locations=[str(directory)],
            )

    sys.path[:] = [p for p in sys.path if p not in ("", {root!r})]
    sys.path[:0] = {wheels!r}
    sys.meta_path.insert(0, Finder())
"""

_LOAD = """
    import json, os, sys
    os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "true"
    from nova_xen_overcommit.cmd import compute
    from nova_xen_overcommit.virt import bootstrap
    bootstrap.prepare()
    bootstrap.prepare()
    import nova
    import nova.conf
    import nova_xen_overcommit
    from oslo_utils import importutils
    driver = importutils.import_class(
        "nova.virt.xen_overcommit.XenOvercommitDriver"
    )
    nova.conf.CONF(["--config-file", sys.argv[1]], project="nova")
    print(json.dumps({
        "driver": driver.__module__,
        "base": driver.__mro__[1].__module__,
        "nova": nova.__file__,
        "ours": nova_xen_overcommit.__file__,
        "virt_type": nova.conf.CONF.libvirt.virt_type,
        "mode": nova.conf.CONF.xen_overcommit.mode,
        "paths": len(nova.virt.__path__),
    }))
"""

_CONFIGURATION = """
    [libvirt]
    virt_type = xen
    [xen_overcommit]
    mode = balance
"""


def _directory(package: str) -> pathlib.Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    return pathlib.Path(spec.origin).parent


class InstallTestCase(unittest.TestCase):
    """Loading, however Nova and we are installed."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.configuration = self.directory / "nova.conf"
        self.configuration.write_text(textwrap.dedent(_CONFIGURATION))

    def load(self, editable: dict[str, bool]) -> dict[str, str]:
        """Load the driver in a process with packages installed so."""
        wheels, mapping = [], {}
        for package, is_editable in editable.items():
            directory = _directory(package)
            if is_editable:
                mapping[package] = str(directory)
            else:
                site = self.directory / f"site-{package}"
                site.mkdir()
                (site / package).symlink_to(directory)
                wheels.append(str(site))
        root = str(_directory(_OURS).parent)
        head = _FINDER.format(mapping=mapping, root=root, wheels=wheels)
        script = textwrap.dedent(head) + textwrap.dedent(_LOAD)
        return self.run_script(script, str(self.configuration))

    def run_script(self, script: str, *arguments: str) -> dict[str, str]:
        """Run Python and read the JSON of its last line."""
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": ""},
            check=False,
        )
        self.assertEqual(0, done.returncode, done.stderr[-2000:])
        found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
        return found

    def test_wheel_and_editable_of_both(self) -> None:
        for nova_editable, ours_editable in itertools.product(
            (False, True), repeat=2
        ):
            with self.subTest(nova=nova_editable, ours=ours_editable):
                editable = {"nova": nova_editable, _OURS: ours_editable}
                found = self.load(editable)
                self.check_found(found, editable)

    def check_found(
        self, found: dict[str, str], editable: dict[str, bool]
    ) -> None:
        """Check that the right packages met, and were told what to do."""
        self.assertEqual(f"{_OURS}.virt.driver", found["driver"])
        self.assertEqual("nova.virt.libvirt.driver", found["base"])
        self.assertEqual("xen", found["virt_type"])
        self.assertEqual("balance", found["mode"])
        # Doing it twice appends once
        self.assertEqual(2, found["paths"])
        for name, path in (("nova", found["nova"]), (_OURS, found["ours"])):
            in_site = path.startswith(str(self.directory))
            self.assertIs(not editable[name], in_site, path)
        for site in self.directory.glob("site-*/*"):
            site.unlink()
            site.parent.rmdir()


class MainTestCase(unittest.TestCase):
    """What the console script runs."""

    def test_is_nova_compute_with_our_driver_in_reach(self) -> None:
        script = """
            import os, sys
            os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "true"
            from nova_xen_overcommit.cmd import compute
            sys.argv[1:] = ["--help"]
            compute.main()
        """
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.assertEqual(0, done.returncode, done.stderr[-2000:])
        self.assertIn("--config-file", done.stdout)
