# SPDX-License-Identifier: Apache-2.0
"""Puts an agent together from its configuration."""

import dataclasses
import logging
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from oslo_config import cfg
from stevedore import named

from nova_xen_overcommit import exception
from nova_xen_overcommit.agent import balancer, core, news, reporting
from nova_xen_overcommit.agent.history import DemandHistory
from nova_xen_overcommit.agent.history.keeper import Keeper
from nova_xen_overcommit.agent.hypervisor import (
    events,
    host_files,
    kinds,
    libvirt_host,
)
from nova_xen_overcommit.agent.reservations import Leases
from nova_xen_overcommit.agent.sensors.balloon import BalloonSensor
from nova_xen_overcommit.agent.sensors.balloon_watch import BalloonWatch
from nova_xen_overcommit.agent.sensors.base import (
    Sensor,
    SensorContext,
    SensorUnsuitable,
)
from nova_xen_overcommit.agent.sensors.xenstore_watch import XenstoreWatch
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.agent.xenstore import Xenstore
from nova_xen_overcommit.plugins import load_predictor

LOG = logging.getLogger(__name__)

SENSORS = "nova_xen_overcommit.sensors"
_KIB_PER_MIB = 1024


def make_agent(
    conf: cfg.ConfigOpts,
    open_connection: Callable[[], Any] | None = None,
    clock: core.Clock | None = None,
) -> core.Agent:
    """Give an agent that is ready for its first pass.

    ``open_connection`` replaces libvirt's own way to open
    ``connection_uri``, for hypervisors that live inside a process.

    :raises InvalidConfiguration: a plugin is unknown or none suits.
    :raises HypervisorError: libvirt doesn't answer.
    """
    options = conf.xen_overcommit
    clock = clock or core.Clock()
    hypervisor = _hypervisor(options, open_connection)
    context = SensorContext(
        conf,
        lambda: hypervisor.connection,
        hypervisor.kind,
        clock.monotonic_s,
    )
    sensors = load_sensors(options.sensors, context)
    leases = Leases()
    predictor = load_predictor(options.predictor, options.risk)
    return core.Agent(
        conf,
        balancer.Balancer(hypervisor, sensors, leases, clock.monotonic_s),
        reporting.Reporter(predictor, _history(options, clock)),
        leases,
        clock,
        _sources(conf, context, leases),
    )


def _history(
    options: cfg.ConfigOpts.GroupAttr, clock: core.Clock
) -> DemandHistory:
    keeper = None
    if options.history_dir:
        keeper = Keeper(
            pathlib.Path(options.history_dir),
            options.history_s,
            options.history_keep_s,
            clock.wall_s,
        ).start()
    return DemandHistory(options.history_s, keeper)


def _sources(
    conf: cfg.ConfigOpts, context: SensorContext, leases: Leases
) -> list[news.Source]:
    """Give what may wake the agent of this kind of hypervisor."""
    options, wake = conf.xen_overcommit, leases.changed.set
    kind = context.hypervisor_type
    if kind == "test":
        # It lives inside a process; another connection sees another one.
        return []

    def connect() -> Any:
        return libvirt_host.connect(options.connection_uri)

    def settings() -> Settings:
        return Settings.of(conf)

    sources: list[news.Source] = [events.DomainEvents(connect, wake)]
    if kind == "xen" and "xenstore" in options.sensors:
        sources.append(XenstoreWatch(Xenstore, settings, wake, context.wrote))
    if kind == "qemu" and BalloonSensor.name in options.sensors:
        lasting = libvirt_host.LastingConnection(connect)
        own = dataclasses.replace(context, connect=lasting.get)
        sources.append(BalloonWatch(BalloonSensor(own), settings, wake))
    return sources


def _hypervisor(
    options: cfg.ConfigOpts.GroupAttr,
    open_connection: Callable[[], Any] | None,
) -> libvirt_host.LibvirtHypervisor:
    def connect() -> Any:
        return libvirt_host.connect(options.connection_uri)

    reserved_mib = options.host_reserved_mib
    return libvirt_host.LibvirtHypervisor(
        open_connection or connect,
        limit_kib=options.host_memory_limit_mib * _KIB_PER_MIB,
        reserved_kib=(
            None if reserved_mib is None else reserved_mib * _KIB_PER_MIB
        ),
        qemu=kinds.Qemu(
            host_files.HostFiles(options.guests_cgroup),
            options.psi_high_percent,
        ),
    )


def load_sensors(names: Sequence[str], context: SensorContext) -> list[Sensor]:
    """Load the sensors that suit the hypervisor, in the order of names.

    :raises InvalidConfiguration: a name is unknown, or none suits.
    """
    manager = named.NamedExtensionManager(
        SENSORS, list(names), name_order=True, warn_on_missing_entrypoint=False
    )
    unknown = set(names) - set(manager.names())
    if unknown:
        raise exception.InvalidConfiguration(
            f"[xen_overcommit] sensors: no sensor {', '.join(sorted(unknown))}"
        )
    suiting = []
    for extension in manager:
        try:
            suiting.append(extension.plugin(context))
        except SensorUnsuitable as reason:
            LOG.info("Sensor %s is left out: %s", extension.name, reason)
    if not suiting:
        raise exception.InvalidConfiguration(
            f"[xen_overcommit] sensors: none of {', '.join(names)} suits "
            f"{context.hypervisor_type}"
        )
    return suiting
