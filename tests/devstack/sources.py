# SPDX-License-Identifier: Apache-2.0
"""Git repositories that DevStack clones in the fence.

Ours is the working tree as it is, with what isn't committed. The others have
only the files that DevStack itself reads; Nova's come from the Nova that is
installed here.
"""

import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "tests/constraints-nova34.txt"
_GLANCE = (
    *("etc/glance-api-paste.ini", "etc/glance-api.conf"),
    *("etc/glance-image-import.conf.sample", "etc/metadefs/one.json"),
    *("etc/glance-swift.conf.sample", "etc/schema-image.json"),
    "etc/property-protections-roles.conf",
)
_NEUTRON = (
    *("etc/neutron/api-paste.ini", "etc/neutron/rootwrap.conf"),
    *("etc/neutron/rootwrap.d/one.filters", "etc/neutron.conf.sample"),
)
_GIT = ("git", "-c", "user.name=fence", "-c", "user.email=fence@example.org")
# PS4 calls a function for each line that is traced: most of the time that
# stack.sh takes where nothing is installed.
_TRACE = re.compile(r"^( *export PS4=).*$", re.MULTILINE)


def copy_devstack(checkout: pathlib.Path, target: pathlib.Path) -> None:
    """Copy DevStack; only what its trace looks like is changed."""
    shutil.copytree(checkout, target, ignore=shutil.ignore_patterns(".git"))
    stackrc = target / "stackrc"
    stackrc.write_text(_TRACE.sub(r"\1'+ '", stackrc.read_text()))


def make_all(checkout: pathlib.Path, target: pathlib.Path) -> None:
    """Make every repository below ``target``."""
    others = target / "openstack"
    others.mkdir(parents=True)
    _make(others / "requirements.git", lambda at: _requirements(checkout, at))
    _make(others / "nova.git", _nova)
    _make(others / "placement.git", lambda at: _named(at, "placement"))
    _make(others / "keystone.git", lambda at: _named(at, "keystone"))
    _make(others / "glance.git", _glance)
    _make(others / "neutron.git", _neutron)
    (target / "x").mkdir()
    _make(target / "x/nova-xen-overcommit.git", _ours)


def _make(
    repository: pathlib.Path, fill: Callable[[pathlib.Path], None]
) -> None:
    work = repository.with_suffix(".work")
    work.mkdir()
    fill(work)
    _git(work, "init", "-q", "-b", "master")
    _git(work, "add", "--all", "--force")
    _git(work, "commit", "-q", "-m", "As it is")
    # The name that the samples ask for ours by.
    _git(work, "branch", "main")
    _git(work, "clone", "-q", "--bare", str(work), str(repository))
    shutil.rmtree(work)


def _git(directory: pathlib.Path, *arguments: str) -> None:
    subprocess.run([*_GIT, *arguments], cwd=directory, check=True)


def _named(work: pathlib.Path, name: str) -> None:
    (work / "setup.cfg").write_text(f"[metadata]\nname = {name}\n")


def _touch(work: pathlib.Path, names: Iterable[str]) -> None:
    for name in names:
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).touch()


def _glance(work: pathlib.Path) -> None:
    _named(work, "glance")
    _touch(work, _GLANCE)


def _neutron(work: pathlib.Path) -> None:
    _named(work, "neutron")
    _touch(work, _NEUTRON)
    # It makes the sample that is there already.
    script = work / "tools/generate_config_file_samples.sh"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)


def _nova(work: pathlib.Path) -> None:
    _named(work, "nova")
    _touch(work, ["tools/nova-manage.bash_completion"])
    shutil.copytree(pathlib.Path(sys.prefix) / "etc/nova", work / "etc/nova")


def _requirements(checkout: pathlib.Path, work: pathlib.Path) -> None:
    """The versions that our tests have, and each name DevStack looks up."""
    # In a variable there.
    _named(work, "requirements")
    pinned = CONSTRAINTS.read_text().replace("==", "===")
    (work / "upper-constraints.txt").write_text(pinned)
    asked = {"PyMySQL"}
    for script in [*checkout.glob("lib/**/*"), checkout / "stack.sh"]:
        if script.is_file():
            text = script.read_text(errors="replace")
            asked |= set(
                re.findall(r"pip_install_gr(?:_extras)? ([\w.-]+)", text)
            )
    names = "".join(f"{name}>=1 # licence\n" for name in sorted(asked))
    (work / "global-requirements.txt").write_text(names)


def _ours(work: pathlib.Path) -> None:
    listed = subprocess.run(
        [
            "git",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, work / name)
