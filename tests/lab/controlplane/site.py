# SPDX-License-Identifier: Apache-2.0
"""What a running control plane is known by: directories, ports, secret."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping

from .. import paths, processes

LOOPBACK = "127.0.0.1"
HTTP = ("keystone", "placement", "glance", "neutron", "nova-api")
_NAMES = ("epmd", "rabbitmq", "distribution", "mariadb", *HTTP)


@dataclasses.dataclass(frozen=True)
class Site:
    """One control plane; all its servers listen on loopback."""

    directory: pathlib.Path
    ports: Mapping[str, int]
    password: str

    @classmethod
    def new(cls, password: str) -> "Site":
        """Choose free ports and remember them in the run directory."""
        ports = processes.free_ports(len(_NAMES))
        site = cls(home(), dict(zip(_NAMES, ports, strict=True)), password)
        site.directory.mkdir(parents=True, mode=0o700, exist_ok=True)
        _file().touch(mode=0o600)
        _file().write_text(
            json.dumps({"ports": site.ports, "password": password})
        )
        return site

    @classmethod
    def running(cls) -> "Site":
        """Give the one that was started, by whatever process.

        :raises FileNotFoundError: none was.
        """
        told = json.loads(_file().read_text())
        return cls(home(), told["ports"], told["password"])

    def url(self, name: str, address: str = LOOPBACK) -> str:
        """Give a server's HTTP address as seen at ``address``."""
        return f"http://{address}:{self.ports[name]}"

    def database(self, name: str) -> str:
        """Give a database's SQLAlchemy URL."""
        return (
            f"mysql+pymysql://root:{self.password}@{LOOPBACK}:"
            f"{self.ports['mariadb']}/{name}?charset=utf8mb3"
        )

    def transport(self, address: str = LOOPBACK) -> str:
        """Give the message bus's oslo.messaging URL."""
        port = self.ports["rabbitmq"]
        return f"rabbit://lab:{self.password}@{address}:{port}/"

    def etc(self, server: str) -> pathlib.Path:
        """Give the directory of a server's configuration."""
        return self.directory / "etc" / server


def home() -> pathlib.Path:
    """Directory of whatever the control plane writes."""
    return paths.run() / "controlplane"


def _file() -> pathlib.Path:
    return home() / "site.json"
