# SPDX-License-Identifier: Apache-2.0
"""The control plane: Keystone, Placement, Glance, Neutron and Nova.

Runs outside of the emulator, on 127.0.0.1; dom0 sees it at 10.0.2.2. The
empty databases' tables are a cached layer, since making them takes longer
than starting everything.
"""

import concurrent.futures
import pathlib
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence

from tests.lab import layers, openstack_conf, paths, processes, servers, steps
from tests.lab import settings as lab_settings

_PYTHON = (
    "keystone openstack-placement glance neutron nova gunicorn pymysql"
).split()
# Service, WSGI application, name of the paste file in the environment.
_APIS = {
    "keystone": ("keystone.wsgi.api:application", None),
    "placement": ("placement.wsgi.api:application", None),
    "glance": ("glance.wsgi.api:application", "glance/glance-api-paste.ini"),
    "neutron": ("neutron.wsgi.api:application", "neutron/api-paste.ini"),
    "nova": ("nova.wsgi.osapi_compute:application", "nova/api-paste.ini"),
}
_CONF_NAMES = {"glance": "glance-api.conf"}
# What makes Neutron find a driver that pip hasn't installed.
_NETWORK_DRIVER = paths.LAB / "network_driver.py"
_DRIVER_INFO = {
    "METADATA": "Metadata-Version: 2.1\nName: lab-network\nVersion: 1\n",
    "entry_points.txt": (
        "[neutron.ml2.mechanism_drivers]\n"
        "lab = network_driver:LabMechanismDriver\n"
    ),
}
# Nova fills these in from its own configuration, so that the tables serve
# any run's ports and secret.
_SERVER = "{scheme}://{username}:{password}@{hostname}:{port}"
_SYNCS: Sequence[tuple[str, Sequence[Sequence[str]]]] = (
    ("keystone", [["keystone-manage", "db_sync"]]),
    ("placement", [["placement-manage", "db", "sync"]]),
    ("glance", [["glance-manage", "db_sync"]]),
    ("neutron", [["neutron-db-manage", "upgrade", "heads"]]),
    (
        "nova",
        [
            ["nova-manage", "api_db", "sync"],
            [
                "nova-manage",
                "cell_v2",
                "map_cell0",
                "--database_connection",
                _SERVER + "/nova_cell0?{query}",
            ],
            ["nova-manage", "db", "sync"],
            [
                "nova-manage",
                "cell_v2",
                "create_cell",
                "--name=cell1",
                "--database_connection",
                _SERVER + "/nova?{query}",
                "--transport-url",
                _SERVER + "/",
            ],
        ],
    ),
)


def _build_environment(out: pathlib.Path, log: pathlib.Path) -> None:
    steps.say("building the control plane's environment")
    steps.run([sys.executable, "-m", "venv", out / "venv"], log)
    steps.run(
        [
            out / "venv/bin/python",
            *("-m", "pip", "-q", "install"),
            *("-c", str(paths.CONSTRAINTS), *_PYTHON),
        ],
        log,
    )


def environment(log: pathlib.Path) -> pathlib.Path:
    """Give the directory of the control plane's Python environment."""
    key = layers.key(sys.version, paths.CONSTRAINTS, *_PYTHON)
    built = layers.layer(
        "control", key, lambda out: _build_environment(out, log)
    )
    return built / "venv"


class ControlPlane:
    """The servers of one lab."""

    def __init__(
        self, settings: lab_settings.Settings, venv: pathlib.Path
    ) -> None:
        self._settings = settings
        self._venv = venv
        self._etc = paths.run() / "etc"
        self._site = paths.run() / "site"
        self._log = paths.logs() / "control.log"

    def _home(self, service: str) -> pathlib.Path:
        home = self._etc / service
        home.mkdir(parents=True, exist_ok=True)
        return home

    def _conf(self, service: str) -> pathlib.Path:
        name = _CONF_NAMES.get(service, f"{service}.conf")
        return self._home(service) / name

    def _conf_files(self, service: str) -> str:
        """What the service's application reads; Nova's paste file first."""
        name = self._conf(service).name
        return f"paste.ini;{name}" if service == "nova" else name

    def write_configuration(self) -> None:
        """Write every service's files below ``run/etc``."""
        makers: Mapping[str, Callable[..., openstack_conf.Conf]] = {
            "keystone": openstack_conf.keystone,
            "placement": openstack_conf.placement,
            "glance": openstack_conf.glance,
            "neutron": openstack_conf.neutron,
            "nova": openstack_conf.nova,
        }
        for service, maker in makers.items():
            home = self._home(service)
            text = openstack_conf.render(maker(self._settings, home))
            self._conf(service).write_text(text)
            paste = _APIS[service][1]
            if paste:
                shutil.copy(self._venv / "etc" / paste, home / "paste.ini")
            for name in ("images", "staging", "tasks", "locks"):
                (home / name).mkdir(exist_ok=True)

    def _python(self, program: str) -> list[str]:
        # By the interpreter: the layer has been moved since pip wrote
        # the programs' first lines.
        bin_dir = self._venv / "bin"
        return [str(bin_dir / "python"), str(bin_dir / program)]

    def manage(self, service: str, *command: str) -> None:
        """Run one of a service's command line programs."""
        steps.run(
            [
                *self._python(command[0]),
                *("--config-file", str(self._conf(service))),
                *command[1:],
            ],
            paths.logs() / f"{service}-manage.log",
            env=processes.environment(),
        )

    def _sync(self, service: str, commands: Sequence[Sequence[str]]) -> None:
        for command in commands:
            self.manage(service, *command)

    def _build_database(self, out: pathlib.Path) -> None:
        steps.say("making the databases' tables")
        data = out / "data"
        servers.new_database(data, self._log)
        servers.start_mariadb(self._settings, data)
        try:
            self._wait("mariadb")
            with concurrent.futures.ThreadPoolExecutor() as pool:
                for done in [pool.submit(self._sync, *s) for s in _SYNCS]:
                    done.result()
        finally:
            processes.stop_server("mariadb")

    def start_database(self) -> None:
        """Start MariaDB with all tables there."""
        key = layers.key(paths.CONSTRAINTS, repr(_SYNCS))
        built = layers.layer("database", key, self._build_database)
        data = servers.copy_database(built)
        servers.start_mariadb(self._settings, data)
        self._wait("mariadb")

    def restart_database(self) -> None:
        """Start MariaDB again after it was stopped."""
        servers.start_mariadb(self._settings, paths.run() / "mariadb")
        self._wait("mariadb")

    def bootstrap(self) -> None:
        """Make the cloud's user and its keys."""
        url = f"{self._settings.url('keystone')}/v3"
        for kind in ("fernet_setup", "credential_setup"):
            self.manage(
                "keystone",
                "keystone-manage",
                kind,
                "--keystone-user=root",
                "--keystone-group=root",
            )
        self.manage(
            "keystone",
            "keystone-manage",
            "bootstrap",
            f"--bootstrap-password={self._settings.secret}",
            "--bootstrap-region-id=lab",
            f"--bootstrap-public-url={url}",
            f"--bootstrap-internal-url={url}",
        )

    def start_api(self, service: str) -> None:
        """Start one service's API under gunicorn.

        The services parse ``sys.argv``, so it is kept empty.
        """
        home = self._home(service)
        conf = home / "gunicorn.py"
        port = self._settings.ports[service]
        conf.write_text(
            f"wsgi_app = {_APIS[service][0]!r}\n"
            f"bind = '127.0.0.1:{port}'\n"
            "worker_class = 'gthread'\nworkers = 1\nthreads = 8\n"
            "timeout = 300\ngraceful_timeout = 2\n"
            # Clients keep connections, and take it for a failure when one
            # is closed as they send.
            "keepalive = 3600\n"
            "control_socket_disable = True\n"
        )
        upper = service.upper()
        processes.start(
            service,
            self._python("gunicorn"),
            {
                "GUNICORN_CMD_ARGS": f"--config {conf}",
                f"OS_{upper}_CONFIG_DIR": str(home),
                f"OS_{upper}_CONFIG_FILES": self._conf_files(service),
                "PYTHONPATH": str(self._site),
            },
        )

    def start_nova_service(self, name: str) -> None:
        """Start nova-scheduler or nova-conductor."""
        processes.start(
            name,
            [*self._python(name), "--config-file", str(self._conf("nova"))],
            {"PYTHONPATH": str(self._site)},
        )

    def start_volumes(self) -> None:
        """Start what stands in for Cinder."""
        port = str(self._settings.ports["cinder"])
        processes.start(
            "cinder",
            [sys.executable, "-m", "tests.lab.volumes", port],
            {"PYTHONPATH": str(paths.TREE)},
        )
        self._wait("cinder")

    def install(self, wheel: pathlib.Path) -> None:
        """Put our package where Nova finds it, and Neutron's driver."""
        pip = (*self._python("pip"), "-q", "install", "--no-deps")
        steps.run(
            [*pip, "--no-index", "--target", self._site, wheel], self._log
        )
        shutil.copy(_NETWORK_DRIVER, self._site)
        info = self._site / "lab_network-1.dist-info"
        info.mkdir()
        for name, text in _DRIVER_INFO.items():
            (info / name).write_text(text)

    def start(self) -> None:
        """Start all; the databases come first."""
        self.write_configuration()
        servers.start_rabbitmq(self._settings)
        self.start_database()
        self.bootstrap()
        for service in _APIS:
            self.start_api(service)
        self._wait("rabbitmq")
        for name in ("nova-conductor", "nova-scheduler"):
            self.start_nova_service(name)
        for service in _APIS:
            self._wait(service)

    def _wait(self, name: str) -> None:
        port = self._settings.ports[name]
        servers.wait(name, port, http=name in _APIS)
