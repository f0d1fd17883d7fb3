# SPDX-License-Identifier: Apache-2.0
"""What is believed of what Xen guests write, and for how long."""

import unittest
from typing import Any

import fixtures
from hypothesis import given
from hypothesis import strategies as st
from oslo_config import cfg

from nova_xen_overcommit import conf as conf_module
from nova_xen_overcommit.agent import xenstore as client
from nova_xen_overcommit.agent.sensors import base, guest_line, xenstore
from tests import xenstore_double

LOGGER = "nova_xen_overcommit.agent.sensors.xenstore"
FLAVOR_KIB = 1024 * 1024
GOOD: dict[str, Any] = {
    "v": 1,
    "seq": 1,
    "mem_total_kib": 980332,
    "mem_available_kib": 800000,
    "swap_total_kib": 1048572,
    "swap_free_kib": 1000000,
    "swap_in_kib": 100,
    "swap_out_kib": 200,
    "psi_some_us": 5000,
    "period_s": 5,
}


def line(**changes: Any) -> bytes:
    """Give a publisher's line; a change to None leaves a figure out."""
    values = {**GOOD, **changes}
    return " ".join(
        f"{name}={value}"
        for name, value in values.items()
        if value is not None
    ).encode()


class ParseLineTest(unittest.TestCase):
    def test_all_figures(self) -> None:
        self.assertEqual(
            guest_line.Figures(
                mark=(1,),
                mem_total_kib=980332,
                mem_available_kib=800000,
                swap_total_kib=1048572,
                swap_free_kib=1000000,
                swap_in_kib=100,
                psi_some_us=5000,
            ),
            guest_line.parse_line(line(), FLAVOR_KIB),
        )

    def test_what_a_guest_may_not_have(self) -> None:
        figures = guest_line.parse_line(
            line(psi_some_us=-1, swap_in_kib=None, period_s=None), FLAVOR_KIB
        )
        self.assertIsNone(figures.psi_some_us)
        self.assertIsNone(figures.swap_in_kib)

    def test_a_guest_that_moves_its_own_balloon(self) -> None:
        for more_kib in (-(1 << 40), -1, 0, 77):
            with self.subTest(more_kib=more_kib):
                figures = guest_line.parse_line(
                    line(self_more_kib=more_kib), FLAVOR_KIB
                )
                self.assertEqual(more_kib, figures.self_more_kib)

    def test_figures_of_a_later_publisher_are_skipped(self) -> None:
        figures = guest_line.parse_line(line(new_figure=7), FLAVOR_KIB)
        self.assertIsNone(figures.self_more_kib)
        self.assertEqual(980332, figures.mem_total_kib)

    def test_edges_that_can_be_true(self) -> None:
        guest_line.parse_line(line(mem_total_kib=FLAVOR_KIB), FLAVOR_KIB)
        guest_line.parse_line(line(mem_available_kib=980332), FLAVOR_KIB)
        guest_line.parse_line(line(mem_available_kib=0), FLAVOR_KIB)
        guest_line.parse_line(
            line(swap_total_kib=0, swap_free_kib=0), FLAVOR_KIB
        )
        guest_line.parse_line(line(psi_some_us=(1 << 63) - 1), FLAVOR_KIB)

    def test_what_cant_be_true(self) -> None:
        for words, raw in (
            ("1048577", line(mem_total_kib=FLAVOR_KIB + 1)),
            ("mem_total_kib is 0", line(mem_total_kib=0)),
            ("-1", line(mem_total_kib=-1)),
            ("mem_available_kib", line(mem_available_kib=980333)),
            ("mem_available_kib", line(mem_available_kib=-1)),
            ("swap_free_kib", line(swap_free_kib=1048573)),
            ("swap_total_kib", line(swap_total_kib=(1 << 40) + 1)),
            ("swap_in_kib", line(swap_in_kib=-2)),
            ("psi_some_us", line(psi_some_us=1 << 63)),
            ("self_more_kib", line(self_more_kib=(1 << 40) + 1)),
            ("self_more_kib", line(self_more_kib=-(1 << 40) - 1)),
            ("seq", line(seq=-5)),
            ("no seq", line(seq=None)),
            ("no swap_total_kib", line(swap_total_kib=None)),
            ("version 2", line(v=2)),
            ("version None", line(v=None)),
            ("is no figure", line(mem_total_kib="1e5")),
            ("is no figure", line(mem_total_kib="0x10")),
            ("is no figure", line(mem_total_kib="9" * 20)),
            ("is no figure", line(mem_total_kib=" 5")),
            ("twice", line() + b" mem_available_kib=1"),
            ("is no figure", b""),
            ("not ASCII", line() + " x=\u0663".encode()),
            ("not ASCII", b"\xff\xfe"),
            ("is no figure", line().replace(b" ", b"\0")),
            ("bytes long", b"v=1 " * 300),
            ("bytes long", b"9" * (1 << 20)),
        ):
            with (
                self.subTest(raw=raw[:60]),
                self.assertRaisesRegex(guest_line.Implausible, words),
            ):
                guest_line.parse_line(raw, FLAVOR_KIB)

    @given(st.binary(max_size=2048))
    def test_any_bytes_are_figures_or_implausible(self, raw: bytes) -> None:
        self.check_or_refuse(raw)

    @given(
        st.dictionaries(
            st.sampled_from([*GOOD, "x", "", "v=1"]),
            st.one_of(
                st.integers(-(1 << 70), 1 << 70),
                st.integers(-1, 1 << 21),
                st.text("09 =-x\n\0\u0663", max_size=8),
                st.none(),
            ),
        )
    )
    def test_any_change_is_figures_or_implausible(
        self, changes: dict[str, Any]
    ) -> None:
        raw = " ".join(
            f"{name}={value}" for name, value in {**GOOD, **changes}.items()
        )
        self.check_or_refuse(raw.encode("utf-8", "replace"))

    def check_or_refuse(self, raw: bytes) -> None:
        try:
            figures = guest_line.parse_line(raw, FLAVOR_KIB)
        except guest_line.Implausible as reason:
            # It goes to the log: short, and nothing of it unprintable.
            self.assertLess(len(str(reason)), 200)
            self.assertTrue(str(reason).isprintable())
            return
        self.assertGreater(figures.mem_total_kib, 0)
        self.assertLessEqual(figures.mem_total_kib, FLAVOR_KIB)
        self.assertGreaterEqual(figures.mem_available_kib, 0)
        self.assertLessEqual(figures.mem_available_kib, figures.mem_total_kib)
        self.assertGreaterEqual(figures.swap_free_kib, 0)
        self.assertLessEqual(figures.swap_free_kib, figures.swap_total_kib)


class ParseMeminfoTest(unittest.TestCase):
    def test_plain_numbers(self) -> None:
        figures = guest_line.parse_meminfo(b"980332", b"800000\n", FLAVOR_KIB)
        self.assertEqual(980332, figures.mem_total_kib)
        self.assertEqual(800000, figures.mem_available_kib)
        self.assertEqual(0, figures.swap_total_kib)
        self.assertIsNone(figures.swap_in_kib)

    @given(st.binary(max_size=64), st.binary(max_size=64))
    def test_any_bytes(self, total: bytes, free: bytes) -> None:
        try:
            figures = guest_line.parse_meminfo(total, free, FLAVOR_KIB)
        except guest_line.Implausible:
            return
        self.assertLessEqual(figures.mem_available_kib, figures.mem_total_kib)

    def test_what_cant_be_true(self) -> None:
        for total, free in (
            (b"", b"1"),
            (b"-5", b"1"),
            (b"5", b"6"),
            (b"1 kB", b"1"),
            (b"1048577", b"1"),
            (b"9" * 4096, b"1"),
        ):
            with (
                self.subTest(total=total[:9]),
                self.assertRaises(guest_line.Implausible),
            ):
                guest_line.parse_meminfo(total, free, FLAVOR_KIB)


class SensorTestCase(unittest.TestCase):
    """A sensor on a xenstore daemon, in a time of the test's own."""

    def setUp(self) -> None:
        self.daemon = xenstore_double.XenstoreDouble()
        self.addCleanup(self.daemon.__exit__)
        self.now_s = 1000.0
        conf = cfg.ConfigOpts()
        conf([])
        conf_module.register_opts(conf)
        self.context = base.SensorContext(
            conf=conf,
            connect=lambda: None,
            hypervisor_type="xen",
            monotonic_s=lambda: self.now_s,
        )
        self.sensor = xenstore.XenstoreSensor(
            self.context, client.Xenstore(self.daemon.path)
        )
        self.addCleanup(self.sensor.close)
        self.guest = base.GuestRef("uuid-1", "guest-1", 1, FLAVOR_KIB)
        self.other = base.GuestRef("uuid-2", "guest-2", 2, FLAVOR_KIB)

    def write(self, seq: int, domain_id: int = 1, **changes: Any) -> None:
        self.daemon.guest_writes(
            domain_id, nova_xen_overcommit=line(seq=seq, **changes)
        )

    def sample(self) -> Any:
        return self.sensor.read([self.guest]).get("uuid-1")


class SensorTest(SensorTestCase):
    def test_a_write_that_was_seen_to_happen(self) -> None:
        # Given a guest that has written before we looked
        self.write(1)
        # Then nobody knows how old that is
        self.assertIsNone(self.sample())
        # When it writes again
        self.now_s += 3
        self.write(2, mem_available_kib=700000, self_more_kib=-77)
        # Then its figures date from when we saw it
        sample = self.sample()
        self.assertEqual(1003.0, sample.time_s)
        self.assertEqual(15.0, sample.max_age_s)
        self.assertEqual(700000, sample.mem_available_kib)
        self.assertEqual(48572, sample.swap_used_kib)
        self.assertEqual(100, sample.swap_in_kib)
        self.assertEqual(5000, sample.psi_some_us)
        self.assertEqual(-77, sample.self_more_kib)

    def test_a_guest_that_falls_silent_grows_old(self) -> None:
        # Given a guest that writes no more
        self.write(1)
        self.sample()
        self.write(2)
        self.sample()
        # When time goes on
        self.now_s += 16
        # Then its sample keeps its time, and is too old
        sample = self.sample()
        self.assertEqual(1000.0, sample.time_s)
        self.assertFalse(sample.is_fresh(self.now_s))

    def test_other_figures_under_the_same_number_are_no_news(self) -> None:
        # Given a guest that changes its figures, and not their number
        self.write(1)
        self.sample()
        self.write(2)
        first = self.sample()
        self.now_s += 5
        self.write(2, mem_available_kib=1)
        # Then what was said first holds
        self.assertEqual(first, self.sample())

    def test_a_publisher_that_starts_again(self) -> None:
        # Given the publisher began to count anew
        for seq in (41, 42):
            self.write(seq)
            self.sample()
        self.now_s += 1
        self.write(1)
        # Then it is heard
        self.assertEqual(1001.0, self.sample().time_s)

    def test_a_new_domain_has_to_speak_for_itself(self) -> None:
        # Given a guest that was rebooted as another domain
        self.write(1)
        self.sample()
        self.write(2)
        self.assertIsNotNone(self.sample())
        self.guest = base.GuestRef("uuid-1", "guest-1", 7, FLAVOR_KIB)
        self.write(2, domain_id=7)
        # Then what its former domain said is gone
        self.assertIsNone(self.sample())

    def test_a_silent_guest_and_one_that_speaks(self) -> None:
        self.write(1)
        self.sensor.read([self.guest, self.other])
        self.write(2)
        samples = self.sensor.read([self.guest, self.other])
        self.assertEqual(["uuid-1"], list(samples))

    def test_domains_without_a_number_and_dom0_are_not_read(self) -> None:
        stopped = base.GuestRef("uuid-1", "guest-1", -1, FLAVOR_KIB)
        dom0 = base.GuestRef("uuid-0", "Domain-0", 0, FLAVOR_KIB)
        self.assertEqual({}, self.sensor.read([stopped, dom0]))
        self.assertEqual(0, self.daemon.server.requests)

    def test_only_xen(self) -> None:
        context = base.SensorContext(
            conf=self.context.conf,
            connect=lambda: None,
            hypervisor_type="qemu",
            monotonic_s=lambda: 0.0,
        )
        with self.assertRaises(base.SensorUnsuitable):
            xenstore.XenstoreSensor(context)

    def test_no_daemon_is_said(self) -> None:
        self.daemon.stop()
        self.addCleanup(self.daemon.start)
        with self.assertRaises(client.XenstoreError):
            self.sample()


class WatchedTest(SensorTestCase):
    """Who is watched is read when it wrote, and now and then."""

    def setUp(self) -> None:
        super().setUp()
        self.write(1)
        self.write(1, domain_id=2)
        self.read()
        self.write(2)
        self.write(2, domain_id=2)
        self.read()
        self.now_s += 1
        self.context.wrote.tell([], self.now_s)

    def read(self) -> list[str]:
        """Give whose sample is new, a second after the last reading."""
        self.now_s += 1
        samples = self.sensor.read([self.guest, self.other])
        return [
            u for u, one in samples.items() if one.time_s >= self.now_s - 1
        ]

    def requests(self) -> int:
        before = self.daemon.server.requests
        self.read()
        return self.daemon.server.requests - before

    def test_who_wrote_is_read_at_once(self) -> None:
        for number in range(3, 30):
            self.write(number, domain_id=2)
            self.context.wrote.tell([2], self.now_s)
            self.assertEqual(["uuid-2"], self.read())

    def test_figures_are_as_old_as_the_watch_says(self) -> None:
        self.write(3)
        self.context.wrote.tell([1], 990.0)
        self.assertEqual(990.0, self.sample().time_s)

    def test_the_others_are_read_seldom_and_keep_their_figures(self) -> None:
        # Given two guests that wrote nothing more
        samples = self.sensor.read([self.guest, self.other])
        # When sixteen passes go by
        requests = [self.requests() for _ in range(16)]
        # Then each was read twice, one at a time
        self.assertEqual(4, sum(requests))
        self.assertEqual(1, max(requests))
        # And what they said before is what they say
        self.assertEqual(samples, self.sensor.read([self.guest, self.other]))
        self.assertEqual({"uuid-1", "uuid-2"}, self.sensor.heard)

    def test_what_the_watch_missed_is_found_in_time(self) -> None:
        # Given a guest that writes, and is not told of
        self.write(3)
        # Then it is read before it would be too old
        found = [self.read() for _ in range(8)]
        self.assertEqual(1, found.count(["uuid-1"]))

    def test_while_nobody_watches_all_are_read(self) -> None:
        self.context.wrote.lose()
        for _ in range(20):
            self.assertEqual(2, self.requests())

    def test_what_could_not_be_read_is_read_later(self) -> None:
        # Given two guests that wrote, and a daemon that is away then
        self.write(3)
        self.write(3, domain_id=2)
        self.context.wrote.tell([1, 2], 990.0)
        self.daemon.stop()
        with self.assertRaises(client.XenstoreError):
            self.read()
        # When it is back, and one of them has written again
        self.daemon.start()
        self.context.wrote.tell([2], 995.0)
        samples = self.sensor.read([self.guest, self.other])
        # Then both are read, and as old as the watch said
        self.assertEqual(990.0, samples["uuid-1"].time_s)
        self.assertEqual(995.0, samples["uuid-2"].time_s)

    def test_who_is_new_is_read_at_once(self) -> None:
        self.guest = base.GuestRef("uuid-3", "guest-3", 3, FLAVOR_KIB)
        self.write(1, domain_id=3)
        self.read()
        self.assertIn("uuid-3", self.sensor.heard)

    def test_who_has_another_agent_is_always_read(self) -> None:
        # Given a guest whose agent writes what nobody watches
        self.guest = base.GuestRef("uuid-3", "guest-3", 3, FLAVOR_KIB)
        for number in range(20):
            self.daemon.guest_writes(
                3, meminfo_total="980332", meminfo_free=str(700000 + number)
            )
            found = self.read()
            self.assertEqual(["uuid-3"] if number else [], found)

    def test_lies_are_not_believed_until_they_end(self) -> None:
        # Given a guest that writes what can't be true
        with fixtures.FakeLogger(LOGGER):
            self.daemon.guest_writes(1, nova_xen_overcommit="I am idle")
            self.context.wrote.tell([1], self.now_s)
            # Then it has no figures, though it isn't read anew each time
            for _ in range(10):
                self.assertIsNone(self.sample())
        # When it tells the truth again, then it has
        self.write(3)
        self.context.wrote.tell([1], self.now_s)
        self.assertIsNotNone(self.sample())


class OtherAgentsTest(SensorTestCase):
    def meminfo(self, free_kib: int) -> None:
        self.daemon.guest_writes(
            1, meminfo_total="980332", meminfo_free=str(free_kib)
        )

    def test_they_are_slow_and_may_be(self) -> None:
        # Given a guest with another agent, which writes each minute
        self.meminfo(800000)
        self.assertIsNone(self.sample())
        self.now_s += 60
        self.meminfo(790000)
        # Then it is believed for five minutes
        sample = self.sample()
        self.assertEqual(300.0, sample.max_age_s)
        self.assertEqual(1060.0, sample.time_s)
        self.assertEqual(790000, sample.mem_available_kib)
        self.assertIsNone(sample.psi_some_us)

    def test_our_line_comes_first(self) -> None:
        # Given a guest that writes both, as our publisher does
        for seq in (1, 2):
            self.meminfo(1000 + seq)
            self.write(seq)
            sample = self.sample()
        # Then the line is what counts
        self.assertEqual(800000, sample.mem_available_kib)
        self.assertEqual(15.0, sample.max_age_s)

    def test_half_of_it_is_nothing(self) -> None:
        for total in ("1", "2"):
            self.daemon.guest_writes(1, meminfo_total=total)
            self.assertIsNone(self.sample())


class HeardTest(SensorTestCase):
    """Who ever wrote anything, whether it is believed or not."""

    def heard(self) -> frozenset[str]:
        self.sensor.read([self.guest, self.other])
        return self.sensor.heard

    def test_who_wrote_nothing_was_not_heard(self) -> None:
        self.write(1)
        self.assertEqual({"uuid-1"}, self.heard())

    def test_old_words_of_unknown_age_are_words(self) -> None:
        self.daemon.guest_writes(2, meminfo_free="1")
        self.assertEqual({"uuid-2"}, self.heard())

    def test_lies_are_words(self) -> None:
        with fixtures.FakeLogger(LOGGER):
            self.daemon.guest_writes(1, nova_xen_overcommit="I am idle")
            self.assertEqual({"uuid-1"}, self.heard())

    def test_an_empty_node_is_a_word(self) -> None:
        with fixtures.FakeLogger(LOGGER):
            self.daemon.guest_writes(1, nova_xen_overcommit=b"")
            self.assertEqual({"uuid-1"}, self.heard())


class LyingGuestTest(SensorTestCase):
    def speak(self) -> None:
        """Let the other guest say two true things."""
        for seq in (1, 2):
            self.write(seq, domain_id=2)
            self.sensor.read([self.guest, self.other])

    def quiet(self) -> Any:
        """Keep what is logged out of the tests' output."""
        return fixtures.FakeLogger(LOGGER)

    def test_garbage_harms_nobody_else(self) -> None:
        # Given a guest that writes garbage of many kinds
        self.speak()
        for raw in (
            b"",
            b"\0" * 100,
            b"\xff" * 4096,
            b"v=1",
            line(mem_total_kib=1 << 62),
            line(mem_available_kib=-1),
            line() * 5,
        ):
            self.daemon.guest_writes(1, nova_xen_overcommit=raw)
            # When it is read along with another
            with self.quiet():
                samples = self.sensor.read([self.guest, self.other])
            # Then only the other has figures
            self.assertEqual(["uuid-2"], list(samples))

    def test_it_is_named_once_and_not_at_each_read(self) -> None:
        # Given a guest that writes another kind of garbage each time
        with self.assertLogs(LOGGER) as logged:
            for number in range(50):
                raw = f"garbage {number}\nFAKE LOG LINE"
                self.daemon.guest_writes(1, nova_xen_overcommit=raw)
                self.sample()
                self.now_s += 1
        # Then the log has one line, which names it
        self.assertEqual(1, len(logged.output))
        self.assertIn("guest-1", logged.output[0])
        self.assertNotIn("\n", logged.output[0])

    def test_it_is_named_again_much_later(self) -> None:
        self.daemon.guest_writes(1, nova_xen_overcommit="garbage")
        with self.assertLogs(LOGGER) as logged:
            for _ in range(2):
                self.sample()
                self.now_s += 301
        self.assertEqual(2, len(logged.output))

    def test_it_is_believed_again_when_it_speaks_true(self) -> None:
        self.write(1)
        self.sample()
        self.daemon.guest_writes(1, nova_xen_overcommit="garbage")
        with self.quiet():
            self.assertIsNone(self.sample())
        self.write(2)
        self.assertIsNotNone(self.sample())

    def test_many_reads_are_one_round_trip_each(self) -> None:
        # Given 200 guests that all speak
        guests = [
            base.GuestRef(f"uuid-{i}", f"guest-{i}", i, FLAVOR_KIB)
            for i in range(1, 201)
        ]
        for guest in guests:
            self.write(1, domain_id=guest.domain_id)
        # When they are read
        self.sensor.read(guests)
        # Then each has cost one request
        self.assertEqual(200, self.daemon.server.requests)
