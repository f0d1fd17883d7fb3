# SPDX-License-Identifier: Apache-2.0
"""What the configuration names is what the agent gets."""

import pathlib
import tempfile
import time
import unittest
from importlib import metadata

import libvirt
from oslo_config import cfg

from nova_xen_overcommit import conf, exception, plugins
from nova_xen_overcommit.agent import build
from nova_xen_overcommit.agent.reservations import Leases
from nova_xen_overcommit.agent.sensors.base import SensorContext
from nova_xen_overcommit.policy.predictors import (
    DEFAULT_RISK,
    GuestPast,
    HostPast,
)
from tests.simulator.production import configured
from tests.unit.agent import idle_guest

DEFAULTS = {option.name: option.default for option in conf.AGENT_OPTS}
# A week that bursts every half day, each time a bit further.
PAST = HostPast(
    300.0,
    0.0,
    [2000 + step if step % 144 < 3 else 1000 for step in range(2016)],
    [GuestPast(10, 9, 8)],
)


class PredictorTest(unittest.TestCase):
    def test_each_that_is_shipped_can_be_named(self) -> None:
        shipped = metadata.entry_points(group=plugins.PREDICTORS)
        self.assertIn(DEFAULTS["predictor"], shipped.names)
        for name in shipped.names:
            with self.subTest(name=name):
                predictor = plugins.load_predictor(name, DEFAULT_RISK)
                self.assertGreater(predictor.peak_kib(PAST), 0)

    def test_the_default_heeds_the_risk(self) -> None:
        careful, bold = (
            plugins.load_predictor(DEFAULTS["predictor"], risk).peak_kib(PAST)
            for risk in (0.0001, 0.1)
        )
        self.assertGreater(careful, bold)

    def test_the_option_s_default_is_the_predictors(self) -> None:
        self.assertEqual(DEFAULT_RISK, DEFAULTS["risk"])

    def test_an_unknown_one_is_refused_with_the_option_s_name(self) -> None:
        with self.assertRaisesRegex(
            exception.InvalidConfiguration, "predictor"
        ):
            plugins.load_predictor("none_such", DEFAULT_RISK)


class ReconnectedTest(unittest.TestCase):
    def test_sensors_follow_the_agent_to_a_new_libvirtd(self) -> None:
        # Given an agent and a guest that speaks
        connections = []

        def connect() -> libvirt.virConnect:
            connections.append(libvirt.open("test:///default"))
            return connections[-1]

        agent = build.make_agent(self.configured(), connect)
        self.addCleanup(agent.close)
        agent.tick()
        (guest,) = agent._balancer.guests.values()
        said = guest.sample
        self.assertIsNotNone(said)

        # When the connection is lost
        connections[0].close()
        agent.tick()

        # Then it speaks on, through the next one
        self.assertEqual(2, len(connections))
        self.assertEqual(set(), agent._balancer.failing_sensors)
        (guest,) = agent._balancer.guests.values()
        self.assertGreater(guest.sample.time_s, said.time_s)

    def configured(self) -> cfg.ConfigOpts:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        scenario = pathlib.Path(directory.name, "scenario.toml")
        scenario.write_text(idle_guest.SCENARIO)
        return configured(
            sensors=["simulated"],
            simulated_scenario=str(scenario),
            history_dir="",
        )


class SourcesTest(unittest.TestCase):
    """Who may wake the agent, by kind of hypervisor."""

    def names(self, kind: str, *sensors: str) -> list[str]:
        conf = configured(sensors=list(sensors))
        context = SensorContext(conf, lambda: None, kind, time.monotonic)
        made = build._sources(conf, context, Leases())
        return [type(source).__name__ for source in made]

    def test_xen_has_xenstore_and_qemu_its_statistics(self) -> None:
        both = ("xenstore", "balloon")
        self.assertEqual(
            ["DomainEvents", "XenstoreWatch"], self.names("xen", *both)
        )
        self.assertEqual(
            ["DomainEvents", "BalloonWatch"], self.names("qemu", *both)
        )

    def test_what_is_not_read_is_not_watched(self) -> None:
        self.assertEqual(["DomainEvents"], self.names("xen", "balloon"))
        self.assertEqual(["DomainEvents"], self.names("qemu", "xenstore"))

    def test_the_embedded_one_lives_in_one_process(self) -> None:
        self.assertEqual([], self.names("test", "balloon"))
