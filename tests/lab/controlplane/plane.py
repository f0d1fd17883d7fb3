# SPDX-License-Identifier: Apache-2.0
"""The control plane as a whole."""

import concurrent.futures
import pathlib
import shutil

from .. import paths, processes, steps
from . import catalog, database, dom0, environment, mariadb, rabbitmq, servers
from .cloud import Cloud
from .site import HTTP, Site, home

_WORKERS_S = 180.0


class ControlPlane:
    """OpenStack's servers of the one lab that this user runs.

    Whoever makes an object finds what another process has started.
    """

    def install(self, wheel: pathlib.Path) -> None:
        """Make the servers' environment, with our package from ``wheel``.

        :raises LabError: that failed; names the log.
        """
        environment.install(wheel)

    def start(self) -> None:
        """Start everything and wait until Nova's services are up.

        :raises LabError: something isn't, in time; names the log to read.
        """
        if home().exists():
            self.stop()
        where = environment.directory()
        site = database.new_site(where)
        rabbitmq.start(site)
        mariadb.start(site)
        mariadb.wait(site)
        for name in ("keystone", "placement", "neutron", "glance"):
            servers.start(site, name, where)
        rabbitmq.wait(site)
        for name in ("nova-api", *servers.WORKERS):
            servers.start(site, name, where)
        self._wait(site)

    def _wait(self, site: Site) -> None:
        cloud = Cloud(site)
        servers.wait(site, "keystone")
        catalog.refresh(cloud, site)
        for name in HTTP:
            servers.wait(site, name)
        _wake_neutron(cloud)
        steps.wait_until(
            "nova-scheduler and nova-conductor",
            lambda: set(servers.WORKERS) <= cloud.services_up(),
            _WORKERS_S,
            paths.logs() / "nova-conductor.log",
        )

    def stop(self) -> None:
        """End every server and remove its files; the logs stay.

        Harmless when nothing runs, or when a start was cut short.
        """
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(processes.stop_server, self.names()))
        shutil.rmtree(home(), ignore_errors=True)

    def names(self) -> tuple[str, ...]:
        """Give the servers' names, in the order of their start."""
        return ("epmd", "rabbitmq", "mariadb", *servers.NAMES)

    def stop_server(self, name: str) -> None:
        """End one server, to see what the others do without it."""
        processes.stop_server(name)

    def start_server(self, name: str) -> None:
        """Start one server that was ended, and wait for its port.

        :raises LabError: it isn't ready in time; names its log.
        """
        site = Site.running()
        if name == "rabbitmq":
            rabbitmq.start(site)
            rabbitmq.wait(site)
        elif name == "mariadb":
            mariadb.start(site)
            mariadb.wait(site)
        else:
            servers.start(site, name, environment.directory())
            if name not in servers.WORKERS:
                servers.wait(site, name)
            if name == "neutron":
                _wake_neutron(Cloud(site))

    def restart(self, name: str) -> None:
        """End and start one server."""
        self.stop_server(name)
        self.start_server(name)

    def dom0_nova_conf(self, mode: str) -> str:
        """Give the text of nova.conf for the Xen host.

        ``mode`` is that of ``[xen_overcommit]``.
        """
        return dom0.nova_conf(Site.running(), mode)

    def cloud(self) -> Cloud:
        """Give a client of the servers' APIs."""
        return Cloud(Site.running())


def _wake_neutron(cloud: Cloud) -> None:
    """Have Neutron's first request be one that it can answer.

    Asked for ports first, as Nova does, it fails: only a query makes
    SQLAlchemy finish the models to which that request refers.
    """
    cloud.call("GET", "neutron", "/v2.0/networks")
