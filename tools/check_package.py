# SPDX-License-Identifier: Apache-2.0
"""Check that sdist and wheel are whole, install, and load.

Usage: check_package.py WORK_DIRECTORY, in an environment that has Nova.
"""

import importlib.metadata
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAME = "nova_xen_overcommit"
# Installed below share/, each by its last name.
SHARED = (
    "etc/systemd",
    "etc/sysusers.d",
    "etc/prometheus",
    "etc/grafana",
    f"{NAME}/guest",
)
NOT_COPIED = (".tox", ".venv", ".mypy_cache", ".ruff_cache", "build", "dist")

# Runs where no checkout is in the search path; the agent's host has no Nova.
WITHOUT_NOVA = """
import importlib.metadata as metadata
import importlib.util

assert importlib.util.find_spec("nova") is None
for group in (
    "oslo.config.opts",
    "nova_xen_overcommit.sensors",
    "nova_xen_overcommit.predictors",
):
    points = [
        point
        for point in metadata.entry_points(group=group)
        if point.value.startswith("nova_xen_overcommit.")
    ]
    assert points, group
    for point in points:
        point.load()
import nova_xen_overcommit.cmd.agent
"""

# What Nova itself does to find filter, weigher, validators and driver.
WITH_NOVA = """
import importlib.metadata as metadata
import pathlib
import sys

import nova
import nova.cmd.compute  # selects how Nova runs threads, so before all else
import nova_xen_overcommit

ours, novas = (pathlib.Path(name).resolve() for name in sys.argv[1:])
assert ours in pathlib.Path(nova_xen_overcommit.__file__).resolve().parents
assert novas in pathlib.Path(nova.__file__).resolve().parents

from nova.scheduler import filters, weights

package = "nova_xen_overcommit.scheduler"
names = (
    (filters.HostFilterHandler, f"{package}.filters.XenOvercommitFilter"),
    (weights.HostWeightHandler, f"{package}.weights.XenOvercommitWeigher"),
)
for handler, name in names:
    (found,) = handler().get_matching_classes([name])
    assert found.__name__ == name.rpartition(".")[2]

(validators,) = metadata.entry_points(
    group="nova.api.extra_spec_validators", name="xen_overcommit"
)
assert validators.load().register()

from nova_xen_overcommit.virt import bootstrap

bootstrap.prepare()
from nova.virt import driver
from oslo_utils import importutils

driver_class = importutils.import_class(
    "nova.virt.xen_overcommit.XenOvercommitDriver"
)
assert issubclass(driver_class, driver.ComputeDriver)
import nova_xen_overcommit.cmd.compute
"""


def run(*command: object, cwd: pathlib.Path) -> str:
    """Run a command to its end; gives its standard output.

    :raises SystemExit: the command failed.
    """
    words = [str(word) for word in command]
    print("+", " ".join(words).partition("\n")[0], flush=True)
    done = subprocess.run(words, cwd=cwd, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print(done.stdout)
        sys.exit(f"failed ({done.returncode}): {words[0]}")
    return done.stdout


def copy_tree(work: pathlib.Path) -> pathlib.Path:
    """Copy the checkout: building writes into it, others build as well."""
    checkout = work / "checkout"
    ignore = shutil.ignore_patterns(*NOT_COPIED, "*.egg-info")
    shutil.copytree(ROOT, checkout, ignore=ignore, symlinks=True)
    return checkout


def build(
    checkout: pathlib.Path, work: pathlib.Path
) -> tuple[pathlib.Path, pathlib.Path]:
    """Build the sdist in git, and the wheel from the sdist without git."""
    out = work / "dist"
    command = (sys.executable, "-m", "build", "--no-isolation")
    run(*command, "--outdir", out, checkout, cwd=work)
    (sdist,) = out.glob("*.tar.gz")
    (wheel,) = out.glob("*.whl")
    return sdist, wheel


def tracked_files(checkout: pathlib.Path) -> set[str]:
    """Name the files that git knows and that are there."""
    names = run("git", "ls-files", cwd=checkout).splitlines()
    return {name for name in names if (checkout / name).exists()}


def check_sdist(sdist: pathlib.Path, tracked: set[str]) -> None:
    """Check that every file of the repository is in the sdist."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    # pbr leaves these two out, they mean nothing outside git.
    report_missing("sdist", tracked - names - {".gitignore", ".gitreview"})


def check_wheel(wheel: pathlib.Path, tracked: set[str]) -> None:
    """Check that all of the package, and nothing else, is in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = {name for name in tracked if name.startswith(f"{NAME}/")}
    report_missing("wheel", package - names)
    data = {name.partition(".data/data/")[2] for name in names}
    report_missing("wheel", wanted_data(tracked) - data)
    foreign = {
        name
        for name in names - package
        if not name.startswith((f"{NAME}-", f"{NAME}.dist-info"))
    }
    if foreign:
        sys.exit(f"not part of the package, but in the wheel: {foreign}")


def wanted_data(tracked: set[str]) -> set[str]:
    """Name what the wheel puts below the prefix: all an operator installs."""
    sample = f"etc/{NAME}/{NAME}.conf.sample"
    wanted = {sample}
    for directory in SHARED:
        name = pathlib.PurePath(directory).name
        wanted |= {
            f"share/{NAME}/{name}/{pathlib.PurePath(path).name}"
            for path in tracked
            if path.startswith(f"{directory}/")
        }
    missing = {sample} - tracked
    for directory in SHARED:
        if not any(path.startswith(f"{directory}/") for path in tracked):
            missing.add(directory)
    report_missing("checkout", missing)
    return wanted


def report_missing(where: str, missing: set[str]) -> None:
    """End with the names of what is not there, if anything."""
    if missing:
        sys.exit(f"not in the {where}: {', '.join(sorted(missing))}")


def check_clean_install(wheel: pathlib.Path, work: pathlib.Path) -> None:
    """Install the wheel as on an agent's host, and start what it brings."""
    venv = work / "clean"
    python = venv / "bin" / "python"
    run("uv", "venv", "--quiet", "--python", sys.executable, venv, cwd=work)
    install = ("uv", "pip", "install", "--quiet", "--python", python)
    constraints = ROOT / "tests" / "constraints-nova34.txt"
    run(*install, "-c", constraints, f"{wheel}[agent]", cwd=work)
    run(python, "-c", WITHOUT_NOVA, cwd=work)
    run(venv / "bin" / "nova-xen-overcommit-agent", "--help", cwd=work)
    run(venv / "bin" / "nova-xen-overcommit", "help", "explain", cwd=work)
    if not (venv / "bin" / "nova-xen-overcommit-compute").exists():
        sys.exit("the wheel has no nova-xen-overcommit-compute")


def editable_nova(work: pathlib.Path) -> pathlib.Path:
    """Install Nova in editable mode, as DevStack does; gives its source."""
    version = importlib.metadata.version("nova")
    get = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps")
    options = ("--no-binary", ":all:", "--no-build-isolation", "-d", work)
    run(*get, *options, f"nova=={version}", cwd=work)
    (sdist,) = work.glob("nova-*.tar.gz")
    run("tar", "-xzf", sdist, cwd=work)
    source = work / sdist.name.removesuffix(".tar.gz")
    install("--no-build-isolation", "--editable", source, cwd=work)
    return source


def install(*what: object, cwd: pathlib.Path) -> None:
    """Install into this environment what has all that it needs there."""
    command = ("uv", "pip", "install", "--quiet", "--python", sys.executable)
    run(*command, "--no-deps", "--reinstall", *what, cwd=cwd)


def check_in_nova(
    wheel: pathlib.Path, checkout: pathlib.Path, work: pathlib.Path
) -> None:
    """Check each way of installing ours with each way of installing Nova."""
    nova = importlib.metadata.distribution("nova")
    site = pathlib.Path(str(nova.locate_file("")))
    editable = ("--no-build-isolation", "--editable", checkout)
    command = (sys.executable, "-P", "-c", WITH_NOVA)
    install(wheel, cwd=work)
    run(*command, site, site, cwd=work)
    install(*editable, cwd=work)
    run(*command, checkout, site, cwd=work)
    try:
        source = editable_nova(work)
        run(*command, checkout, source, cwd=work)
        install(wheel, cwd=work)
        run(*command, site, source, cwd=work)
    finally:
        install(f"nova=={nova.version}", cwd=work)
        run(
            *("uv", "pip", "uninstall", "--python", sys.executable),
            NAME,
            cwd=work,
        )


def main(work: pathlib.Path) -> None:
    """Check all of it in an empty directory."""
    work = work.resolve() / "packaging"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    checkout = copy_tree(work)
    tracked = tracked_files(checkout)
    sdist, wheel = build(checkout, work)
    check_sdist(sdist, tracked)
    check_wheel(wheel, tracked)
    check_clean_install(wheel, work)
    check_in_nova(wheel, checkout, work)
    shutil.rmtree(work)
    print("sdist and wheel are whole, install and load")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
