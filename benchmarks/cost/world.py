# SPDX-License-Identifier: Apache-2.0
"""A host on libvirt's embedded hypervisor, and the agent on it.

All is the production code but for two things: the hypervisor is
``test:///``, and the sensor of Xen guests reads a xenstore daemon beside
it, since the embedded hypervisor has none.
"""

import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import libvirt
from oslo_config import cfg

from benchmarks.cost import guests, week
from nova_xen_overcommit import conf as options
from nova_xen_overcommit import guest_metadata, plugins
from nova_xen_overcommit.agent import balancer, collector, core, reporting
from nova_xen_overcommit.agent.history import DemandHistory
from nova_xen_overcommit.agent.history.keeper import Keeper
from nova_xen_overcommit.agent.hypervisor import libvirt_host
from nova_xen_overcommit.agent.reservations import Leases
from nova_xen_overcommit.agent.sensors.base import SensorContext
from nova_xen_overcommit.agent.sensors.xenstore import XenstoreSensor
from nova_xen_overcommit.agent.sensors.xenstore_watch import XenstoreWatch
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.agent.xenstore import Xenstore
from nova_xen_overcommit.guest_metadata import GuestMetadata
from nova_xen_overcommit.policy.predictors import DEFAULT_RISK

MIB = 1024
FLAVOR_KIB = 1024 * MIB
START_KIB = 400 * MIB
# With head room and kernel this is below what a guest starts with.
IDLE_KIB = 200 * MIB

_NODE = """
<node>
  <cpu><nodes>1</nodes><sockets>1</sockets><cores>8</cores>
    <threads>1</threads><active>8</active><mhz>2400</mhz>
    <model>x86_64</model></cpu>
  <memory>{memory_kib}</memory>
</node>
"""
_GUEST = """
<domain type='test'>
  <name>instance-{number:08x}</name>
  <uuid>{uuid}</uuid>
  <memory unit='KiB'>{flavor_kib}</memory>
  <currentMemory unit='KiB'>{start_kib}</currentMemory>
  <metadata>
    <told:guest xmlns:told="{namespace}" {told}/>
  </metadata>
  <os><type>hvm</type></os>
  <devices><memballoon model='virtio'/></devices>
</domain>
"""


class SeenConnection:
    """A connection that notes when each guest's memory was set."""

    def __init__(self, connection: libvirt.virConnect) -> None:
        self._connection = connection
        self.set_s: dict[str, float] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def lookupByUUIDString(self, uuid: str) -> Any:  # noqa: N802
        """Only who sets memory looks a guest up."""
        self.set_s[uuid] = time.monotonic()
        return self._connection.lookupByUUIDString(uuid)


class World:
    """One host with ``count`` guests, and its agent in mode balance.

    ``history`` is the directory with what was there before, if any.
    ``host_rss_mib`` is what the embedded hypervisor took for its guests.
    """

    def __init__(self, count: int, history: Path | None = None) -> None:
        before_mib = rss_mib()
        self.connection = SeenConnection(_host(count))
        self.host_rss_mib = rss_mib() - before_mib
        self.guests = guests.GuestsProcess()
        handles = self.connection.listAllDomains()
        self.uuids = {handle.ID(): handle.UUIDString() for handle in handles}
        self.ids = sorted(self.uuids)
        self.history = _history(history)
        self.agent = _agent(
            self.connection, self.guests.socket_path, self.history
        )
        collector.calm()

    def speak(self, which: slice = slice(None)) -> None:
        """Let idle guests publish anew, all of them unless told which."""
        self.guests.speak(self.ids[which], START_KIB, IDLE_KIB)

    def await_history(self, patience_s: float) -> None:
        """Do passes until a week is known of the guests.

        :raises RuntimeError: it isn't, so the figures mean nothing.
        """
        flavors_kib = dict.fromkeys(self.uuids.values(), FLAVOR_KIB)
        until_s = time.monotonic() + patience_s
        while time.monotonic() < until_s:
            self.agent.tick()
            past = self.history.past(flavors_kib)
            if len(past.sum_kib) * past.step_s >= week.WEEK_S * 0.99:
                return
            time.sleep(0.2)
        raise RuntimeError("the history wasn't read")

    def close(self) -> None:
        """End all."""
        self.guests.close()
        self.connection.close()


def _host(count: int) -> libvirt.virConnect:
    # Room for all flavors: nobody has to yield before others may grow.
    memory_kib = (count + 16) * FLAVOR_KIB
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as node:
        node.write(_NODE.format(memory_kib=memory_kib))
        node.flush()
        connection = libvirt_host.connect(f"test://{node.name}")
    # Who has no swap is never ballooned.
    facts = GuestMetadata(swap_kib=FLAVOR_KIB).to_attributes()
    told = " ".join(f'{name}="{x}"' for name, x in facts.items())
    for number in range(count):
        xml = _GUEST.format(
            number=number,
            uuid=guest_uuid(number),
            flavor_kib=FLAVOR_KIB,
            start_kib=START_KIB,
            namespace=guest_metadata.NAMESPACE,
            told=told,
        )
        connection.createXML(xml, 0)
    return connection


def rss_mib() -> float:
    """Give this process's resident memory.

    :raises RuntimeError: the kernel doesn't tell.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def guest_uuid(number: int) -> str:
    """Give the uuid of a guest, the first of which is number 0."""
    return str(uuid.UUID(int=number + 1))


def _history(directory: Path | None) -> DemandHistory:
    store = None
    if directory is not None:
        store = Keeper(directory, week.WEEK_S, 2 * week.WEEK_S, time.time)
        store.start()
    return DemandHistory(week.WEEK_S, store)


def _agent(
    connection: SeenConnection, socket_path: str, history: DemandHistory
) -> core.Agent:
    conf = cfg.ConfigOpts()
    options.register_opts(conf)
    conf([], project="nova", default_config_files=[], default_config_dirs=[])
    conf.set_override("mode", "balance", "xen_overcommit")
    clock = core.Clock()
    hypervisor = libvirt_host.LibvirtHypervisor(lambda: connection)
    context = SensorContext(conf, lambda: connection, "xen", clock.monotonic_s)
    leases = Leases()
    return core.Agent(
        conf,
        balancer.Balancer(
            hypervisor,
            [XenstoreSensor(context, Xenstore(socket_path))],
            leases,
            clock.monotonic_s,
        ),
        reporting.Reporter(
            plugins.load_predictor("surge", DEFAULT_RISK), history
        ),
        leases,
        clock,
        [
            XenstoreWatch(
                lambda: Xenstore(socket_path),
                lambda: Settings.of(conf),
                leases.changed.set,
                context.wrote,
            )
        ],
    )
