# SPDX-License-Identifier: Apache-2.0
"""What one lab is made with: ports and a secret; kept for later commands."""

import dataclasses
import json
import pathlib
import secrets

from tests.lab import paths, processes

SERVICES = (
    "ssh rabbitmq epmd erlang mariadb keystone placement glance neutron nova "
    "cinder"
).split()


@dataclasses.dataclass(frozen=True)
class Settings:
    """``ports`` are those of 127.0.0.1, by service."""

    ports: dict[str, int]
    secret: str

    @classmethod
    def new(cls) -> "Settings":
        ports = processes.free_ports(len(SERVICES))
        named = dict(zip(SERVICES, ports, strict=True))
        return cls(named, secrets.token_hex(12))

    @staticmethod
    def _file() -> pathlib.Path:
        return paths.run() / "settings.json"

    def save(self) -> None:
        """Write what :meth:`load` reads."""
        file = self._file()
        file.touch(mode=0o600)
        file.write_text(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def load(cls) -> "Settings | None":
        """The running lab's settings; None when there is no lab."""
        try:
            return cls(**json.loads(cls._file().read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def url(self, service: str, host: str = "127.0.0.1") -> str:
        """Where a service's API is; ``host`` is 10.0.2.2 for dom0."""
        return f"http://{host}:{self.ports[service]}"

    def database(self, name: str) -> str:
        """SQLAlchemy's URL of a database."""
        return (
            f"mysql+pymysql://lab:{self.secret}@127.0.0.1:"
            f"{self.ports['mariadb']}/{name}?charset=utf8"
        )

    def transport(self, host: str = "127.0.0.1") -> str:
        """oslo.messaging's URL of the message bus."""
        return f"rabbit://lab:{self.secret}@{host}:{self.ports['rabbitmq']}/"
