# SPDX-License-Identifier: Apache-2.0
"""The servers' databases, filled once and then kept."""

import concurrent.futures
import pathlib
import secrets
import shutil

from .. import layers, paths, processes, steps
from . import environment, mariadb, settings
from .site import Site

# Filled in from each server's own configuration, so that the ports may
# differ in each lab.
_ANY = "{scheme}://{username}:{password}@{hostname}:{port}"


Commands = list[list[str]]


def _commands(site: Site) -> dict[str, Commands]:
    """Give what fills each server's database, the longest first."""
    etc = site.directory / "etc"
    return {
        "neutron": _with(
            "neutron-db-manage",
            etc / "neutron/neutron.conf",
            ["upgrade", "heads"],
        ),
        "nova": _with("nova-manage", etc / "nova/nova.conf", *_nova()),
        "keystone": _with(
            "keystone-manage", etc / "keystone/keystone.conf", *_keystone(site)
        ),
        "glance": _with(
            "glance-manage", etc / "glance/glance-api.conf", ["db_sync"]
        ),
        "placement": _with(
            "placement-manage",
            etc / "placement/placement.conf",
            ["db", "sync"],
        ),
    }


def _with(tool: str, file: pathlib.Path, *commands: list[str]) -> Commands:
    return [[tool, f"--config-file={file}", *more] for more in commands]


def _keystone(site: Site) -> Commands:
    return [
        ["db_sync"],
        ["fernet_setup", "--keystone-user=root", "--keystone-group=root"],
        [
            "bootstrap",
            f"--bootstrap-password={site.password}",
            f"--bootstrap-public-url={site.url('keystone')}/v3",
            "--bootstrap-region-id=lab",
        ],
    ]


def _nova() -> Commands:
    return [
        ["api_db", "sync"],
        [
            "cell_v2",
            "map_cell0",
            f"--database_connection={_ANY}/nova_cell0?{{query}}",
        ],
        ["db", "sync"],
        [
            "cell_v2",
            "create_cell",
            "--name=lab",
            f"--transport-url={_ANY}/",
            f"--database_connection={_ANY}/nova?{{query}}",
        ],
    ]


def _run(name: str, servers: pathlib.Path, commands: Commands) -> None:
    log = paths.logs() / f"controlplane-database-{name}.log"
    for tool, *rest in commands:
        steps.run([*environment.script(servers, tool), *rest], log)


def _fill(servers: pathlib.Path, site: Site) -> None:
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for done in [
            pool.submit(_run, name, servers, commands)
            for name, commands in _commands(site).items()
        ]:
            done.result()


def _build(out: pathlib.Path, servers: pathlib.Path) -> None:
    steps.say("filling the servers' databases")
    site = Site.new(secrets.token_hex(16))
    settings.write(site, servers / "etc")
    log = paths.logs() / "controlplane-database.log"
    mariadb.create(site, log)
    first = site.directory / "first.sql"
    first.write_text(mariadb.initial_sql(site.password))
    mariadb.start(site, first)
    try:
        mariadb.wait(site)
        _fill(servers, site)
    finally:
        processes.stop_server("mariadb")
    out.chmod(0o700)
    shutil.move(mariadb.data(site), out / "mariadb")
    shutil.move(_keys(site), out / "fernet-keys")
    (out / "password").write_text(site.password)
    shutil.rmtree(site.directory)


def _keys(site: Site) -> pathlib.Path:
    return site.etc("keystone") / "fernet-keys"


def _layer(servers: pathlib.Path) -> pathlib.Path:
    sources = [
        pathlib.Path(file) for file in (mariadb.__file__, __file__) if file
    ]
    key = layers.key(environment.key(), *sources)
    return layers.layer("databases", key, lambda out: _build(out, servers))


def new_site(servers: pathlib.Path) -> Site:
    """Give a site with filled databases and all configuration.

    ``servers`` is the environment of :mod:`environment`.

    :raises LabError: the databases couldn't be filled; names the log.
    """
    layer = _layer(servers)
    site = Site.new((layer / "password").read_text())
    settings.write(site, servers / "etc")
    log = paths.logs() / "controlplane-database.log"
    for source, target in (
        (layer / "mariadb", mariadb.data(site)),
        (layer / "fernet-keys", _keys(site)),
    ):
        steps.run(
            ["cp", "-a", "--sparse=always", "--reflink=auto", source, target],
            log,
        )
    return site
