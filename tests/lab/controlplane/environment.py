# SPDX-License-Identifier: Apache-2.0
"""The servers' Python environment, kept by what it is made of."""

import hashlib
import pathlib
import sys

from .. import layers, paths, steps

_REQUIREMENTS = pathlib.Path(__file__).with_name("requirements.txt")
_PIP = ("-m", "pip", "-q", "--disable-pip-version-check", "install")


def key() -> str:
    """A hash of all that the environment is made of but our package."""
    return layers.key(_REQUIREMENTS, paths.CONSTRAINTS, sys.version)


def directory() -> pathlib.Path:
    """Give the environment's directory, built if it isn't there yet."""
    return layers.layer("controlplane", key(), _build)


def python(environment: pathlib.Path) -> pathlib.Path:
    """Give the environment's interpreter.

    Scripts are run by it, never by their first line: that names the place
    where the environment was built.
    """
    return environment / "bin/python"


def script(environment: pathlib.Path, name: str) -> list[pathlib.Path]:
    """Give the start of a command line that runs a console script."""
    return [python(environment), environment / "bin" / name]


def _log() -> pathlib.Path:
    return paths.logs() / "controlplane-install.log"


def _build(out: pathlib.Path) -> None:
    steps.say("installing OpenStack's servers")
    steps.run([sys.executable, "-m", "venv", out], _log())
    steps.run(
        [
            python(out),
            *_PIP,
            "-c",
            paths.CONSTRAINTS,
            "-r",
            _REQUIREMENTS,
        ],
        _log(),
    )


def install(wheel: pathlib.Path) -> None:
    """Put our package into the environment, unless that very one is."""
    environment = directory()
    stamp = environment / "nova-xen-overcommit.sha256"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    stamp.unlink(missing_ok=True)
    steps.run(
        [
            python(environment),
            *_PIP,
            "--no-deps",
            "--force-reinstall",
            wheel,
        ],
        _log(),
    )
    stamp.write_text(digest)
