# SPDX-License-Identifier: Apache-2.0
"""What the checks judge: this host as it was found, gathered once."""

import dataclasses
import importlib.metadata
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg

from nova_xen_overcommit import conf as options
from nova_xen_overcommit import exception
from nova_xen_overcommit.cli import picture
from nova_xen_overcommit.cli.exit_codes import ToolError

COMPUTE, CONTROL = "compute", "control"
ROLES = ("auto", COMPUTE, CONTROL, "all")
_ALL_FILTERS = "nova.scheduler.filters.all_filters"
# The options of Nova's that bear on ours, with Nova's defaults: they are
# read where Nova isn't installed, too.
_NOVAS: Mapping[str | None, Sequence[cfg.Opt]] = {
    None: (
        cfg.StrOpt("compute_driver"),
        cfg.FloatOpt("ram_allocation_ratio"),
        cfg.IntOpt("reserved_host_memory_mb", default=512),
        cfg.IntOpt("update_resources_interval", default=0),
        cfg.BoolOpt("use_cow_images", default=True),
    ),
    "libvirt": (
        cfg.StrOpt("virt_type", default="kvm"),
        cfg.StrOpt("connection_uri", default=""),
        cfg.StrOpt("images_type", default="default"),
        cfg.IntOpt("mem_stats_period_seconds", default=10),
    ),
    "filter_scheduler": (
        cfg.MultiStrOpt("available_filters", default=[_ALL_FILTERS]),
        cfg.ListOpt("enabled_filters", default=[]),
        cfg.ListOpt(
            "weight_classes", default=["nova.scheduler.weights.all_weighers"]
        ),
    ),
    "api_database": (cfg.StrOpt("connection", secret=True),),
}


@dataclasses.dataclass(frozen=True)
class Site:
    """One host. What couldn't be had is None, and its ``..._fault`` why.

    ``agent`` is :func:`picture.document`; ``hypervisor`` a
    :class:`survey.Survey`; ``nova`` the version that is installed here, "".
    """

    roles: frozenset[str]
    files: Sequence[str]
    conf: cfg.ConfigOpts | None
    conf_fault: str
    socket: Path
    agent: Mapping[str, Any] | None
    agent_fault: str
    hypervisor: Any
    hypervisor_fault: str
    nova: str


def configuration(files: list[str] | None, program: str) -> cfg.ConfigOpts:
    """Read our options and the parts of Nova's.

    :raises cfg.Error: a file can't be read.
    """
    conf = cfg.ConfigOpts()
    options.register_opts(conf)
    for group, opts in _NOVAS.items():
        conf.register_opts(opts, group=group)
    conf([], project="nova", prog=program, default_config_files=files)
    return conf


def is_set(conf: cfg.ConfigOpts, name: str, group: str | None = None) -> bool:
    """Tell whether a file has this option."""
    place = conf.get_location(name, group)
    return place is not None and place.location is cfg.Locations.user


def roles(conf: cfg.ConfigOpts | None, chosen: str, agent: bool) -> set[str]:
    """Give what this host is: as chosen, or as far as it shows.

    One that Nova's API database is named to is a control node, and one with
    a compute driver or an agent a compute node.
    """
    if chosen == "all":
        return {COMPUTE, CONTROL}
    if chosen != "auto":
        return {chosen}
    found = {COMPUTE} if agent else set()
    if conf is not None:
        if is_set(conf, "compute_driver"):
            found.add(COMPUTE)
        filters = ("available_filters", "enabled_filters")
        if is_set(conf, "connection", "api_database") or any(
            is_set(conf, name, "filter_scheduler") for name in filters
        ):
            found.add(CONTROL)
    return found or {COMPUTE}


def explore(tool: Any, chosen: str, program: str) -> Site:
    """Gather what there is; nothing that is missing ends it."""
    conf, conf_fault = _configured(tool.options.config_file, program)
    agent, agent_fault = _agent(tool)
    path = _socket(tool)
    here = roles(conf, chosen, agent is not None or path.is_socket())
    hypervisor, hypervisor_fault = None, ""
    if COMPUTE in here and conf is not None:
        hypervisor, hypervisor_fault = _hypervisor(conf)
    files = tuple(conf.config_file or ()) if conf is not None else ()
    if conf is not None and not files:
        # Where nothing was read, defaults tell nothing of this host.
        conf, conf_fault = None, NO_FILE
    return Site(
        roles=frozenset(here),
        files=files,
        conf=conf,
        conf_fault=conf_fault,
        socket=path,
        agent=agent,
        agent_fault=agent_fault,
        hypervisor=hypervisor,
        hypervisor_fault=hypervisor_fault,
        nova=installed("nova"),
    )


def _configured(
    files: list[str] | None, program: str
) -> tuple[cfg.ConfigOpts | None, str]:
    try:
        return configuration(files, program), ""
    except (cfg.Error, OSError) as error:
        return None, str(error)


def _agent(tool: Any) -> tuple[Mapping[str, Any] | None, str]:
    try:
        return tool.ask(_status, picture.document), ""
    except ToolError as error:
        return None, str(error)


def _status(agent: Any) -> Any:
    return agent.status()


def _socket(tool: Any) -> Path:
    try:
        return Path(tool.socket()[0])
    except ToolError:
        return Path()


def _hypervisor(conf: cfg.ConfigOpts) -> tuple[Any, str]:
    try:
        from nova_xen_overcommit.agent.hypervisor import survey
    except ImportError:
        return None, NO_LIBVIRT
    try:
        return survey.survey(conf.xen_overcommit.connection_uri), ""
    except exception.OvercommitError as error:
        return None, str(error)


NO_FILE = "no configuration file was found"
NO_CONF = "no configuration was read"
NO_AGENT = "the agent doesn't answer"
NO_LIBVIRT = "libvirt-python is not installed"


def installed(distribution: str) -> str:
    """Give the version of an installed distribution, "" for none."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def quietly(call: Callable[[], Any]) -> Any:
    """Call with logs and warnings off: imports may have many."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()
    finally:
        logging.disable(before)
