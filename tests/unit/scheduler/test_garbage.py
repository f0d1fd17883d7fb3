# SPDX-License-Identifier: Apache-2.0
"""Whatever stands in a host's stats: nothing raises, nothing is believed.

A host of 4096 MiB has 128 MiB that are not given away; what is asked for
are 1024. Only a whole, valid and fresh report may let that pass.
"""

import json
import unittest
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from nova_xen_overcommit import report as report_module
from nova_xen_overcommit.report import RESERVED_KEY, STATS_KEY
from nova_xen_overcommit.scheduler import admission, filters, weights
from tests.unit.scheduler import nova_objects, world

WHOLE = world.REPORT.to_stats()[STATS_KEY]
FIELDS = sorted(world.REPORT.to_dict())
LATER = "foreign_mib"

SPEC = nova_objects.request_spec()
SMALL = nova_objects.request_spec(memory_mb=128)

numbers = st.one_of(
    st.integers(),
    st.integers(-(1 << 40), 1 << 40),
    st.floats(),
    st.sampled_from([0, -1, 1e308, 1 << 30, (1 << 30) + 1, 4096, 4097]),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=9), inner, max_size=3),
    ),
    max_leaves=6,
)


@st.composite
def changed_reports(draw: Any) -> str:
    """Draw a report in which some fields are anything, or missing."""
    report: dict[str, Any] = world.REPORT.to_dict()
    changes = st.dictionaries(
        st.sampled_from([*FIELDS, LATER]), values, min_size=1, max_size=4
    )
    report |= draw(changes)
    for name in draw(st.sets(st.sampled_from(FIELDS), max_size=1)):
        del report[name]
    return json.dumps(report)


@st.composite
def damaged_texts(draw: Any) -> str:
    """Draw a report's text in which a part is cut out or replaced."""
    start = draw(st.integers(0, len(WHOLE)))
    length = draw(st.integers(0, 40))
    middle = draw(st.one_of(st.just(""), st.text(max_size=20)))
    return WHOLE[:start] + middle + WHOLE[start + length :]


class GarbageTest(unittest.TestCase):
    def setUp(self) -> None:
        self.filter = filters.XenOvercommitFilter(lambda: world.NOW_S)
        self.weigher = weights.XenOvercommitWeigher(lambda: world.NOW_S)

    def passes(self, spec: Any, stats: dict[str, Any]) -> bool:
        state = nova_objects.host_state(None, **stats)
        self.weigher._weigh([state])
        return self.filter.host_passes(state, spec)

    def check(self, text: Any) -> None:
        """Nothing raises; past physical memory only by a good report."""
        stats = {STATS_KEY: text}
        passes = self.passes(SPEC, stats)
        if passes:
            self.assert_good(json.loads(text))
        else:
            # What fits physically passes, unless a report that is good
            # says otherwise.
            found = report_module.read_stats(stats)
            if not isinstance(found, report_module.HostReport):
                self.assertTrue(self.passes(SMALL, stats))

    def assert_good(self, found: dict[str, Any]) -> None:
        """By a reading of its own: this report may let 1024 MiB pass."""
        self.assertEqual(1, found["version"])
        self.assertLessEqual(world.NOW_S - found["time_s"], 180)
        self.assertGreaterEqual(world.NOW_S - found["time_s"], -30)
        foreign_mib = found.setdefault(LATER, 0)
        for name in [*FIELDS, LATER]:
            if name.endswith("_mib"):
                self.assertIs(int, type(found[name]))
                self.assertGreaterEqual(found[name], 0)
        self.assertLessEqual(found["usable_mib"], 4096)
        startable_mib = found["free_mib"] + found["reclaimable_mib"]
        self.assertLessEqual(startable_mib, 4096)
        self.assertLessEqual(found["max_ratio"], 64)
        bound_mib = (found["usable_mib"] + 1) * found["max_ratio"] + 2
        self.assertLessEqual(
            found["promise_mib"],
            max(found["committed_mib"], bound_mib - foreign_mib),
        )
        if found["mode"] == "observe":
            return
        self.assertEqual("overcommit", found["mode"])
        self.assertIn(found["state"], ("normal", "reclaiming"))
        placed_mib = max(3072, found["committed_mib"])
        self.assertLessEqual(placed_mib + 1024, found["promise_mib"])
        self.assertLessEqual(
            found["floors_mib"] + found["reserve_mib"], found["usable_mib"]
        )

    def test_the_whole_report_lets_it_pass(self) -> None:
        # Or the tests here would show nothing
        self.assertTrue(self.passes(SPEC, {STATS_KEY: WHOLE}))

    def test_cut_anywhere_it_is_not_believed(self) -> None:
        for length in range(len(WHOLE)):
            stats = {STATS_KEY: WHOLE[:length]}
            self.assertFalse(self.passes(SPEC, stats), length)
            self.assertTrue(self.passes(SMALL, stats), length)

    @given(changed_reports())
    @example(json.dumps(world.REPORT.to_dict() | {"max_ratio": 1e308}))
    @example(json.dumps(world.REPORT.to_dict() | {"floor_share": 1e308}))
    @example(json.dumps(world.REPORT.to_dict() | {"start_share": 1e308}))
    @example(json.dumps(world.REPORT.to_dict() | {"time_s": 1e308}))
    @example(json.dumps(world.REPORT.to_dict() | {"usable_mib": 1 << 30}))
    @example(json.dumps(world.REPORT.to_dict() | {"promise_mib": 1 << 30}))
    @example(json.dumps(world.REPORT.to_dict() | {"foreign_mib": 1 << 30}))
    @example(json.dumps(world.REPORT.to_dict() | {"max_ratio": 1000.0}))
    @example(json.dumps(world.REPORT.to_dict() | {"reclaimable_mib": 4000}))
    def test_fields_of_any_value(self, text: str) -> None:
        self.check(text)

    @given(damaged_texts())
    def test_damaged_text(self, text: str) -> None:
        self.check(text)

    @given(st.one_of(st.text(max_size=60), values))
    @example("[" * 4000)
    @example("9" * 4000)
    @example('{"version":' + "9" * 4000 + "}")
    def test_anything_in_its_place(self, text: Any) -> None:
        self.check(text)

    @given(values)
    def test_anything_as_reserved_memory(self, reserved: Any) -> None:
        # Given a host that says nonsense of what it reserves
        # Then nothing raises, and without a report only what fits passes
        stats = {RESERVED_KEY: reserved}
        self.assertFalse(self.passes(SPEC, stats))

    def test_promises_far_beyond_the_memory_that_there_is(self) -> None:
        # Given fresh reports, all of whose figures could be on their own
        most_mib = 1 << 30
        for changes in (
            {"max_ratio": 1000.0, "promise_mib": 3200 * 1000},
            {"max_ratio": 1.0, "promise_mib": most_mib},
            {"free_mib": 4096, "reclaimable_mib": 4096},
            {"promise_mib": 4 * 3200, "foreign_mib": 1024},
        ):
            text = json.dumps(world.REPORT.to_dict() | changes)
            with self.subTest(changes=changes):
                # Then only what is physically there passes
                self.assertFalse(self.passes(SPEC, {STATS_KEY: text}))
                self.assertTrue(self.passes(SMALL, {STATS_KEY: text}))

    def test_every_way_to_doubt_has_a_reason(self) -> None:
        # Given the first group of reasons
        doubts = {
            "no_report": None,
            "old_report": {"time_s": 0},
            "clock_ahead": {"time_s": world.NOW_S + 31},
            "newer_version": {"version": 2},
            "absurd": {"promise_mib": -1},
        }
        for reason, change in doubts.items():
            text = None
            if change is not None:
                text = json.dumps(world.REPORT.to_dict() | change)
            state = nova_objects.host_state(None, **{STATS_KEY: text})
            figures, report, why_not = filters.requests.read(state, 0)
            why = admission.decide(
                report,
                world.GUEST,
                figures,
                world.NOW_S,
                world.LIMITS,
                why_not,
            )
            assert why is not None
            with self.subTest(reason=reason):
                self.assertEqual(reason, why.reason)
                self.assertIn("only physical memory counts", str(why))
