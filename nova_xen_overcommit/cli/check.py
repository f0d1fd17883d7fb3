# SPDX-License-Identifier: Apache-2.0
"""``nova-xen-overcommit check``: whether all is set up as it must be."""

import argparse
import contextlib
import json
from collections.abc import Callable
from typing import Any

from cliff import command

from nova_xen_overcommit.cli.exit_codes import Code, ToolError

VERSION = 1
_ROLES = ("auto", "compute", "control", "all")


class Check(command.Command):
    """Check versions, configuration, hypervisor, agent and each guest.

    Ends with 0 when all is well, 1 when something deserves a look and 2
    when something must be mended, like nova-status. Run it on compute and
    on control nodes; where Nova isn't installed, the checks that need it
    are not judged.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Give cliff's parser with our options added."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--role",
            choices=_ROLES,
            default="auto",
            help="what this host is (default: what its configuration shows)",
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="write the results as one JSON object, in the form that "
            "the documentation describes",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Check, tell, and give the worst result as exit code."""
        checks = _loaded()(self.app, parsed_args.role)
        if parsed_args.json:
            document = checks.document()
            self.app.stdout.write(json.dumps(document, indent=1) + "\n")
            return int(checks.worst())
        # The library prints.
        with contextlib.redirect_stdout(self.app.stdout):
            return int(checks.check())


def _loaded() -> Callable[[Any, str], Any]:
    try:
        from nova_xen_overcommit.cli.checks import run
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "oslo_upgradecheck":
            raise
        raise ToolError(
            "oslo.upgradecheck is missing; install nova_xen_overcommit with "
            "its extra 'tool'",
            Code.MISSING_LIBRARY,
        ) from None
    return run.Checks
