# SPDX-License-Identifier: Apache-2.0
"""``nova-xen-overcommit simulate``: what overcommit would have done."""

import argparse
import json
from pathlib import Path
from typing import Any

from cliff import command
from oslo_config import cfg

from nova_xen_overcommit import exception
from nova_xen_overcommit.cli import printable
from nova_xen_overcommit.cli.exit_codes import Code, ToolError

_EXTRA = "simulate"
_LIBRARIES = ("matplotlib", "numpy", "rich")
_UNITS = ("bytes", "kib", "mib", "gib")
_USED = ("active_mib", "granted_mib")


class Simulate(command.Command):
    """Replay memory history: how many hosts, how often short of memory.

    Plays a trace through the predictor, the admission and the balancer that
    run in production, on as many hosts as are needed, and compares that
    with hosts that aren't overcommitted.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Give cliff's parser with our options added."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add = parser.add_argument
        add(
            "--trace",
            required=True,
            type=Path,
            metavar="FILE",
            help="CSV with the columns vm, time, size and used, or npz with "
            "vm_ids, t_seconds, configured_mib and active_mib",
        )
        add("--predictor", metavar="NAME", help="instead of the configured")
        add(
            "--risk",
            type=float,
            metavar="SHARE",
            help="share of host-time that may be short, instead of the "
            "configured",
        )
        add(
            "--host-gib",
            type=_positive,
            metavar="N",
            help="memory of a host (default: 256, doubled until the largest "
            "VM fits)",
        )
        add(
            "--kept-mib",
            type=int,
            metavar="N",
            help="what a host keeps for itself (default: host_reserved_mib, "
            "or 512)",
        )
        add(
            "--guest-swap-share",
            type=_not_negative,
            default=1.0,
            metavar="SHARE",
            help="swap of each guest, as share of its memory, which no trace "
            "tells (default: %(default)g)",
        )
        add(
            "--fill-days",
            type=_not_negative,
            metavar="N",
            help="VMs of the trace's first step come one by one within so "
            "many days (default: a third of the trace, 7 at most)",
        )
        add(
            "--seed",
            type=int,
            default=1,
            help="for the order in which those come (default: %(default)s)",
        )
        add(
            "--exclude",
            action="append",
            default=[],
            metavar="VM",
            help="leave this VM out; may be repeated",
        )
        add(
            "--unit",
            choices=_UNITS,
            default="mib",
            help="of CSV sizes whose column doesn't tell (default: "
            "%(default)s)",
        )
        add(
            "--step-s",
            type=_positive,
            metavar="S",
            help="length of a CSV's steps (default: its usual distance)",
        )
        add(
            "--used",
            choices=_USED,
            default=_USED[0],
            help="which array of an npz guests need (default: %(default)s)",
        )
        add(
            "--skip-bad",
            action="store_true",
            help="leave bad rows out and count them, instead of ending",
        )
        add(
            "--config-file",
            action="append",
            metavar="PATH",
            help="take [xen_overcommit] from this file, such as "
            "/etc/nova/nova.conf (default: the options' defaults)",
        )
        add(
            "--format",
            choices=("table", "json"),
            default="table",
            help="of what is printed (default: %(default)s)",
        )
        add(
            "--output",
            type=Path,
            metavar="DIR",
            help="write result.json, pictures and report.html there",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Replay and tell."""
        try:
            self._simulate(parsed_args)
        except ImportError as error:
            if error.name and error.name.partition(".")[0] in _LIBRARIES:
                raise ToolError(
                    f"{error.name} is missing; install nova_xen_overcommit "
                    f"with its extra '{_EXTRA}'",
                    Code.MISSING_LIBRARY,
                ) from None
            raise
        except (exception.OvercommitError, cfg.Error) as error:
            raise ToolError(str(error)) from None
        return 0

    def _simulate(self, args: argparse.Namespace) -> None:
        # Only this command needs numpy, and it takes its time.
        from nova_xen_overcommit.whatif import read, show, simulation

        trace = read.read(
            args.trace,
            unit=args.unit,
            step_s=args.step_s,
            used=args.used,
            skip_bad=args.skip_bad,
        )
        if args.exclude:
            trace = trace.without(frozenset(args.exclude))
        question = simulation.Question(
            host_gib=args.host_gib,
            predictor=args.predictor,
            risk=args.risk,
            kept_mib=args.kept_mib,
            guest_swap_share=args.guest_swap_share,
            fill_days=args.fill_days,
            seed=args.seed,
            config_files=args.config_file
            or self.app.options.config_file
            or (),
        )
        with simulation.progress_bar(trace.steps) as progress:
            result = simulation.simulate(trace, question, progress)
        self._tell(args, result, show.text)
        if args.output:
            for path in simulation.write(args.output, result):
                self.app.LOG.info("wrote %s", path)

    def _tell(self, args: Any, result: dict[str, Any], text: Any) -> None:
        if args.format == "json":
            told = json.dumps(result, indent=1)
        else:
            told = _harmless(text(result))
        self.app.stdout.write(f"{told}\n")


def _harmless(text: str) -> str:
    return "\n".join(printable.clean(line) for line in text.split("\n"))


def _positive(text: str) -> float:
    number = _not_negative(text)
    if not number:
        raise argparse.ArgumentTypeError("must be above 0")
    return number


def _not_negative(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no size")
    return number
