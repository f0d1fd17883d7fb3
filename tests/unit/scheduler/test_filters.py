# SPDX-License-Identifier: Apache-2.0
"""The filter among Nova's real host states and requests."""

import logging
import unittest

from nova_xen_overcommit import exception
from nova_xen_overcommit.scheduler import admission, filters, tally
from tests.unit.scheduler import nova_objects, world

LOGGER = "nova_xen_overcommit.scheduler.filters"
UUID = "0c1a2b3c-5d6e-4f70-8192-a3b4c5d6e7f8"


def text_at(time_s: float) -> str:
    """Give the text of the host's report, made at ``time_s``."""
    return world.a_report(time_s=time_s).to_stats()["xen_overcommit"]


class FilterTestCase(unittest.TestCase):
    """A filter whose clock stands still."""

    def setUp(self) -> None:
        self.filter = filters.XenOvercommitFilter(lambda: world.NOW_S)

    def assert_passes(self, state, spec) -> None:
        self.assertTrue(self.filter.host_passes(state, spec))

    def assert_refuses(self, state, spec) -> None:
        self.assertFalse(self.filter.host_passes(state, spec))


class HostPassesTest(FilterTestCase):
    def test_a_host_with_idle_memory_passes(self) -> None:
        # Given a host whose memory is given away and much of it idle
        # When one more guest is asked for
        # Then the host shall pass
        self.assert_passes(
            nova_objects.host_state(), nova_objects.request_spec()
        )

    def test_a_host_without_report_is_refused(self) -> None:
        # Given the same host without a report
        # When one more guest is asked for
        # Then the host shall NOT pass
        self.assert_refuses(
            nova_objects.host_state(None), nova_objects.request_spec()
        )

    def test_reports_that_cant_be_believed_are_refused_by_name(self) -> None:
        # Given a host with a report that was cut, is a later one's, absurd,
        # old, or of a clock that is five minutes off
        whole = world.REPORT.to_stats()["xen_overcommit"]
        newer = whole.replace('"version":1', '"version":2')
        absurd = whole.replace('"usable_mib":3200', '"usable_mib":99999')
        for text, reason in (
            (whole[:200], "unreadable"),
            (newer, "newer_version"),
            (absurd, "absurd"),
            (text_at(world.NOW_S - 181), "old_report"),
            (text_at(world.NOW_S - 300), "old_report"),
            (text_at(world.NOW_S + 300), "clock_ahead"),
        ):
            state = nova_objects.host_state(None, xen_overcommit=text)
            spec = nova_objects.request_spec()
            small = nova_objects.request_spec(memory_mb=128)
            with self.subTest(reason=reason, text=text):
                # When one more guest is asked for, it shall NOT pass, and
                # the log says why
                with self.assertLogs(LOGGER, logging.DEBUG) as logged:
                    self.assert_refuses(state, spec)
                self.assertIn(f": {reason}: ", logged.output[0])
                # When it fits physically, then the host shall pass
                self.assert_passes(state, small)

    def test_forbidden_flavors_need_all_their_memory(self) -> None:
        # Given a host that could start an ordinary guest of 1 GiB only
        # When a flavor forbids overcommit
        # Then the host shall NOT pass
        state = nova_objects.host_state(world.a_report(reclaimable_mib=500))
        self.assert_passes(state, nova_objects.request_spec())
        self.assert_refuses(
            state,
            nova_objects.request_spec({"xen_overcommit:mode": "forbid"}),
        )

    def test_no_host_passes_for_extra_specs_nobody_understands(self) -> None:
        # Given a flavor with a wrong extra spec
        # When it is asked for
        # Then no host shall pass, and a warning names key and flavor
        spec = nova_objects.request_spec({"xen_overcommit:weight": "heavy"})
        with self.assertLogs(LOGGER, logging.WARNING) as logged:
            self.assert_refuses(nova_objects.host_state(), spec)
        self.assertIn("small", logged.output[0])
        self.assertIn("xen_overcommit:weight", logged.output[0])

    def test_refusals_are_said_at_debug_level(self) -> None:
        # Given a host that is refused
        # When the filter says why
        # Then it is one line, at debug level, naming host, instance, reason
        state = nova_objects.host_state(None)
        spec = nova_objects.request_spec(uuid=UUID)
        with self.assertLogs(LOGGER, logging.DEBUG) as logged:
            self.assert_refuses(state, spec)
        (line,) = [line for line in logged.output if line.startswith("DEBUG")]
        self.assertIn(
            f"Host host1 refused for instance {UUID}: no_report: it has no "
            "report, so only physical memory counts",
            line,
        )

    def test_passing_says_nothing(self) -> None:
        # Given a host that passes
        # Then nothing is logged
        with self.assertNoLogs(LOGGER, logging.DEBUG):
            self.assert_passes(
                nova_objects.host_state(), nova_objects.request_spec()
            )


class FilterAllTest(FilterTestCase):
    def test_only_hosts_that_pass_remain_in_order(self) -> None:
        # Given three hosts, the second without a report
        states = [
            nova_objects.host_state(name="a"),
            nova_objects.host_state(None, name="b"),
            nova_objects.host_state(name="c"),
        ]
        # When they are filtered
        passed = self.filter.filter_all(states, nova_objects.request_spec())
        # Then the other two remain
        self.assertEqual(["a", "c"], [state.host for state in passed])

    def test_a_rebuild_stays_where_it_is(self) -> None:
        # Given an instance is rebuilt on a host under pressure
        hints = {"_nova_check_type": ["rebuild"]}
        spec = nova_objects.request_spec(hints=hints)
        state = nova_objects.host_state(None)
        # When Nova asks whether its host still fits
        # Then the host shall pass: it needs no new memory
        self.assertEqual([state], list(self.filter.filter_all([state], spec)))

    def test_several_instances_of_one_request_count(self) -> None:
        # Given a promise with room for two more guests
        report = world.a_report(promise_mib=3072 + 2048)
        state = nova_objects.host_state(report)
        spec = nova_objects.request_spec()
        # When three are asked for at once
        placed = 0
        for index in range(3):
            self.assertTrue(self.filter.run_filter_for_index(index))
            if list(self.filter.filter_all([state], spec)):
                state.consume_from_request(spec)
                placed += 1
        # Then two shall be placed
        self.assertEqual(2, placed)

    def test_bad_extra_specs_are_warned_of_once_a_request(self) -> None:
        # Given two hosts and a flavor with a wrong extra spec
        states = [nova_objects.host_state(), nova_objects.host_state()]
        spec = nova_objects.request_spec({"xen_overcommit:floor_mb": "-1"})
        # When they are filtered
        with self.assertLogs(LOGGER, logging.WARNING) as logged:
            passed = list(self.filter.filter_all(states, spec))
        # Then none passes, and it is said once
        self.assertEqual([], passed)
        self.assertEqual(1, len(logged.output))


class SummaryTest(FilterTestCase):
    """What of the refusals is said to everybody, and counted."""

    def filter_five(self) -> list[str]:
        """Ask five hosts, and give the lines of the log above debug."""
        states = [
            nova_objects.host_state(name="good"),
            nova_objects.host_state(None, name="mute"),
            nova_objects.host_state(world.a_report(time_s=0), name="old"),
            nova_objects.host_state(None, name="mute2"),
            nova_objects.host_state(
                world.a_report(promise_mib=3072), name="full"
            ),
        ]
        spec = nova_objects.request_spec(uuid=UUID)
        with self.assertLogs(LOGGER, logging.INFO) as logged:
            passed = list(self.filter.filter_all(states, spec))
        self.assertEqual(["good"], [state.host for state in passed])
        return logged.output

    def test_one_line_sums_up_a_request(self) -> None:
        # Given five hosts, four of which are refused for three reasons
        # When they are filtered
        (line,) = self.filter_five()
        # Then one line at info level has the instance and all reasons
        self.assertEqual(
            f"INFO:{LOGGER}:Refused 4 of 5 host(s) for instance {UUID}: "
            "no_report 2 (mute, mute2), old_report 1 (old), "
            "promise 1 (full)",
            line,
        )

    def test_refusals_are_counted_by_reason(self) -> None:
        # Given what was counted before
        before = tally.TOTALS.figures()
        # When five hosts are asked, four refused
        self.filter_five()
        # Then each counts once, by its reason
        after = tally.TOTALS.figures()
        self.assertEqual(before.requests + 1, after.requests)
        self.assertEqual(before.hosts + 5, after.hosts)
        added = {
            reason: after.refused.get(reason, 0)
            - before.refused.get(reason, 0)
            for reason in admission.Reason
        }
        self.assertEqual(
            {"no_report": 2, "old_report": 1, "promise": 1},
            {reason: count for reason, count in added.items() if count},
        )

    def test_a_request_that_all_hosts_pass_is_silent_but_counts(self) -> None:
        before = tally.TOTALS.figures()
        state, spec = nova_objects.host_state(), nova_objects.request_spec()
        with self.assertNoLogs(LOGGER, logging.DEBUG):
            self.assertTrue(list(self.filter.filter_all([state], spec)))
        after = tally.TOTALS.figures()
        self.assertEqual(before.requests + 1, after.requests)
        self.assertEqual(before.refused, after.refused)


class OptionsTest(FilterTestCase):
    def test_age_limit_is_read_at_each_request(self) -> None:
        # Given a report 10 s old
        state, spec = nova_objects.host_state(), nova_objects.request_spec()
        group = "xen_overcommit"
        self.addCleanup(filters.CONF.clear_override, "report_max_age_s", group)
        # When the operator lowers the limit to 10 s, then it shall pass
        filters.CONF.set_override("report_max_age_s", 10, group)
        self.assert_passes(state, spec)
        # When time goes on by a second, then it shall NOT pass
        later = filters.XenOvercommitFilter(lambda: world.NOW_S + 1)
        self.assertFalse(later.host_passes(state, spec))

    def test_wrong_options_end_the_scheduler_at_its_start(self) -> None:
        # Given two options that contradict each other
        group = "xen_overcommit"
        self.addCleanup(filters.CONF.clear_override, "floor_share", group)
        filters.CONF.set_override("floor_share", 0.9, group)
        # When the scheduler makes its filters
        # Then the error names them
        with self.assertRaisesRegex(
            exception.InvalidConfiguration, "floor_share"
        ):
            filters.XenOvercommitFilter()
