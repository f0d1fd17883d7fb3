# SPDX-License-Identifier: Apache-2.0
"""The tool's frame: its options, its commands, how it fails."""

import argparse
import importlib.metadata
import logging
from collections.abc import Callable
from typing import Any

from cliff import app, commandmanager
from oslo_config import cfg

from nova_xen_overcommit import conf as options
from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import client
from nova_xen_overcommit.cli import (
    check,
    exit_codes,
    explain,
    history,
    printable,
    simulate,
    status,
)
from nova_xen_overcommit.cli.exit_codes import Code, ToolError

PROGRAM = "nova-xen-overcommit"
# The files that are the agent's by default are the tool's too.
AGENT = "nova-xen-overcommit-agent"
_UNIT = f"{AGENT}.service"
_COMMANDS = {
    "check": check.Check,
    "explain": explain.Explain,
    "history": history.Show,
    "history export": history.Export,
    "history plot": history.Plot,
    "simulate": simulate.Simulate,
    "status": status.Status,
}
_HINTS = {
    Code.NO_AGENT: f"; is {_UNIT} running here?",
    Code.NOT_PERMITTED: "; ask as root, or as one of [xen_overcommit] "
    "agent_users",
    Code.OTHER_RELEASE: "; agent and tool are of different releases, restart "
    f"{_UNIT}",
}
# What reading an answer that is none ends with.
_NOT_UNDERSTOOD = (AttributeError, KeyError, TypeError, ValueError)
_OWN_OPTION = "--agent-socket"
_CONFIGURED = "[xen_overcommit] agent_socket"


class _Harmless(logging.Formatter):
    """Nothing that is logged is obeyed by the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).split("\n")
        return "\n".join(printable.clean(line) for line in lines)


class Tool(app.App):
    """``nova-xen-overcommit COMMAND``."""

    NAME = PROGRAM
    LOG = logging.getLogger(PROGRAM)

    def __init__(self, **streams: Any) -> None:
        manager = commandmanager.CommandManager("nova_xen_overcommit.cli")
        for name, command in _COMMANDS.items():
            manager.add_command(name, command)
        super().__init__(
            description="Watch a compute host's memory and its agent, see "
            "what was and why, check the setup, and tell what overcommit "
            "would do.",
            version=importlib.metadata.version("nova_xen_overcommit"),
            command_manager=manager,
            **streams,
        )
        self._failure: BaseException | None = None

    def build_option_parser(
        self, *args: Any, **kwargs: Any
    ) -> argparse.ArgumentParser:
        """Give cliff's parser with our options added."""
        parser: argparse.ArgumentParser = super().build_option_parser(
            *args, **kwargs
        )
        parser.add_argument(
            "--config-file",
            action="append",
            metavar="PATH",
            help="Read the agent's options from this file; may be repeated. "
            "Default: what the agent reads, such as /etc/nova/nova.conf.",
        )
        parser.add_argument(
            _OWN_OPTION,
            metavar="PATH",
            help="Ask at this socket; no configuration is read then.",
        )
        parser.add_argument(
            "--agent-timeout-s",
            type=_seconds,
            default=10.0,
            metavar="S",
            help="Wait so long for the agent's answer (default: 10).",
        )
        return parser

    def configure_logging(self) -> None:
        """Log as cliff does, with nothing that a terminal obeys."""
        known = list(logging.getLogger().handlers)
        super().configure_logging()
        for handler in logging.getLogger().handlers:
            if handler not in known and handler.formatter is not None:
                handler.setFormatter(_Harmless(handler.formatter._fmt))

    def run(self, argv: list[str]) -> int:
        """Run one command; without one, show help.

        cliff would begin a shell of its own, which nobody needs here.
        """
        return int(super().run(argv or ["help"]))

    def interact(self) -> None:
        """Refuse what has options but no command; ends with code 1."""
        self.LOG.error("no command given; see %s help", PROGRAM)

    def run_subcommand(self, argv: list[str]) -> int:
        """Run a command; what fails ends with a code of its own."""
        code = int(super().run_subcommand(argv))
        return code if self._failure is None else exit_codes.of(self._failure)

    def clean_up(
        self,
        cmd: Any,  # noqa: ARG002
        result: int,  # noqa: ARG002
        err: BaseException | None,
    ) -> None:
        """Keep what a command failed with."""
        self._failure = err

    def ask(
        self,
        question: Callable[[client.AgentClient], dict[str, Any]],
        understand: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    ) -> dict[str, Any]:
        """Ask the agent; give an answer that may be printed as it is.

        ``understand`` makes the caller's own of what the agent said.

        :raises ToolError: there is no answer; the text says why, and names
            the socket and the option that says where it is.
        """
        path, option = self.socket()
        agent = client.AgentClient(path, self.options.agent_timeout_s)
        try:
            answer = understand(question(agent))
        except exception.UnknownGuest as error:
            raise ToolError(str(error), exit_codes.of(error)) from None
        except (exception.OvercommitError, *_NOT_UNDERSTOOD) as error:
            raise _told(error, path, option) from None
        cleaned: dict[str, Any] = printable.clean(answer)
        return cleaned

    def socket(self) -> tuple[str, str]:
        """Give the agent's socket, and the option that says so."""
        if self.options.agent_socket:
            return str(self.options.agent_socket), _OWN_OPTION
        return str(self.configured().agent_socket), _CONFIGURED

    def configured(self) -> cfg.ConfigOpts.GroupAttr:
        """Give the agent's options as its configuration files have them.

        :raises ToolError: a file can't be read, or a value can't be taken.
        """
        conf = cfg.ConfigOpts()
        options.register_opts(conf)
        try:
            conf(
                [],
                project="nova",
                prog=AGENT,
                default_config_files=self.options.config_file,
            )
        except cfg.Error as error:
            raise ToolError(str(error)) from None
        group: cfg.ConfigOpts.GroupAttr = conf.xen_overcommit
        return group


def _told(error: Exception, path: str, option: str) -> ToolError:
    code = exit_codes.of(error)
    text = str(error)
    if not isinstance(error, exception.OvercommitError):
        code, text = Code.NO_ANSWER, f"an answer that is none: {error!r}"
    if path not in text:
        text += f" (at {path})"
    text += f", from {option}{_HINTS.get(code, '')}"
    return ToolError(text, code)


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number <= 3600:
        raise argparse.ArgumentTypeError("must be above 0, 3600 at most")
    return number
