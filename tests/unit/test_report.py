# SPDX-License-Identifier: Apache-2.0
"""The host report's way through ComputeNode.stats, and what stops it."""

import dataclasses
import json
import unittest
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit import exception, report
from nova_xen_overcommit.report import HostReport
from tests.unit.scheduler import world

SIZES = [
    field.name
    for field in dataclasses.fields(HostReport)
    if field.name.endswith("_mib")
]


def text_of(**changes: Any) -> str:
    """Give the report's text with fields changed, unchecked."""
    values = {**world.REPORT.to_dict(), **changes}
    return json.dumps({k: v for k, v in values.items() if v is not ...})


def read(text: Any) -> HostReport | None:
    return HostReport.from_stats({report.STATS_KEY: text})


class RoundTripTest(unittest.TestCase):
    def test_what_goes_in_comes_out(self) -> None:
        stats = world.REPORT.to_stats()
        self.assertEqual([report.STATS_KEY], list(stats))
        self.assertEqual(world.REPORT, HostReport.from_stats(stats))

    def test_stats_are_text_of_moderate_length(self) -> None:
        # Nova keeps all stats of a node in one column.
        (text,) = world.REPORT.to_stats().values()
        self.assertIsInstance(text, str)
        self.assertLess(len(text), 1024)

    @given(
        st.lists(
            st.integers(0, report.MAX_MIB),
            min_size=len(SIZES),
            max_size=len(SIZES),
        ),
        st.floats(0, report.MAX_TIME_S),
    )
    def test_any_sizes(self, sizes: list[int], time_s: float) -> None:
        values = dict(zip(SIZES, sizes, strict=True))
        values["usable_mib"] = min(
            values["usable_mib"], values["physical_mib"]
        )
        bound_mib = values["usable_mib"] * int(world.REPORT.max_ratio)
        values["promise_mib"] = min(
            values["promise_mib"],
            max(values["committed_mib"], bound_mib - values["foreign_mib"]),
        )
        made = world.a_report(time_s=time_s, **values)
        self.assertEqual(made, HostReport.from_stats(made.to_stats()))

    def test_no_memory_that_is_not_novas_is_not_told(self) -> None:
        # Since a reader of the first release knows no such field
        self.assertNotIn("foreign_mib", world.REPORT.to_dict())
        some = world.a_report(foreign_mib=7)
        self.assertEqual(7, some.to_dict()["foreign_mib"])

    def test_no_report(self) -> None:
        for stats in (
            None,
            {},
            {"num_instances": "3"},
            {report.STATS_KEY: ""},
        ):
            with self.subTest(stats=stats):
                self.assertIsNone(HostReport.from_stats(stats))


class DisbeliefTest(unittest.TestCase):
    def assert_refused(self, words: str, text: Any) -> None:
        with self.assertRaisesRegex(exception.InvalidReport, words):
            read(text)

    def test_another_version(self) -> None:
        for version in (0, 2, "1", 1.0, True, None, ...):
            with self.subTest(version=version):
                self.assert_refused("version", text_of(version=version))

    def test_a_field_of_the_same_version_that_is_unknown(self) -> None:
        self.assertEqual(world.REPORT, read(text_of(colour="blue")))

    def test_a_field_that_came_later(self) -> None:
        # Given a report of an agent that doesn't know it
        self.assertEqual(0, world.REPORT.overhead_mib)
        self.assertNotIn("overhead_mib", world.REPORT.to_dict())
        # Then its absence is no fault, and its presence counts
        told = read(text_of(overhead_mib=160))
        assert told is not None
        self.assertEqual(160, told.overhead_mib)
        self.assertEqual(160, told.to_dict()["overhead_mib"])

    def test_a_missing_field(self) -> None:
        for name in world.REPORT.to_dict():
            with self.subTest(name=name):
                self.assert_refused(name, text_of(**{name: ...}))

    def test_sizes_that_cant_be(self) -> None:
        for name in SIZES:
            for value in (-1, report.MAX_MIB + 1, 1.5, "7", None, True):
                with self.subTest(name=name, value=value):
                    self.assert_refused(name, text_of(**{name: value}))

    def test_numbers_that_cant_be(self) -> None:
        for name in ("time_s", "max_ratio", "floor_share", "start_share"):
            for value in (-1, float("nan"), float("inf"), "1", None):
                with self.subTest(name=name, value=value):
                    self.assert_refused(name, text_of(**{name: value}))

    def test_words_that_cant_be(self) -> None:
        self.assert_refused("state", text_of(state="fine"))
        self.assert_refused("mode", text_of(mode="turbo"))
        self.assert_refused(
            "require_guest_swap", text_of(require_guest_swap=1)
        )

    def test_more_usable_than_physical(self) -> None:
        self.assert_refused(
            "usable_mib", text_of(usable_mib=4097, physical_mib=4096)
        )

    def test_a_ratio_that_no_agent_can_be_given(self) -> None:
        self.assertEqual(64.0, read(text_of(max_ratio=64.0)).max_ratio)
        self.assert_refused("max_ratio", text_of(max_ratio=64.1))

    def test_more_promised_than_the_ratio_allows(self) -> None:
        # Given 3200 MiB usable at a ratio of 4, what was cut from a MiB
        # included
        most_mib = 4 * 3200 + 5
        self.assertIsNotNone(read(text_of(promise_mib=most_mib)))
        self.assert_refused("promise_mib", text_of(promise_mib=most_mib + 1))
        # Then guests that aren't Nova's have their part of it
        told = text_of(promise_mib=most_mib, foreign_mib=1)
        self.assert_refused("promise_mib", told)

    def test_what_is_committed_may_be_promised_whatever_the_ratio(self):
        # Given an operator who lowered the ratio below what runs already
        told = {"max_ratio": 1.0, "committed_mib": 9000}
        self.assertIsNotNone(read(text_of(promise_mib=9000, **told)))
        self.assert_refused("promise_mib", text_of(promise_mib=9001, **told))

    def test_what_is_no_report_at_all(self) -> None:
        whole = text_of()
        for text in (
            whole[:-1],
            whole[: len(whole) // 2],
            "x",
            "[]",
            "1",
            "null",
            "[" * 10000,
            "x" * (report.MAX_TEXT_CHARS + 1),
            7,
            b"{}",
        ):
            with (
                self.subTest(text=str(text)[:30]),
                self.assertRaises(exception.InvalidReport),
            ):
                read(text)

    @given(st.text('{}[]":,0123456789.truefalsn v', max_size=200))
    def test_any_text_is_a_report_or_refused(self, text: str) -> None:
        try:
            read(text)
        except exception.InvalidReport as error:
            self.assertLess(len(str(error)), 400)


class AgeTest(unittest.TestCase):
    def test_age_and_a_clock_ahead(self) -> None:
        made = world.a_report(time_s=100.0)
        self.assertEqual(20.0, made.age_s(120.0))
        self.assertEqual(-5.0, made.age_s(95.0))


class CacheTest(unittest.TestCase):
    def test_the_same_text_is_parsed_once(self) -> None:
        text = text_of(time_s=12345.678)
        self.assertIs(read(text), read(str(text)))
