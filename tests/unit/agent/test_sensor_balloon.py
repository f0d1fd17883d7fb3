# SPDX-License-Identifier: Apache-2.0
"""virtio-balloon statistics: what is believed of them."""

import unittest

from hypothesis import given
from hypothesis import strategies as st
from oslo_config import cfg

from nova_xen_overcommit import conf as options
from nova_xen_overcommit.agent.sensors import balloon, base

GIB = 1024 * 1024


class Guest:
    """A libvirt domain with statistics, as QEMU's driver gives them."""

    def __init__(self, uuid: str = "a", **figures: int) -> None:
        self.uuid = uuid
        self.periods: list[int] = []
        self.figures = {
            "balloon.available": GIB,
            "balloon.usable": GIB // 2,
            "balloon.last-update": 1,
            **{f"balloon.{name}": value for name, value in figures.items()},
        }

    def UUIDString(self) -> str:  # noqa: N802
        return self.uuid

    def setMemoryStatsPeriod(self, period_s, _flags) -> None:  # noqa: N802
        self.periods.append(period_s)


class Connection:
    def __init__(self, *guests: Guest) -> None:
        self.guests = guests

    def getAllDomainStats(self, _stats, _flags):  # noqa: N802
        return [(guest, guest.figures) for guest in self.guests]


class BalloonSensorTest(unittest.TestCase):
    def setUp(self) -> None:
        self.now_s = 100.0
        self.guest = Guest(swap_in=7)
        self.conf = cfg.ConfigOpts()
        options.register_opts(self.conf)
        self.conf([])
        self.sensor = balloon.BalloonSensor(self.context("qemu"))
        self.refs = [base.GuestRef("a", "a", 1, GIB)]

    def context(self, kind: str) -> base.SensorContext:
        return base.SensorContext(
            self.conf, Connection(self.guest), kind, lambda: self.now_s
        )

    def test_statistics_become_a_sample(self) -> None:
        sample = self.sensor.read(self.refs)["a"]
        self.assertEqual(
            (GIB, GIB // 2, 7),
            (
                sample.mem_total_kib,
                sample.mem_available_kib,
                sample.swap_in_kib,
            ),
        )

    def test_the_guest_is_asked_for_them_once(self) -> None:
        self.sensor.read(self.refs)
        self.sensor.read(self.refs)
        self.assertEqual([1], self.guest.periods)

    def test_figures_that_do_not_change_grow_old(self) -> None:
        self.sensor.read(self.refs)
        self.now_s = 200.0
        sample = self.sensor.read(self.refs)["a"]
        self.assertFalse(sample.is_fresh(self.now_s))

    def test_an_update_makes_them_young_again(self) -> None:
        self.sensor.read(self.refs)
        self.now_s = 200.0
        self.guest.figures["balloon.last-update"] = 2
        sample = self.sensor.read(self.refs)["a"]
        self.assertEqual(200.0, sample.time_s)

    def test_without_an_update_ever_there_is_no_sample(self) -> None:
        self.guest.figures["balloon.last-update"] = 0
        self.assertEqual({}, self.sensor.read(self.refs))

    def test_who_ever_said_anything_was_heard(self) -> None:
        # Given guests without a balloon driver, with an old one, with lies
        for figures, heard in (
            ({"available": 0, "usable": 0, "last-update": 0}, set()),
            ({"available": 0, "usable": 0, "last-update": 7}, {"a"}),
            ({"available": 9 * GIB, "last-update": 0}, {"a"}),
        ):
            self.guest.figures.update(
                {f"balloon.{name}": kib for name, kib in figures.items()}
            )
            self.sensor.read(self.refs)
            self.assertEqual(heard, self.sensor.heard)

    def test_more_than_the_flavor_is_not_believed(self) -> None:
        self.guest.figures["balloon.available"] = GIB + 1
        self.assertEqual({}, self.sensor.read(self.refs))

    def test_an_older_guest_without_usable_gives_unused(self) -> None:
        del self.guest.figures["balloon.usable"]
        self.guest.figures["balloon.unused"] = 5
        sample = self.sensor.read(self.refs)["a"]
        self.assertEqual(5, sample.mem_available_kib)

    def test_it_suits_only_qemu(self) -> None:
        with self.assertRaises(base.SensorUnsuitable):
            balloon.BalloonSensor(self.context("xen"))

    @given(
        st.dictionaries(
            st.sampled_from(
                [
                    "balloon.available",
                    "balloon.usable",
                    "balloon.unused",
                    "balloon.swap_in",
                ]
            ),
            st.integers(-(2**63), 2**64),
        )
    )
    def test_whatever_comes_a_sample_is_plausible(self, figures) -> None:
        sample = balloon.sample_of(figures, GIB, 0.0, 15.0)
        if sample is not None:
            self.assertLessEqual(0, sample.mem_available_kib)
            self.assertLessEqual(
                sample.mem_available_kib, sample.mem_total_kib
            )
            self.assertLessEqual(sample.mem_total_kib, GIB)
