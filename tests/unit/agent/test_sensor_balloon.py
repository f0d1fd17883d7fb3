# SPDX-License-Identifier: Apache-2.0
"""virtio-balloon statistics: what is believed of them."""

import threading
import time
import unittest

import libvirt
from hypothesis import given
from hypothesis import strategies as st
from oslo_config import cfg

from nova_xen_overcommit import conf as options
from nova_xen_overcommit import exception
from nova_xen_overcommit.agent.sensors import balloon, base

GIB = 1024 * 1024


class Guest:
    """A libvirt domain with statistics, as QEMU's driver gives them."""

    def __init__(self, uuid: str = "a", **figures: int) -> None:
        self.uuid = uuid
        self.periods: list[int] = []
        self.refuses: BaseException | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.figures = {
            "balloon.available": GIB,
            "balloon.usable": GIB // 2,
            "balloon.last-update": 1,
            **{f"balloon.{name}": value for name, value in figures.items()},
        }

    def UUIDString(self) -> str:  # noqa: N802
        return self.uuid

    def setMemoryStatsPeriod(self, period_s, _flags) -> None:  # noqa: N802
        self.answers.wait(10)
        if self.refuses:
            raise self.refuses
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
        self.connection = Connection(self.guest)
        return base.SensorContext(
            self.conf, lambda: self.connection, kind, lambda: self.now_s
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

    def test_one_that_can_not_be_asked_now_is_asked_later(self) -> None:
        # Given two guests, of which one can't be asked to speak
        other = Guest("b")
        self.connection.guests = (self.guest, other)
        self.refs.append(base.GuestRef("b", "b", 2, GIB))
        self.guest.refuses = libvirt.libvirtError("busy")

        # When they are read, then that costs nobody its figures
        self.assertEqual({"a", "b"}, set(self.sensor.read(self.refs)))
        self.assertEqual([1], other.periods)
        # And after a while, not before, it is asked again
        self.guest.refuses = None
        self.sensor.read(self.refs)
        self.assertEqual([], self.guest.periods)
        self.now_s += 1.5
        self.sensor.read(self.refs)
        self.assertEqual([1], self.guest.periods)

    def test_one_that_does_not_answer_stops_no_pass(self) -> None:
        # Given guests that are locked by something else
        self.connection.guests = tuple(Guest(name) for name in "abcd")
        self.refs = [base.GuestRef(n, n, 1, GIB) for n in "abcd"]
        for guest in self.connection.guests:
            guest.answers.clear()
            self.addCleanup(guest.answers.set)
        began_s = time.monotonic()

        # When they are read
        found = self.sensor.read(self.refs)

        # Then all have figures, and only one has been waited for
        self.assertEqual(set("abcd"), set(found))
        self.assertLess(time.monotonic() - began_s, 3.0)

    def test_statistics_that_hang_are_none(self) -> None:
        lasts = threading.Event()
        self.addCleanup(lasts.set)
        self.connection.getAllDomainStats = lambda *_: lasts.wait(10)
        with self.assertRaises(exception.HypervisorError):
            self.sensor.read(self.refs)

    def test_a_new_connection_is_used_and_asked_anew(self) -> None:
        # Given that libvirtd was started anew
        self.sensor.read(self.refs)
        self.connection = Connection(self.guest)
        self.guest.figures["balloon.usable"] = GIB // 4

        # When guests are read, then through the new connection
        self.guest.figures["balloon.last-update"] = 2
        sample = self.sensor.read(self.refs)["a"]
        self.assertEqual(GIB // 4, sample.mem_available_kib)
        self.assertEqual([1, 1], self.guest.periods)

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

    def test_balloons_are_what_libvirt_is_asked_for(self) -> None:
        asked = []
        connection = self.connection
        connection.getAllDomainStats = lambda *a: asked.append(a) or []
        self.sensor.read(self.refs)
        # Then a guest that is busy keeps nobody waiting
        active = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE
        nowait = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        balloons = libvirt.VIR_DOMAIN_STATS_BALLOON
        self.assertEqual([(balloons, active | nowait)], asked)

    def test_what_it_said_holds_while_qemu_is_busy(self) -> None:
        before = self.sensor.read(self.refs)["a"]
        del self.guest.figures["balloon.last-update"]
        self.assertIs(before, self.sensor.read(self.refs)["a"])

    def test_no_news_is_the_same_sample(self) -> None:
        before = self.sensor.read(self.refs)["a"]
        self.assertIs(before, self.sensor.read(self.refs)["a"])

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


class DeflatingTest(unittest.TestCase):
    """Guests whose balloon counts as memory in use.

    Figures in MiB, as a guest of 512 with Linux 6.1 gave them: MemTotal is
    470 whatever its balloon takes, 31 of that are in use.
    """

    def setUp(self) -> None:
        self.guest = Guest()
        conf = cfg.ConfigOpts()
        options.register_opts(conf)
        conf([])
        self.now_s = 0.0
        connection = Connection(self.guest)
        self.sensor = balloon.BalloonSensor(
            base.SensorContext(
                conf, lambda: connection, "qemu", lambda: self.now_s
            )
        )
        self.updates = 0
        self.domain_id = 1

    def read(self, current: int, usable: int):
        """Let a second pass, and the guest speak."""
        self.now_s += 1.0
        self.updates += 1
        self.guest.figures = {
            "balloon.current": current * 1024,
            "balloon.available": 470 * 1024,
            "balloon.usable": usable * 1024,
            "balloon.last-update": self.updates,
        }
        ref = base.GuestRef(
            "a", "a", self.domain_id, 512 * 1024, deflates=True
        )
        return self.sensor.read([ref]).get("a")

    def used_mib(self, current: int, usable: int) -> int:
        return self.read(current, usable).ram_used_kib // 1024

    def test_the_balloon_is_not_taken_for_use(self) -> None:
        # Given it rests at 160 MiB
        self.read(160, 88)
        self.assertEqual(30, self.used_mib(160, 88))
        # Then that it has more in use is seen
        self.assertEqual(68, self.used_mib(160, 50))

    def test_memory_total_is_what_the_balloon_leaves(self) -> None:
        self.read(160, 88)
        sample = self.read(160, 88)
        self.assertEqual((470 - 352) * 1024, sample.mem_total_kib)

    def test_a_moving_balloon_changes_no_use(self) -> None:
        # Given it uses 31, when it shrinks, and its figures lag behind
        self.read(512, 439)
        self.assertEqual(31, self.used_mib(512, 439))
        for current, usable in ((300, 439), (208, 137), (160, 137)):
            self.assertEqual(31, self.used_mib(current, usable))
        # When it rests again
        self.assertEqual(30, self.used_mib(160, 88))

    def test_what_it_lacks_is_seen_while_the_balloon_moves(self) -> None:
        self.read(160, 88)
        self.read(160, 88)
        self.assertEqual(14 * 1024, self.read(207, 14).mem_available_kib)

    def test_figures_that_can_not_be_of_one_moment_are_not_believed(
        self,
    ) -> None:
        self.read(160, 88)
        # When libvirt is ahead of the guest
        self.assertIsNone(self.read(160, 439))

    def test_a_guest_that_boots_is_believed_once_its_balloon_rests(
        self,
    ) -> None:
        # Given its driver inflates, of which libvirt hears later
        self.assertIsNone(self.read(160, 300))
        self.assertIsNone(self.read(260, 200))
        self.assertIsNone(self.read(160, 88))
        self.assertEqual(30, self.used_mib(160, 88))

    def test_a_guest_that_boots_anew_begins_anew(self) -> None:
        self.read(160, 20)
        self.read(160, 20)
        self.domain_id = 2
        self.assertIsNone(self.read(512, 439))
        self.assertEqual(31, self.used_mib(512, 439))
