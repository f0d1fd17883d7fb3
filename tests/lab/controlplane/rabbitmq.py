# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ of Debian's package, with everything of its own."""

import os
import pathlib

from .. import paths, processes, steps
from .site import LOOPBACK, Site

# Not Debian's wrapper, which would change to another user and directory.
_SERVER = pathlib.Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_START_S = 120.0
# Idle schedulers must not spin on a machine that emulates another one.
_ERLANG = (
    "+sbwt none +sbwtdcpu none +sbwtdio none "
    "-kernel inet_dist_use_interface {127,0,0,1}"
)


def _settings(site: Site) -> str:
    return f"""\
listeners.tcp.1 = {LOOPBACK}:{site.ports["rabbitmq"]}
default_user = lab
default_pass = {site.password}
disk_free_limit.absolute = 50MB
log.console = true
log.console.level = info
log.file = false
"""


def _environment(site: Site, home: pathlib.Path) -> dict[str, str]:
    return {
        "HOME": os.fspath(home),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "ERL_EPMD_PORT": str(site.ports["epmd"]),
        "RABBITMQ_NODENAME": "nova-xen-overcommit-lab@localhost",
        "RABBITMQ_DIST_PORT": str(site.ports["distribution"]),
        "RABBITMQ_CONF_ENV_FILE": os.fspath(home / "none"),
        "RABBITMQ_CONFIG_FILE": os.fspath(home / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": os.fspath(home / "none.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": os.fspath(home / "plugins"),
        "RABBITMQ_MNESIA_BASE": os.fspath(home / "mnesia"),
        "RABBITMQ_LOG_BASE": os.fspath(home / "log"),
        "RABBITMQ_PID_FILE": os.fspath(home / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG,
    }


def start(site: Site) -> None:
    """Start the Erlang name server and the broker; don't wait."""
    home = site.directory / "rabbitmq"
    home.mkdir(exist_ok=True)
    (home / "rabbitmq.conf").write_text(_settings(site))
    (home / "plugins").write_text("[].\n")
    environment = _environment(site, home)
    if processes.pid_of("epmd") is None:
        processes.start(
            "epmd",
            ["epmd", "-address", LOOPBACK, "-port", str(site.ports["epmd"])],
            environment,
        )
        _wait("epmd", site)
    processes.start("rabbitmq", [_SERVER], environment)


def wait(site: Site) -> None:
    """Wait until it takes connections.

    :raises LabError: it doesn't, in time.
    """
    _wait("rabbitmq", site)


def _wait(name: str, site: Site) -> None:
    steps.wait_until(
        name,
        lambda: processes.answers(site.ports[name]),
        _START_S,
        paths.logs() / f"{name}.log",
    )
