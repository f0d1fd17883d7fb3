# SPDX-License-Identifier: Apache-2.0
"""Bring the lab up, use it, end it."""

import argparse
import os
import sys

from tests.lab import lab, processes, steps


def _up(arguments: list[str]) -> int:
    lab.Lab.up(*arguments[:1])
    print(lab.status())
    return 0


def _ssh(arguments: list[str]) -> int:
    found = lab.Lab.find()
    if not found:
        raise steps.LabError("no lab is up; make lab-up brings one up")
    command = found.host.command(*arguments)
    if not arguments:
        command.insert(1, "-t")
    os.execvpe(command[0], command, processes.environment())


def _status(arguments: list[str]) -> int:
    print(lab.status())
    return 0


def _down(arguments: list[str]) -> int:
    found = lab.Lab.find()
    if found:
        found.down()
    else:
        lab.bring_down()
    return 0


def _self_balloon(arguments: list[str]) -> int:
    from tests.lab import selfballoon

    return selfballoon.main(arguments)


def _probing(arguments: list[str]) -> int:
    from tests.lab import probing

    return probing.main(arguments)


def _demo(arguments: list[str]) -> int:
    from tests.lab import demo

    return demo.main(arguments)


def _check(arguments: list[str]) -> int:
    from tests.lab import check

    return check.main(arguments)


def _reaction(arguments: list[str]) -> int:
    from tests.lab import reaction

    return reaction.main(arguments)


def _lifecycle(arguments: list[str]) -> int:
    from tests.lab.lifecycle import run

    return run.main(arguments)


_COMMANDS = {
    "up": _up,
    "ssh": _ssh,
    "status": _status,
    "down": _down,
    "self-balloon": _self_balloon,
    "probing": _probing,
    "demo": _demo,
    "check": _check,
    "reaction": _reaction,
    "lifecycle": _lifecycle,
}


def main() -> int:
    """Run one command; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab")
    parser.add_argument("command", choices=_COMMANDS)
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    told = parser.parse_args()
    if os.getuid():
        parser.error("the lab needs root: it installs and runs servers")
    try:
        return _COMMANDS[told.command](told.rest)
    except steps.LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
