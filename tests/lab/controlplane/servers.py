# SPDX-License-Identifier: Apache-2.0
"""The OpenStack servers: how each is started and seen to be ready."""

import http.client
import os
import pathlib
from collections.abc import Mapping

from .. import paths, processes, steps
from . import environment
from .site import HTTP, LOOPBACK, Site

WORKERS = ("nova-conductor", "nova-scheduler")
NAMES = (*HTTP, *WORKERS)
# Started together with an emulated machine on few cores.
_START_S = 300.0
# setproctitle writes titles over the environment, and with it over the mark
# by which the lab finds its processes.
_KEEP_ENVIRONMENT = {"SPT_NOENV": "1"}


def _locations(site: Site, name: str) -> Mapping[str, str]:
    etc = site.directory / "etc"
    return {
        **_KEEP_ENVIRONMENT,
        "GUNICORN_CMD_ARGS": f"--config {etc / 'gunicorn' / name}.conf.py",
        "OS_KEYSTONE_CONFIG_DIR": os.fspath(etc / "keystone"),
        "OS_PLACEMENT_CONFIG_DIR": os.fspath(etc / "placement"),
        "OS_GLANCE_CONFIG_DIR": os.fspath(etc / "glance"),
        "OS_NEUTRON_CONFIG_DIR": os.fspath(etc / "neutron"),
        "OS_NEUTRON_CONFIG_FILES": "neutron.conf",
        "OS_NOVA_CONFIG_DIR": os.fspath(etc / "nova"),
    }


def _command(
    site: Site, name: str, where: pathlib.Path
) -> list[str | os.PathLike[str]]:
    if name in HTTP:
        # Nothing more: the applications read the command line as theirs.
        return [environment.python(where), "-m", "gunicorn"]
    config = site.etc("nova") / "nova.conf"
    return [*environment.script(where, name), f"--config-file={config}"]


def start(site: Site, name: str, where: pathlib.Path) -> None:
    """Start one of :data:`NAMES`; don't wait.

    ``where`` is the environment of :mod:`environment`.
    """
    variables = _locations(site, name) if name in HTTP else _KEEP_ENVIRONMENT
    processes.start(name, _command(site, name, where), variables)


def _responds(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except OSError:
        return False
    except http.client.HTTPException:
        return False
    finally:
        connection.close()


def wait(site: Site, name: str) -> None:
    """Wait until an HTTP server answers a request.

    :raises LabError: it ended, or doesn't answer in time; names its log.
    """
    log = paths.logs() / f"{name}.log"

    def ready() -> bool:
        if processes.pid_of(name) is None:
            raise steps.LabError(f"{name} ended; read {log}")
        return _responds(site.ports[name])

    steps.wait_until(name, ready, _START_S, log)
