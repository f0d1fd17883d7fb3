# SPDX-License-Identifier: Apache-2.0
"""nova.conf of the emulated Xen host."""

from . import settings
from .settings import Sections
from .site import Site

# What an emulated machine sees of the outer machine's loopback.
_CONTROL = "10.0.2.2"
_STATE = "/var/lib/nova"
# Of the host's 4095 MiB: three instances of 1024 MiB fit by themselves, a
# fourth doesn't.
_RESERVED_MIB = 900
_PRIVSEP = {
    "helper_command": (
        "/opt/nova/bin/privsep-helper --config-file /etc/nova/nova.conf"
    )
}
_PRIVSEP_SECTIONS = ("nova_sys_admin", "privsep_osbrick")


def _compute(site: Site) -> Sections:
    return {
        "DEFAULT": {
            "transport_url": site.transport(_CONTROL),
            "compute_driver": "xen_overcommit.XenOvercommitDriver",
            "my_ip": "10.0.2.15",
            "host": "xenhost",
            "state_path": _STATE,
            "instances_path": f"{_STATE}/instances",
            "reserved_host_memory_mb": _RESERVED_MIB,
            "reserved_host_disk_mb": 0,
            # vCPUs and disk must not be what bounds the instances.
            "cpu_allocation_ratio": 32,
            "disk_allocation_ratio": 4,
            "update_resources_interval": 10,
            "sync_power_state_interval": 120,
            "graceful_shutdown_timeout": 5,
            "vif_plugging_is_fatal": False,
            "vif_plugging_timeout": 0,
            "force_config_drive": False,
            "flat_injected": False,
            "running_deleted_instance_action": "noop",
            "instance_usage_audit": False,
            "rpc_response_timeout": 180,
            "max_concurrent_builds": 3,
            "service_down_time": 180,
        },
        # Raw files need no qemu-img, and no emulator process per guest.
        "libvirt": {
            "virt_type": "xen",
            "connection_uri": "xen:///system",
            "images_type": "raw",
            "inject_partition": -2,
            "cpu_mode": "none",
        },
        "vnc": {"enabled": False},
        "spice": {"enabled": False},
        "image_cache": {"manager_interval": -1},
        **{section: dict(_PRIVSEP) for section in _PRIVSEP_SECTIONS},
    }


def _overcommit(mode: str) -> dict[str, object]:
    return {
        "mode": mode,
        "connection_uri": "xen:///system",
        # A lab is over before the defaults, made for hosts, would act.
        "warm_up_s": 30,
        "promise_raise_delay_s": 5,
        "max_overcommit_ratio": 6.0,
        "report_max_age_s": 120,
        "reserve_wait_s": 120,
    }


def nova_conf(site: Site, mode: str) -> str:
    """Give its text; ``mode`` is that of ``[xen_overcommit]``."""
    return settings.ini(
        {
            **_compute(site),
            **settings.endpoints(site, _CONTROL),
            "keystone": settings.credentials(site, _CONTROL),
            "service_user": {
                "send_service_user_token": False,
            },
            "oslo_concurrency": {"lock_path": f"{_STATE}/locks"},
            "xen_overcommit": _overcommit(mode),
        }
    )
