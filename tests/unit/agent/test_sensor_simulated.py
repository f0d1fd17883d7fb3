# SPDX-License-Identifier: Apache-2.0
"""Simulated guests, on libvirt's embedded hypervisor."""

import tempfile
import unittest
from pathlib import Path

from oslo_config import cfg

from nova_xen_overcommit import conf as options
from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.hypervisor import libvirt_host
from nova_xen_overcommit.agent.sensors.base import (
    GuestRef,
    SensorContext,
    SensorUnsuitable,
)
from nova_xen_overcommit.agent.sensors.scenario import Scenario
from nova_xen_overcommit.agent.sensors.simulated import SimulatedSensor
from nova_xen_overcommit.guest_metadata import TAG

MIB = 1024
GUEST_MIB = 512
NODE = """
<node><cpu><active>2</active></cpu><memory>4194304</memory></node>
"""
SCENARIO = """
kernel_mib = 20
least_free_mib = 10
swap_mib_s = 50
[[use]]
name = "first"
boot_mib = 100
boot_s = 5
idle_mib = 60
wave_mib = 10
wave_s = 4
[[use]]
name = "second"
boot_mib = 90
boot_s = 5
idle_mib = 30
[[event]]
name = "need"
guests = [2]
add_mib = 400
"""
DOMAIN = f"""
<domain type='test'>
  <name>{{name}}</name>
  <metadata>
    <o:guest xmlns:o='{TAG[1 : TAG.index("}")]}' swap_kib='{{swap_kib}}'/>
  </metadata>
  <memory unit='MiB'>{GUEST_MIB}</memory>
  <os><type>hvm</type></os>
</domain>
"""


class SimulatedSensorTest(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.scenario = self.directory / "scenario.toml"
        self.scenario.write_text(SCENARIO)
        node = self.directory / "node.xml"
        node.write_text(NODE)
        self.connection = libvirt_host.connect(f"test://{node}")
        self.addCleanup(self.connection.close)
        self.now_s = 1000.0
        self.guests: list[GuestRef] = []
        self.sensor = self.make()

    def make(self, kind: str = "test", path: str | None = None):
        conf = cfg.ConfigOpts()
        options.register_opts(conf)
        conf([], project="nova", default_config_files=[])
        path = str(self.scenario) if path is None else path
        conf.set_override("simulated_scenario", path, "xen_overcommit")
        context = SensorContext(
            conf, lambda: self.connection, kind, lambda: self.now_s
        )
        return SimulatedSensor(context)

    def start(self, name: str, swap_mib: int = 512):
        xml = DOMAIN.format(name=name, swap_kib=swap_mib * MIB)
        domain = self.connection.createXML(xml, 0)
        uuid = domain.UUIDString()
        self.guests.append(GuestRef(uuid, name, domain.ID(), GUEST_MIB * MIB))
        return domain

    def read(self, after_s: float = 0.0):
        self.now_s += after_s
        return self.sensor.read(self.guests)

    def sample(self, domain, after_s: float = 0.0):
        return self.read(after_s)[domain.UUIDString()]

    def used_mib(self, domain, after_s: float = 0.0) -> int:
        sample = self.sample(domain, after_s)
        return (sample.mem_total_kib - sample.mem_available_kib) // MIB

    def happen(self, name: str = "need") -> Path:
        path = self.directory / f"{name}.event"
        path.touch()
        return path

    def test_a_guest_boots_then_idles_on_a_wave(self) -> None:
        guest = self.start("a")
        self.assertEqual(100, self.used_mib(guest))
        self.assertEqual(60, self.used_mib(guest, 5.0))
        self.assertEqual(70, self.used_mib(guest, 1.0))
        self.assertEqual(50, self.used_mib(guest, 2.0))

    def test_uses_are_dealt_out_in_the_order_of_creation(self) -> None:
        guests = [self.start(name) for name in ("z", "y", "x")]
        # When the list comes in another order, as by UUID
        self.guests.reverse()
        self.assertEqual(
            [100, 90, 100], [self.used_mib(guest) for guest in guests]
        )

    def test_a_later_guest_does_not_take_the_place_of_one_that_left(
        self,
    ) -> None:
        first, _second = self.start("a"), self.start("b")
        self.read()
        first.destroy()
        del self.guests[0]
        self.read()
        third = self.start("c")
        self.assertEqual(100, self.used_mib(third))

    def test_a_guest_that_is_started_anew_boots_again(self) -> None:
        self.start("a")
        guest = self.connection.lookupByName("a")
        uuid = guest.UUIDString()
        self.read()
        self.assertEqual(60, self.used_mib(guest, 5.0))
        guest.destroy()
        xml = DOMAIN.format(name="a", swap_kib=0)
        xml = xml.replace("</name>", f"</name><uuid>{uuid}</uuid>")
        again = self.connection.createXML(xml, 0)
        self.guests = [GuestRef(uuid, "a", again.ID(), GUEST_MIB * MIB)]
        self.assertEqual(100, self.used_mib(again, 1.0))

    def test_the_balloon_really_bounds_what_a_guest_has(self) -> None:
        guest = self.start("a")
        self.read()
        guest.setMemory(80 * MIB)
        sample = self.sample(guest, 1.0)
        self.assertEqual((80 - 20) * MIB, sample.mem_total_kib)
        self.assertEqual(10 * MIB, sample.mem_available_kib)
        self.assertEqual((100 - 50) * MIB, sample.swap_used_kib)
        self.assertEqual(1_000_000, sample.psi_some_us)

    def test_swap_comes_back_at_its_pace_once_there_is_room(self) -> None:
        guest = self.start("a")
        self.read()
        guest.setMemory(40 * MIB)
        self.assertEqual(90 * MIB, self.sample(guest, 1.0).swap_used_kib)
        guest.setMemory(GUEST_MIB * MIB)
        sample = self.sample(guest, 0.5)
        self.assertEqual(65 * MIB, sample.swap_used_kib)
        self.assertEqual(25 * MIB, sample.swap_in_kib)

    def test_an_event_happens_to_its_guests_while_its_file_is_there(
        self,
    ) -> None:
        other, needy = self.start("a"), self.start("b")
        self.read()
        event = self.happen()
        self.assertEqual(100, self.used_mib(other))
        # All that its 512 MiB leave it; the rest is in its swap.
        self.assertEqual(512 - 20 - 10, self.used_mib(needy))
        event.unlink()
        self.assertEqual(90, self.used_mib(needy))

    def test_a_guest_without_memory_and_swap_dies(self) -> None:
        self.start("a")
        guest = self.start("b", swap_mib=100)
        self.read()
        guest.setMemory(200 * MIB)
        self.happen()
        self.assertNotIn(guest.UUIDString(), self.read(1.0))
        self.assertEqual(1, self.connection.numOfDomains())

    def test_a_guest_that_vanished_is_left_out(self) -> None:
        gone, kept = self.start("a"), self.start("b")
        uuid = gone.UUIDString()
        gone.destroy()
        samples = self.read()
        self.assertEqual({kept.UUIDString()}, set(samples))
        self.assertNotIn(uuid, samples)

    def test_real_guests_are_never_simulated(self) -> None:
        for kind in ("xen", "qemu"):
            with self.assertRaises(SensorUnsuitable):
                self.make(kind)

    def test_a_missing_option_is_named(self) -> None:
        with self.assertRaisesRegex(
            exception.InvalidConfiguration, "simulated_scenario"
        ):
            self.make(path="")


class ScenarioTest(unittest.TestCase):
    def load(self, text: str) -> Scenario:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "scenario.toml")
            path.write_text(text)
            return Scenario.load(path)

    def test_what_is_wrong_is_named(self) -> None:
        wrong = {
            "kernel_mib": SCENARIO.replace("kernel_mib = 20", ""),
            "least_free_mib is -1": SCENARIO.replace(
                "= 10\nswap", "= -1\nswap"
            ),
            "boot_mib is 1.5": SCENARIO.replace("= 100", "= 1.5"),
            "swap_mib_s is 0": SCENARIO.replace("= 50", "= 0"),
            "wave_mib exceeds": SCENARIO.replace(
                "wave_mib = 10", "wave_mib = 99"
            ),
            "no guest": SCENARIO.replace("[2]", "[]"),
            "use": SCENARIO[: SCENARIO.index("[[use]]")],
            "no \\[\\[use": "use = []\n"
            + SCENARIO[: SCENARIO.index("[[use]]")],
            "scenario.toml": "no toml",
        }
        for named, text in wrong.items():
            with self.assertRaisesRegex(exception.InvalidConfiguration, named):
                self.load(text)

    def test_a_missing_file_is_named(self) -> None:
        with self.assertRaisesRegex(
            exception.InvalidConfiguration, "/nowhere"
        ):
            Scenario.load(Path("/nowhere"))

    def test_an_unknown_event_is_named(self) -> None:
        with self.assertRaisesRegex(exception.InvalidConfiguration, "rain"):
            self.load(SCENARIO).event("rain")

    def test_an_event_can_happen_to_all(self) -> None:
        event = self.load(SCENARIO.replace("[2]", '"all"')).event("need")
        self.assertTrue(event.concerns(1) and event.concerns(99))
