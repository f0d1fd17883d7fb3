# SPDX-License-Identifier: Apache-2.0
"""Message bus and database: Debian's RabbitMQ and MariaDB, on loopback."""

import pathlib
import shutil
import urllib.error
import urllib.request

from tests.lab import paths, processes, steps
from tests.lab import settings as lab_settings

_DATABASES = ("keystone", "placement", "glance", "neutron") + (
    "nova_api",
    "nova_cell0",
    "nova",
)


def start_rabbitmq(settings: lab_settings.Settings) -> None:
    """Start RabbitMQ with a directory, a cookie and an epmd of its own."""
    home = paths.run() / "rabbitmq"
    home.mkdir(exist_ok=True)
    conf = home / "rabbitmq.conf"
    conf.write_text(
        f"listeners.tcp.1 = 127.0.0.1:{settings.ports['rabbitmq']}\n"
        f"default_user = lab\ndefault_pass = {settings.secret}\n"
        "loopback_users = none\n"
        "vm_memory_high_watermark.absolute = 1GB\n"
        "disk_free_limit.absolute = 50MB\n"
    )
    (home / "plugins").write_text("[].\n")
    epmd = str(settings.ports["epmd"])
    processes.start("epmd", ["epmd", "-address", "127.0.0.1", "-port", epmd])
    processes.start(
        "rabbitmq",
        ["/usr/lib/rabbitmq/bin/rabbitmq-server"],
        {
            "HOME": str(home),
            "RABBITMQ_NODENAME": "lab@localhost",
            "RABBITMQ_CONFIG_FILE": str(conf),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_DIST_PORT": str(settings.ports["erlang"]),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1}"
                " +sbwt none +sbwtdcpu none +sbwtdio none"
            ),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": epmd,
        },
    )


def _http_answers(port: int) -> bool:
    """Whether a real answer comes: gunicorn listens long before that."""
    url = f"http://127.0.0.1:{port}/"
    try:
        urllib.request.urlopen(url, timeout=20).close()
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
    return True


def wait(name: str, port: int, *, http: bool = False) -> None:
    """Wait until a server answers.

    :raises LabError: it died or doesn't answer; names its log.
    """
    log = paths.logs() / f"{name}.log"
    answers = _http_answers if http else processes.answers

    def ready() -> bool:
        if processes.pid_of(name) is None:
            raise steps.LabError(f"{name} died; read {log}")
        return answers(port)

    steps.wait_until(name, ready, 240, log)


def start_mariadb(settings: lab_settings.Settings, data: pathlib.Path) -> None:
    """Start MariaDB on a data directory."""
    users = paths.run() / "mariadb-users.sql"
    users.touch(mode=0o600)
    users.write_text(
        "".join(f"CREATE DATABASE IF NOT EXISTS {x};\n" for x in _DATABASES)
        + f"CREATE OR REPLACE USER 'lab'@'%' IDENTIFIED BY"
        f" '{settings.secret}';\n"
        "GRANT ALL ON *.* TO 'lab'@'%';\n"
    )
    processes.start(
        "mariadb",
        [
            "mariadbd",
            "--no-defaults",
            "--user=root",
            f"--datadir={data}",
            "--bind-address=127.0.0.1",
            f"--port={settings.ports['mariadb']}",
            f"--socket={paths.run()}/mariadb.sock",
            f"--pid-file={paths.run()}/mariadb.pid",
            f"--init-file={users}",
            "--skip-log-bin",
            "--skip-name-resolve",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-flush-method=nosync",
            "--innodb-log-file-size=32M",
            "--max-connections=400",
        ],
    )


def new_database(data: pathlib.Path, log: pathlib.Path) -> None:
    """Make an empty data directory."""
    steps.run(
        [
            "mariadb-install-db",
            "--no-defaults",
            "--user=root",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ],
        log,
    )


def copy_database(layer: pathlib.Path) -> pathlib.Path:
    """Give a private copy of a data directory."""
    data = paths.run() / "mariadb"
    shutil.copytree(layer / "data", data)
    return data
