# SPDX-License-Identifier: Apache-2.0
"""The servers' configuration files."""

import pathlib
import shutil
from collections.abc import Mapping

from .site import HTTP, LOOPBACK, Site

Section = Mapping[str, object]
Sections = Mapping[str, Section]

_APPLICATIONS = {
    "keystone": "keystone.wsgi.api:application",
    "placement": "placement.wsgi.api:application",
    "glance": "glance.wsgi.api:application",
    "neutron": "neutron.wsgi.api:application",
    "nova-api": "nova.wsgi.osapi_compute:application",
}


def ini(sections: Sections) -> str:
    """Write oslo.config's form; a list is an option given repeatedly."""
    lines = []
    for name, options in sections.items():
        lines.append(f"[{name}]")
        for option, value in options.items():
            values = value if isinstance(value, list) else [value]
            lines += [f"{option} = {one}" for one in values]
    return "\n".join(lines) + "\n"


def credentials(site: Site, address: str = LOOPBACK) -> dict[str, object]:
    """Give keystoneauth's options of the one user that there is."""
    return {
        "auth_type": "password",
        "auth_url": f"{site.url('keystone', address)}/v3",
        "username": "admin",
        "password": site.password,
        "project_name": "admin",
        "user_domain_id": "default",
        "project_domain_id": "default",
        "region_name": "lab",
    }


def token_check(site: Site) -> dict[str, object]:
    """Give the options with which a server checks its callers' tokens."""
    return {
        **credentials(site),
        "www_authenticate_uri": f"{site.url('keystone')}/v3",
        # The catalog has no others.
        "interface": "public",
        "service_token_roles": "admin",
        "service_token_roles_required": True,
    }


def endpoints(site: Site, address: str = LOOPBACK) -> dict[str, Section]:
    """Give the sections of the services that Nova itself calls."""
    return {
        name: {
            **credentials(site, address),
            "endpoint_override": site.url(name, address),
        }
        for name in ("placement", "glance", "neutron")
    }


def _keystone(site: Site) -> Sections:
    etc = site.etc("keystone")
    return {
        "DEFAULT": {"use_stderr": True},
        "database": {"connection": site.database("keystone")},
        "fernet_tokens": {"key_repository": etc / "fernet-keys"},
        "credential": {"key_repository": etc / "credential-keys"},
        # Tokens must outlive a lab of an afternoon.
        "token": {"expiration": 86400},
    }


def _placement(site: Site) -> Sections:
    return {
        "DEFAULT": {"use_stderr": True},
        "placement_database": {"connection": site.database("placement")},
        "keystone_authtoken": token_check(site),
    }


def _glance(site: Site, share: pathlib.Path) -> Sections:
    store = site.directory / "glance"
    return {
        "DEFAULT": {"use_stderr": True, "enabled_backends": "file:file"},
        "database": {"connection": site.database("glance")},
        "keystone_authtoken": token_check(site),
        "paste_deploy": {
            "flavor": "keystone",
            "config_file": share / "glance/glance-api-paste.ini",
        },
        "glance_store": {"default_backend": "file"},
        **{
            name: {"filesystem_store_datadir": store / name}
            for name in (
                "file",
                "os_glance_staging_store",
                "os_glance_tasks_store",
            )
        },
    }


def _neutron(site: Site, share: pathlib.Path) -> Sections:
    state = site.directory / "neutron"
    return {
        "DEFAULT": {
            "use_stderr": True,
            "transport_url": site.transport(),
            "core_plugin": "ml2",
            "service_plugins": "",
            "api_paste_config": share / "neutron/api-paste.ini",
            "state_path": state,
            "notify_nova_on_port_status_changes": False,
            "notify_nova_on_port_data_changes": False,
        },
        # No agents: instances of the lab have no network.
        "ml2": {
            "type_drivers": "local",
            "tenant_network_types": "local",
            "mechanism_drivers": "",
        },
        "database": {"connection": site.database("neutron")},
        "keystone_authtoken": token_check(site),
        "oslo_concurrency": {"lock_path": state},
    }


def _nova(site: Site) -> Sections:
    return {
        "DEFAULT": {
            "use_stderr": True,
            "transport_url": site.transport(),
            "my_ip": LOOPBACK,
            "host": "control",
            "state_path": site.directory / "nova",
            # An emulated host under load reports late without being dead.
            "service_down_time": 180,
        },
        "api_database": {"connection": site.database("nova_api")},
        "database": {"connection": site.database("nova")},
        "keystone_authtoken": token_check(site),
        "keystone": credentials(site),
        **endpoints(site),
        "conductor": {"workers": 1},
        "scheduler": {"workers": 1, "discover_hosts_in_cells_interval": 10},
        "filter_scheduler": {
            "available_filters": [
                "nova.scheduler.filters.all_filters",
                "nova_xen_overcommit.scheduler.filters.XenOvercommitFilter",
            ],
            "enabled_filters": (
                "ComputeFilter,ComputeCapabilitiesFilter,"
                "ImagePropertiesFilter,XenOvercommitFilter"
            ),
            "weight_classes": (
                "nova.scheduler.weights.all_weighers,"
                "nova_xen_overcommit.scheduler.weights.XenOvercommitWeigher"
            ),
        },
        # As long as the lab's hosts take between two reports, and more.
        "xen_overcommit": {"report_max_age_s": 120},
        "oslo_concurrency": {"lock_path": site.directory / "nova"},
        "cache": {"enabled": False},
    }


def _gunicorn(site: Site, name: str) -> str:
    return f"""\
wsgi_app = "{_APPLICATIONS[name]}"
bind = "{LOOPBACK}:{site.ports[name]}"
worker_class = "gthread"
workers = 1
threads = 8
timeout = 600
graceful_timeout = 2
control_socket_disable = True
"""


def write(site: Site, share: pathlib.Path) -> None:
    """Write every file; ``share`` holds what the packages bring along."""
    files = {
        "keystone/keystone.conf": ini(_keystone(site)),
        "placement/placement.conf": ini(_placement(site)),
        "glance/glance-api.conf": ini(_glance(site, share)),
        "neutron/neutron.conf": ini(_neutron(site, share)),
        "nova/nova.conf": ini(_nova(site)),
        **{f"gunicorn/{name}.conf.py": _gunicorn(site, name) for name in HTTP},
    }
    for name, text in files.items():
        path = site.directory / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copy(share / "nova/api-paste.ini", site.etc("nova"))
    for name in ("neutron", "nova"):
        (site.directory / name).mkdir(exist_ok=True)
