# SPDX-License-Identifier: Apache-2.0
"""MariaDB of Debian's package, with a data directory of its own."""

import os
import pathlib

from .. import paths, processes, steps
from .site import LOOPBACK, Site

DATABASES = (
    "keystone",
    "placement",
    "glance",
    "neutron",
    "nova_api",
    "nova_cell0",
    "nova",
)
_START_S = 60.0


def data(site: Site) -> pathlib.Path:
    """Directory of the databases."""
    return site.directory / "mariadb"


def create(site: Site, log: pathlib.Path) -> None:
    """Make a data directory whose only user is root with our password."""
    directory = data(site)
    steps.run(
        [
            "mariadb-install-db",
            "--no-defaults",
            "--user=root",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            "--innodb-log-file-size=16M",
            f"--datadir={directory}",
        ],
        log,
    )


def initial_sql(password: str) -> str:
    """The statements that a new server runs once."""
    users = "".join(
        f"ALTER USER root@'{host}' IDENTIFIED BY '{password}';\n"
        for host in ("localhost", "127.0.0.1")
    )
    made = "".join(
        f"CREATE DATABASE {name} CHARACTER SET utf8mb3;\n"
        for name in DATABASES
    )
    drop = "DELETE FROM mysql.global_priv WHERE User = '';\n"
    return f"{drop}FLUSH PRIVILEGES;\n{users}{made}"


def start(site: Site, init_file: pathlib.Path | None = None) -> None:
    """Start it; don't wait."""
    directory = data(site)
    more = [f"--init-file={init_file}"] if init_file else []
    processes.start(
        "mariadb",
        [
            "mariadbd",
            "--no-defaults",
            # It runs as whoever runs the lab and owns the directory.
            *(["--user=root"] if os.getuid() == 0 else []),
            f"--datadir={directory}",
            f"--bind-address={LOOPBACK}",
            f"--port={site.ports['mariadb']}",
            f"--socket={directory / 's'}",
            f"--pid-file={directory / 'pid'}",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--max-connections=400",
            "--innodb-log-file-size=16M",
            "--innodb-buffer-pool-size=64M",
            "--innodb-file-per-table=OFF",
            # Durability beyond a crash of the process isn't needed here.
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=OFF",
            "--sync-frm=OFF",
            *more,
        ],
    )


def wait(site: Site) -> None:
    """Wait until it takes connections.

    :raises LabError: it doesn't, in time.
    """
    steps.wait_until(
        "mariadb",
        lambda: processes.answers(site.ports["mariadb"]),
        _START_S,
        paths.logs() / "mariadb.log",
    )
