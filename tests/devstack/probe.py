# SPDX-License-Identifier: Apache-2.0
"""Read a nova.conf as one of the processes does; print what came of it.

Run in a process of its own: ``python -m tests.devstack.probe ROLE ARGS...``
with ROLE nova-api, nova-scheduler, nova-compute or agent. Ends with an error
if that process would.
"""

import json
import logging
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def _log_all(conf: Any) -> None:
    """Look at each option, as services do with debug on."""
    conf.log_opt_values(logging.getLogger("probe"), logging.DEBUG)


def _nova(arguments: Sequence[str]) -> Any:
    from nova import config
    from nova.conf import CONF

    config.parse_args(["probe", *arguments])
    _log_all(CONF)
    return CONF


def _api(arguments: Sequence[str]) -> dict[str, Any]:
    from nova.api.validation.extra_specs import validators

    _nova(arguments)
    validators.validate("xen_overcommit:mode", "allow")
    return {}


def _scheduler(arguments: Sequence[str]) -> dict[str, Any]:
    from nova_xen_overcommit import conf as options

    conf = _nova(arguments)
    from nova.scheduler import host_manager

    options.register_opts(conf)
    manager = host_manager.HostManager.__new__(host_manager.HostManager)
    # Its constructor asks the database; the loading is what is tried here.
    handlers: Any = host_manager
    manager.filter_handler = handlers.filters.HostFilterHandler()
    manager.filter_classes = manager.filter_handler.get_matching_classes(
        conf.filter_scheduler.available_filters
    )
    manager.filter_cls_map = {
        cls.__name__: cls for cls in manager.filter_classes
    }
    manager.filter_obj_map = {}
    chosen = manager._choose_host_filters(
        conf.filter_scheduler.enabled_filters
    )
    weighers = handlers.weights.HostWeightHandler().get_matching_classes(
        conf.filter_scheduler.weight_classes
    )
    return {
        "filters": [type(one).__name__ for one in chosen],
        "weighers": [one.__name__ for one in weighers],
    }


def _compute(arguments: Sequence[str]) -> dict[str, Any]:
    from nova_xen_overcommit.cmd import compute as ours  # noqa: F401
    from nova_xen_overcommit.virt import bootstrap

    bootstrap.prepare()
    conf = _nova(arguments)
    from oslo_utils import importutils

    driver = importutils.import_class(f"nova.virt.{conf.compute_driver}")
    return {
        "driver": f"{driver.__module__}.{driver.__name__}",
        "virt_type": conf.libvirt.virt_type,
        "uri": driver._uri(),
        "cpu_mode": conf.libvirt.cpu_mode,
        "images_type": conf.libvirt.images_type,
        "use_cow_images": conf.use_cow_images,
        "options": dict(conf.xen_overcommit),
        "privsep": _rootwrap_lets_privsep(conf.config_file),
    }


def _rootwrap_lets_privsep(files: Sequence[str]) -> bool:
    """Whether the daemons that nova-compute needs would be started."""
    from nova import privsep

    words = privsep.sys_admin_pctxt.helper_command("/tmp/probe")
    words = words[words.index("privsep-helper") :]
    # Where they are on the node.
    words = [f"/etc/nova/{Path(x).name}" if x in files else x for x in words]
    filters = Path(sys.prefix, "etc/nova/rootwrap.d/compute.filters")
    rule = re.search(r"sys_admin: RegExpFilter, (.*)", filters.read_text())
    assert rule
    from oslo_rootwrap import filters as rootwrap

    executable, user, *patterns = (x.strip() for x in rule[1].split(","))
    return bool(
        rootwrap.RegExpFilter(executable, user, *patterns).match(words)
    )


def _agent(arguments: Sequence[str]) -> dict[str, Any]:
    from nova_xen_overcommit.cmd import agent

    conf = agent.configure(arguments)
    _log_all(conf)
    options = conf.xen_overcommit
    return {
        "connection_uri": options.connection_uri,
        "agent_users": options.agent_users,
        "options": dict(options),
    }


_ROLES: dict[str, Callable[[Sequence[str]], dict[str, Any]]] = {
    "nova-api": _api,
    "nova-scheduler": _scheduler,
    "nova-compute": _compute,
    "agent": _agent,
}

if __name__ == "__main__":
    logging.disable()
    given = shlex.split(" ".join(sys.argv[2:]))
    print(json.dumps(_ROLES[sys.argv[1]](given)))
