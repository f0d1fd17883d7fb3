# SPDX-License-Identifier: Apache-2.0
"""Configuration files of the control plane and of nova-compute; pure.

One cloud user, ``admin``, serves for all services: the lab tests memory,
not roles.
"""

import pathlib
from collections.abc import Mapping

from tests.lab import settings as lab_settings

FILTER = "nova_xen_overcommit.scheduler.filters.XenOvercommitFilter"
WEIGHER = "nova_xen_overcommit.scheduler.weights.XenOvercommitWeigher"
_FILTERS = (
    "ComputeFilter,ComputeCapabilitiesFilter,ImagePropertiesFilter,"
    "XenOvercommitFilter"
)
# Shorter times than an operator's, so that a trial doesn't take hours.
REPORT_MAX_AGE_S = 60
_FAST: Mapping[str, object] = {
    "warm_up_s": 10,
    "promise_raise_delay_s": 3,
    "demand_decay_s": 10,
    # What all wanted at once in one act must not decide about the next.
    "history_s": 120,
    "cool_down_s": 5,
    "report_max_age_s": REPORT_MAX_AGE_S,
    "reserve_wait_s": 120,
}
_PRIVSEP = "/opt/nova/bin/privsep-helper --config-file /etc/nova/nova.conf"

Conf = Mapping[str, Mapping[str, object]]


def render(conf: Conf) -> str:
    """Give the text of an ini file; a list repeats its option."""
    lines = []
    for section, options in conf.items():
        lines.append(f"[{section}]")
        for name, value in options.items():
            values = value if isinstance(value, list) else [value]
            lines += [f"{name} = {one}" for one in values]
        lines.append("")
    return "\n".join(lines)


def _user(settings: lab_settings.Settings, host: str) -> dict[str, object]:
    return {
        "auth_type": "password",
        "auth_url": f"{settings.url('keystone', host)}/v3",
        "username": "admin",
        "password": settings.secret,
        "project_name": "admin",
        "user_domain_id": "default",
        "project_domain_id": "default",
        "region_name": "lab",
    }


def _token(settings: lab_settings.Settings) -> dict[str, object]:
    user = _user(settings, "127.0.0.1")
    del user["region_name"]
    return {**user, "www_authenticate_uri": user["auth_url"]}


def keystone(settings: lab_settings.Settings, home: pathlib.Path) -> Conf:
    return {
        "DEFAULT": {"log_file": "", "use_stderr": True},
        "database": {"connection": settings.database("keystone")},
        "token": {"provider": "fernet", "expiration": 86400},
        "fernet_tokens": {"key_repository": home / "fernet"},
        "credential": {"key_repository": home / "credential"},
        "cache": {"enabled": False},
    }


def placement(settings: lab_settings.Settings, home: pathlib.Path) -> Conf:
    return {
        "DEFAULT": {"use_stderr": True},
        "api": {"auth_strategy": "keystone"},
        "placement_database": {"connection": settings.database("placement")},
        "keystone_authtoken": _token(settings),
    }


def glance(settings: lab_settings.Settings, home: pathlib.Path) -> Conf:
    return {
        "DEFAULT": {
            "enabled_backends": "files:file",
            "use_stderr": True,
            "node_staging_uri": f"file://{home}/staging",
        },
        "database": {"connection": settings.database("glance")},
        "glance_store": {"default_backend": "files"},
        "files": {"filesystem_store_datadir": home / "images"},
        "os_glance_staging_store": {
            "filesystem_store_datadir": home / "staging"
        },
        "os_glance_tasks_store": {"filesystem_store_datadir": home / "tasks"},
        "paste_deploy": {
            "flavor": "keystone",
            "config_file": home / "paste.ini",
        },
        "keystone_authtoken": _token(settings),
    }


def neutron(settings: lab_settings.Settings, home: pathlib.Path) -> Conf:
    return {
        "DEFAULT": {
            "core_plugin": "ml2",
            "service_plugins": "",
            "auth_strategy": "keystone",
            "transport_url": settings.transport(),
            "api_paste_config": home / "paste.ini",
            "state_path": home,
            "use_stderr": True,
            "rpc_workers": 0,
        },
        "ml2": {
            "type_drivers": "local",
            "tenant_network_types": "local",
            # Binds every port to a switch on the host: network_driver.py.
            "mechanism_drivers": "lab",
            "extension_drivers": "port_security",
        },
        "database": {"connection": settings.database("neutron")},
        "oslo_concurrency": {"lock_path": home / "locks"},
        "keystone_authtoken": _token(settings),
    }


def _nova_clients(
    settings: lab_settings.Settings, host: str
) -> dict[str, Mapping[str, object]]:
    user = _user(settings, host)
    return {
        "service_user": {**user, "send_service_user_token": True},
        "placement": {
            **user,
            "endpoint_override": settings.url("placement", host),
        },
        "glance": {
            **user,
            "endpoint_override": settings.url("glance", host),
        },
        "neutron": {
            **user,
            "endpoint_override": settings.url("neutron", host),
        },
        "cinder": {
            **_user(settings, host),
            "endpoint_template": (
                settings.url("cinder", host) + "/v3/%(project_id)s"
            ),
        },
        "keystone_authtoken": _token(settings),
    }


def nova(settings: lab_settings.Settings, home: pathlib.Path) -> Conf:
    """nova.conf of API, scheduler and conductor."""
    return {
        "DEFAULT": {
            "transport_url": settings.transport(),
            "my_ip": "127.0.0.1",
            "host": "control",
            "state_path": home,
            "use_stderr": True,
            # An emulated host under load is slow to report, and to answer.
            "service_down_time": 180,
            "rpc_response_timeout": 240,
            # There is but one host.
            "allow_resize_to_same_host": True,
        },
        "api": {"auth_strategy": "keystone"},
        "wsgi": {"api_paste_config": home / "paste.ini"},
        "api_database": {"connection": settings.database("nova_api")},
        "database": {"connection": settings.database("nova")},
        "conductor": {"workers": 1},
        "scheduler": {
            "workers": 1,
            "discover_hosts_in_cells_interval": 5,
        },
        "filter_scheduler": {
            "available_filters": [
                "nova.scheduler.filters.all_filters",
                FILTER,
            ],
            "enabled_filters": _FILTERS,
            "weight_classes": (
                f"nova.scheduler.weights.all_weighers,{WEIGHER}"
            ),
        },
        "quota": {
            "instances": -1,
            "cores": -1,
            "ram": -1,
        },
        "oslo_concurrency": {"lock_path": home / "locks"},
        **_nova_clients(settings, "127.0.0.1"),
    }


def compute(
    settings: lab_settings.Settings,
    mode: str,
    overrides: Mapping[str, Mapping[str, object]],
) -> dict[str, dict[str, object]]:
    """nova.conf in dom0, read by nova-compute and by the agent."""
    host = "10.0.2.2"
    conf: dict[str, dict[str, object]] = {
        "DEFAULT": {
            "compute_driver": "xen_overcommit.XenOvercommitDriver",
            "transport_url": settings.transport(host),
            "host": "xenhost",
            "my_ip": "10.0.2.15",
            "state_path": "/var/lib/nova",
            "use_stderr": True,
            # The guests' processors and disks aren't what is tried here.
            "initial_cpu_allocation_ratio": 64,
            "initial_disk_allocation_ratio": 64,
            # The rest of dom0's and Xen's memory, so that three 1 GiB
            # guests fit the host, and no fourth.
            "reserved_host_memory_mb": 896,
            "force_config_drive": False,
            "instance_usage_audit": False,
            "update_resources_interval": 10,
            "compute_monitors": "",
            # Xen's hotplug scripts are slow under emulation, and time out
            # when several run.
            "max_concurrent_builds": 1,
            "vif_plugging_is_fatal": False,
            "vif_plugging_timeout": 0,
            "graceful_shutdown_timeout": 5,
            "resize_fs_using_block_device": False,
            # Else a resize turns raw disks into qcow2 ones, which the guest
            # is given as if they were raw.
            "use_cow_images": False,
            "allow_resize_to_same_host": True,
            "mkisofs_cmd": "genisoimage",
            "service_down_time": 180,
            "rpc_response_timeout": 240,
            # Each idle thread wakes once a second: 64 of them, emulated, take
            # a third of a processor.
            "executor_thread_pool_size": 8,
        },
        # Only dom0 may use processor 0: the emulator breaks guests there
        # (README.rst, "HVM and PVH").
        "compute": {"cpu_shared_set": "1"},
        "libvirt": {
            "virt_type": "xen",
            "connection_uri": "xen:///system",
            # Raw files go through blkback: no process for each in dom0.
            "images_type": "raw",
            "inject_partition": -2,
            "use_virtio_for_bridges": False,
        },
        "vnc": {"enabled": False},
        "nova_sys_admin": {"helper_command": _PRIVSEP},
        "privsep_osbrick": {"helper_command": _PRIVSEP},
        "vif_plug_ovs_privileged": {"helper_command": _PRIVSEP},
        "oslo_concurrency": {"lock_path": "/var/lib/nova/locks"},
        "xen_overcommit": {"mode": mode, **_FAST},
    }
    for section, options in _nova_clients(settings, host).items():
        conf[section] = dict(options)
    del conf["keystone_authtoken"]
    for section, options in overrides.items():
        conf.setdefault(section, {}).update(options)
    return conf
