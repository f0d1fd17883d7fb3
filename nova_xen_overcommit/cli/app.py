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
from nova_xen_overcommit.cli import explain, history, printable, simulate

PROGRAM = "nova-xen-overcommit"
# The files that are the agent's by default are the tool's too.
_AGENT = "nova-xen-overcommit-agent"
_UNIT = f"{_AGENT}.service"
_COMMANDS = {
    "explain": explain.Explain,
    "history export": history.Export,
    "simulate": simulate.Simulate,
}


class ToolError(Exception):
    """What the user is told; harmless on a terminal."""


class Tool(app.App):
    """``nova-xen-overcommit COMMAND``."""

    NAME = PROGRAM
    LOG = logging.getLogger(PROGRAM)

    def __init__(self, **streams: Any) -> None:
        manager = commandmanager.CommandManager("nova_xen_overcommit.cli")
        for name, command in _COMMANDS.items():
            manager.add_command(name, command)
        super().__init__(
            description="Ask a compute host's agent about its guests, or what "
            "overcommit would have done.",
            version=importlib.metadata.version("nova_xen_overcommit"),
            command_manager=manager,
            **streams,
        )

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
            "--agent-socket",
            metavar="PATH",
            help="Ask at this socket; no configuration is read then.",
        )
        return parser

    def run(self, argv: list[str]) -> int:
        """Run one command; without one, show help.

        cliff would begin a shell of its own, which nobody needs here.
        """
        return int(super().run(argv or ["help"]))

    def interact(self) -> None:
        """Refuse what has options but no command; ends with code 1."""
        self.LOG.error("no command given; see %s help", PROGRAM)

    def ask(
        self, question: Callable[[client.AgentClient], dict[str, Any]]
    ) -> dict[str, Any]:
        """Ask the agent; give an answer that may be printed as it is.

        :raises ToolError: there is no answer; the text says why.
        """
        try:
            answer = question(client.AgentClient(self._socket_path()))
        except exception.AgentUnavailable as error:
            raise _told(f"{error}; is {_UNIT} running here?") from None
        except (exception.OvercommitError, cfg.Error) as error:
            raise _told(str(error)) from None
        cleaned: dict[str, Any] = printable.clean(answer)
        return cleaned

    def _socket_path(self) -> str:
        if self.options.agent_socket:
            return str(self.options.agent_socket)
        return str(self.configured().agent_socket)

    def configured(self) -> cfg.ConfigOpts.GroupAttr:
        """Give the agent's options as its configuration files have them.

        :raises cfg.Error: a file can't be read, or a value can't be taken.
        """
        conf = cfg.ConfigOpts()
        options.register_opts(conf)
        conf(
            [],
            project="nova",
            prog=_AGENT,
            default_config_files=self.options.config_file,
        )
        group: cfg.ConfigOpts.GroupAttr = conf.xen_overcommit
        return group


def _told(text: str) -> ToolError:
    return ToolError(printable.clean(text))
