# SPDX-License-Identifier: Apache-2.0
"""What is done with a command of the documentation.

Each program of a command is in one class:

* it is **run** in the sandbox, and what it prints is compared;
* it is **checked** by the program's own argument parser, or against what the
  tree has, because it would change more than a directory;
* it is **declared** here with the reason why neither is possible.

A program that is in none fails the test: a new command has to be classed.
"""

import configparser
import dataclasses
import functools
import itertools
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Sequence

from tests.unit.docs.pages import ROOT

# Run for real.
RUN = {
    "cat",
    "curl",
    "cut",
    "grep",
    "head",
    "ls",
    "make-vendor-data",
    "nova-xen-overcommit",
    "oslo-config-generator",
    "oslo-config-validator",
    "printf",
    "python3",
    "sort",
    "test",
    "touch",
    "wc",
}
# Which of those end with another code than 0 when all is well.
CODES = {"nova-xen-overcommit check": {0, 1, 2}}
# Of those, what is only checked: it builds, installs, or needs what the
# sandbox hasn't.
_MODULES = ("tests.lab", "benchmarks.soak", "venv")


@dataclasses.dataclass(frozen=True)
class Declared:
    """A program that can't be run here: its Debian package, and why."""

    package: str
    why: str


_SYSTEM = "changes the machine it runs on"
_XEN = "needs a Xen host; `make lab-check` runs the same there"
_LIBVIRT = "needs a libvirtd with guests"
_GUEST = "is for the inside of a guest"
DECLARED = {
    "apt-get": Declared("apt", _SYSTEM),
    "chown": Declared("coreutils", _SYSTEM),
    "chronyc": Declared("chrony", "asks a time server"),
    "cloud-init": Declared("cloud-init", _GUEST),
    "dmesg": Declared("util-linux", _GUEST),
    "free": Declared("procps", _GUEST),
    "journalctl": Declared("systemd", "needs a journal"),
    "kill": Declared("procps", "needs a nova-scheduler"),
    "lsmod": Declared("kmod", _GUEST),
    "mkdir": Declared("coreutils", _SYSTEM),
    "pgrep": Declared("procps", "needs a nova-scheduler"),
    "rc-service": Declared("openrc", _GUEST),
    "rc-update": Declared("openrc", _GUEST),
    "swapon": Declared("mount", _GUEST),
    "systemd-sysusers": Declared("systemd", _SYSTEM),
    "touch": Declared("coreutils", _SYSTEM),
    "update-grub": Declared("grub2-common", _SYSTEM),
    "usermod": Declared("passwd", _SYSTEM),
    "virsh": Declared("libvirt-clients", _LIBVIRT),
    "virt-customize": Declared("guestfs-tools", "needs a disk image"),
    "xenstore-ls": Declared("xenstore-utils", _XEN),
    "xenstore-read": Declared("xenstore-utils", _XEN),
    "xl": Declared("xen-utils-common", _XEN),
}
# Units that others ship.
_FOREIGN_UNITS = {
    "devstack@n-cpu",
    "devstack@xen-overcommit-agent",
    "libvirtd",
    "nova-api",
    "nova-compute",
    "nova-scheduler",
    "xenstored",
}
_PREFIXES = {"sudo", "env", "exec", "-E"}
_SEPARATORS = re.compile(r"[|&;]+")
_COMMENT = re.compile(r"\s#[^'\"\n]*$", re.MULTILINE)
_ASSIGNMENT = re.compile(r"\w+=.*", re.DOTALL)

Words = Sequence[str]


class Unclassed(AssertionError):
    """A program is in no class."""


def programs_of(command: str) -> Iterator[list[str]]:
    """Give the simple commands of a line, each as its words.

    Redirections are left out, like what sets variables or says ``sudo``.
    """
    command = _COMMENT.sub("", command)
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    skip = False
    for token in lexer:
        if _SEPARATORS.fullmatch(token):
            yield _bare(words)
            words = []
        elif set(token) <= {"<", ">"}:
            skip = True
        elif skip:
            skip = False
        else:
            words.append(token)
    yield _bare(words)


def _bare(words: Words) -> list[str]:
    kept = list(words)
    while kept and (kept[0] in _PREFIXES or _ASSIGNMENT.fullmatch(kept[0])):
        kept.pop(0)
    return kept


def name_of(words: Words) -> str:
    """Give a program's name without where it lies."""
    return words[0].rpartition("/")[2]


def is_run(words: Words) -> bool:
    """Tell whether this program is run in the sandbox."""
    name = name_of(words)
    if name == "python3" and words[1:2] == ["-m"]:
        return words[2] not in _MODULES
    return name in RUN or words == ["make", "help"]


def check(words: Words) -> None:
    """Check a program that isn't run.

    :raises Unclassed: nobody said what is to be done with it.
    :raises AssertionError: it can't be right.
    """
    name = name_of(words)
    checker = _CHECKERS.get(name)
    if checker is not None:
        checker(words)
    elif name in DECLARED:
        _check_package(name, DECLARED[name])
    else:
        raise Unclassed(f"{name} is in no class; see classes.py")


def _check_package(name: str, declared: Declared) -> None:
    """Check, where the program is installed, that the package has it."""
    path, dpkg = shutil.which(name), shutil.which("dpkg")
    if path is None or dpkg is None:
        return
    # Where / and /usr are one, a package may name either.
    places = {path, path.removeprefix("/usr"), f"/usr{path}"}
    found = subprocess.run(
        [dpkg, "-S", *places], capture_output=True, text=True, check=False
    )
    owners = {line.partition(":")[0] for line in found.stdout.splitlines()}
    owners -= {"diversion by"}
    require(
        not owners or declared.package in ", ".join(owners),
        f"{name} is in {owners}, not in {declared.package}",
    )


def require(condition: bool, complaint: str) -> None:
    """Complain unless something holds."""
    if not condition:
        raise AssertionError(complaint)


def _check_make(words: Words) -> None:
    done = subprocess.run(
        ["make", "--dry-run", *words[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    require(done.returncode == 0, done.stderr)


def _check_pip(words: Words) -> None:
    require(words[1] == "install", f"{words}: only install is known")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [word for word in words[2:] if not word.startswith("-")]
    require(bool(wanted), f"{words}: nothing to install")
    for requirement in wanted:
        match = re.fullmatch(
            r"([\w-]+)(?:\[([\w,]+)\])?(?:==\S+)?", requirement
        )
        require(match is not None, f"{requirement}: not a requirement")
        assert match is not None
        if match[1].replace("-", "_") == project["name"]:
            extras = set((match[2] or "").split(",")) - {""}
            unknown = extras - set(project["optional-dependencies"])
            require(not unknown, f"{requirement}: no extra {unknown}")


# Of install's options, those that another word belongs to.
_INSTALL_VALUES = ("-m", "-o", "-g", "-t")
_SHARE = "share/nova_xen_overcommit/"


def _check_install(words: Words) -> None:
    """Require that what is installed is there for who has used pip."""
    for source in _installed(words[1:]):
        require(
            not source.startswith("etc/"),
            f"{source}: only a source tree has it; name ENVIRONMENT/{_SHARE}",
        )
        if _SHARE in source:
            shared = _SHARE + source.partition(_SHARE)[2]
            require(shared in _shared(), f"{source}: the wheel has it not")
        else:
            require((ROOT / source).is_file(), f"no file {source}")


def _installed(words: Words) -> list[str]:
    """Give the files that an install copies."""
    rest = iter(words)
    files, into_directory = [], False
    for word in rest:
        if word in _INSTALL_VALUES:
            into_directory = into_directory or word == "-t"
            next(rest)
        elif not word.startswith("-"):
            files.append(word)
    return files if into_directory else files[:-1]


@functools.cache
def _shared() -> frozenset[str]:
    """Give what an environment has of our tree, by its path there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shipped = project["tool"]["setuptools"]["data-files"]
    return frozenset(
        f"{directory}/{path.name}"
        for directory, patterns in shipped.items()
        for pattern in patterns
        for path in ROOT.glob(pattern)
    )


def _check_python(words: Words) -> None:
    if words[2] == "venv":
        require(len(words) == 4, f"{words}: one directory")
        return
    module = ROOT.joinpath(*words[2].split("."))
    require((module / "__main__.py").exists(), f"no module {words[2]}")
    text = (module / "__main__.py").read_text()
    for word in words[3:]:
        require(f'"{word}"' in text, f"{words[2]} doesn't know {word}")


def _check_systemctl(words: Words) -> None:
    """Let systemctl itself enable our units below an empty root."""
    verb, *rest = words[1:]
    require(
        verb
        in {
            "daemon-reload",
            "disable",
            "edit",
            "enable",
            "kill",
            "reload",
            "restart",
            "start",
            "status",
            "stop",
        },
        f"systemctl {verb}",
    )
    for unit in (word for word in rest if not word.startswith("-")):
        _require_unit(unit)


def _require_unit(unit: str) -> None:
    name = unit.removesuffix(".service")
    ours = (ROOT / "etc/systemd" / f"{name}.service").exists() or (
        ROOT / "nova_xen_overcommit/guest" / f"{name}.service"
    ).exists()
    require(ours or name in _FOREIGN_UNITS, f"no unit {unit}")


def _check_journalctl(words: Words) -> None:
    for option, value in itertools.pairwise(words):
        if option == "-u":
            _require_unit(value)


def _check_tox(words: Words) -> None:
    require(words[1:3] == ["run", "-e"], f"{words}: run -e NAME")
    names = configparser.ConfigParser(interpolation=None)
    names.read(ROOT / "tox.ini")
    sections = " ".join(names.sections())
    for name in words[3].split(","):
        known = name == "py3" or f"testenv:{name}" in sections
        require(known, f"no tox environment {name}")


@functools.cache
def _openstack() -> Callable[[Words], None]:
    """Give what checks a command by the real client's own parsers."""
    from openstackclient import shell

    client = shell.OpenStackShell()
    manager = client.command_manager
    for group in (
        "openstack.common",
        "openstack.compute.v2",
        "openstack.extension",
        "openstack.identity.v3",
        "openstack.image.v2",
        "openstack.network.v2",
        "openstack.placement.v1",
    ):
        manager.add_command_group(group)

    def check(words: Words) -> None:
        try:
            _options, rest = client.parser.parse_known_args(list(words[1:]))
            factory, name, arguments = manager.find_command(rest)
            command = factory(client, None)
            command.get_parser(name).parse_args(arguments)
        except (SystemExit, ValueError) as error:
            raise AssertionError(f"{words}: {error}") from None

    return check


def _check_openstack(words: Words) -> None:
    _openstack()(words)


def _check_shell_syntax(command: str) -> None:
    done = subprocess.run(
        ["bash", "-n", "-c", command],
        capture_output=True,
        text=True,
        check=False,
    )
    require(done.returncode == 0, done.stderr)


def check_line(command: str) -> bool:
    """Check a whole line; tell whether it is to be run.

    :raises AssertionError: it can't be right.
    """
    _check_shell_syntax(command)
    programs = [words for words in programs_of(command) if words]
    run = [is_run(words) for words in programs]
    if all(run):
        return True
    for words, runs in zip(programs, run, strict=True):
        if not runs:
            check(words)
    return False


_CHECKERS: dict[str, Callable[[Words], None]] = {
    "cd": lambda words: require(len(words) == 2, "cd DIRECTORY"),
    "freeze-constraints.sh": lambda words: _check_tool(words),
    "install": _check_install,
    "journalctl": _check_journalctl,
    "make": _check_make,
    "openstack": _check_openstack,
    "pip": _check_pip,
    "python3": _check_python,
    "systemctl": _check_systemctl,
    "tox.sh": _check_tox,
}


def _check_tool(words: Words) -> None:
    require((ROOT / words[0]).exists(), f"no {words[0]}")
