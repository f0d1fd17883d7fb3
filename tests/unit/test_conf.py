# SPDX-License-Identifier: Apache-2.0
"""Every option's bounds, through a ConfigOpts of our own."""

import math
import tempfile
import unittest
from pathlib import Path
from typing import Any

from oslo_config import cfg

from nova_xen_overcommit import conf as conf_module
from nova_xen_overcommit import exception

# What each numeric option takes at most and at least. A second list on
# purpose: a bound that is changed by mistake must fail here.
BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "report_max_age_s": (10, 3600),
    "reserve_wait_s": (1, 600),
    "tick_interval_s": (0.1, 60),
    "busy_tick_interval_s": (0.05, 10),
    "host_memory_limit_mib": (0, None),
    "host_reserved_mib": (0, None),
    "reserve_mib": (16, None),
    "host_slack_mib": (0, None),
    "floor_share": (0.02, 1.0),
    "start_share": (0.05, 1.0),
    "dead_band_mib": (0, 1024),
    "max_step_mib": (8, None),
    "max_step_share": (0.0, 1.0),
    "cool_down_s": (0, 3600),
    "idle_tax": (0.0, 0.99),
    "demand_head_room_share": (0.0, 2.0),
    "demand_head_room_mib": (0, None),
    "demand_rise_s": (0.1, 3600),
    "demand_decay_s": (1.0, 86400),
    "peak_memory_s": (1.0, 86400),
    "psi_high_percent": (0.1, 100.0),
    "swap_in_high_kib_s": (1, None),
    "sample_max_age_s": (2, 600),
    "stuck_after_s": (1, 600),
    "uncooperative_after_s": (2, 3600),
    "max_overcommit_ratio": (1.0, 64.0),
    "risk": (1e-06, 0.5),
    "history_s": (60, 2592000),
    "history_keep_s": (86400, 315360000),
    "warm_up_s": (0, 2592000),
    "promise_raise_delay_s": (0, 86400),
    "weight_multiplier": (None, None),
    "clock_skew_s": (0, 3600),
}
GROUP = "xen_overcommit"


def fresh() -> cfg.ConfigOpts:
    """Give a ConfigOpts that nobody else has touched."""
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[], default_config_dirs=[])
    conf_module.register_opts(conf)
    return conf


class BoundsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.conf = fresh()
        self.options = {opt.name: opt for opt in conf_module.ALL_OPTS}

    def set_option(self, name: str, value: Any) -> None:
        # As text, the way it comes from a file.
        self.conf.set_override(name, str(value), GROUP)

    def step(self, name: str, value: float, up: bool) -> float:
        if isinstance(self.options[name], cfg.IntOpt):
            return value + (1 if up else -1)
        return math.nextafter(value, math.inf if up else -math.inf)

    def test_all_numbers_have_their_bounds_here(self) -> None:
        numeric = {
            name
            for name, opt in self.options.items()
            if isinstance(opt, cfg.IntOpt | cfg.FloatOpt)
        }
        self.assertEqual(numeric, set(BOUNDS))

    def test_the_least_is_taken_and_less_is_refused(self) -> None:
        for name, (least, _most) in BOUNDS.items():
            if least is None:
                continue
            with self.subTest(name=name):
                self.set_option(name, least)
                self.assertEqual(least, self.conf[GROUP][name])
                with self.assertRaises(ValueError):
                    self.set_option(name, self.step(name, least, up=False))

    def test_the_most_is_taken_and_more_is_refused(self) -> None:
        for name, (_least, most) in BOUNDS.items():
            if most is None:
                continue
            with self.subTest(name=name):
                self.set_option(name, most)
                self.assertEqual(most, self.conf[GROUP][name])
                with self.assertRaises(ValueError):
                    self.set_option(name, self.step(name, most, up=True))

    def test_a_refusal_names_the_option(self) -> None:
        conf = fresh()
        with self.assertRaisesRegex(ValueError, "psi_high_percent|0.1"):
            conf.set_override("psi_high_percent", "0", GROUP)

    def test_negative_multipliers_are_taken(self) -> None:
        self.set_option("weight_multiplier", -2.5)
        self.assertEqual(-2.5, self.conf[GROUP].weight_multiplier)


class ChoicesTest(unittest.TestCase):
    def test_the_modes(self) -> None:
        conf = fresh()
        self.assertEqual("observe", conf[GROUP].mode)
        for mode in ("observe", "balance", "overcommit"):
            conf.set_override("mode", mode, GROUP)
            self.assertEqual(mode, conf[GROUP].mode)
        with self.assertRaises(ValueError):
            conf.set_override("mode", "Overcommit!", GROUP)

    def test_the_default_changes_nothing_on_a_host(self) -> None:
        # An operator who only installs us gets stock behaviour.
        self.assertEqual("observe", fresh()[GROUP].mode)


class SilentGuestsTest(unittest.TestCase):
    def test_guests_that_say_nothing_are_left_alone_by_default(self) -> None:
        self.assertIs(False, fresh()[GROUP].probe_silent_guests)

    def test_that_can_be_changed_at_run_time(self) -> None:
        options = {option.name: option for option in conf_module.ALL_OPTS}
        self.assertTrue(options["probe_silent_guests"].mutable)


class DefaultsTest(unittest.TestCase):
    def test_defaults_are_within_their_bounds(self) -> None:
        conf = fresh()
        for opt in conf_module.ALL_OPTS:
            with self.subTest(name=opt.name):
                if opt.default is not None:
                    conf.set_override(opt.name, opt.default, GROUP)

    def test_defaults_contradict_nothing(self) -> None:
        conf_module.check(fresh())

    def test_every_option_is_explained(self) -> None:
        for opt in conf_module.ALL_OPTS:
            with self.subTest(name=opt.name):
                self.assertGreater(len((opt.help or "").split()), 7)


class CheckTest(unittest.TestCase):
    def assert_refused(self, *words: str, **options: Any) -> None:
        conf = fresh()
        for name, value in options.items():
            conf.set_override(name, value, GROUP)
        with self.assertRaises(exception.InvalidConfiguration) as caught:
            conf_module.check(conf)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_wrong_values_in_a_file_are_named(self) -> None:
        # Given a configuration file with a wrong value
        for line, name in (
            ("mode = turbo", "mode"),
            ("tick_interval_s = 0", "tick_interval_s"),
            ("reserve_mib = much", "reserve_mib"),
        ):
            with self.subTest(line=line), tempfile.TemporaryDirectory() as d:
                path = Path(d) / "x.conf"
                path.write_text(f"[{GROUP}]\n{line}\n")
                conf = cfg.ConfigOpts()
                conf([], default_config_files=[str(path)])
                conf_module.register_opts(conf)
                # When it is checked at the start
                with self.assertRaisesRegex(
                    exception.InvalidConfiguration, name
                ):
                    conf_module.check(conf)

    def test_slack_must_leave_some_reserve(self) -> None:
        self.assert_refused(
            "host_slack_mib",
            "reserve_mib",
            host_slack_mib=128,
            reserve_mib=128,
        )

    def test_stuck_comes_before_uncooperative(self) -> None:
        self.assert_refused(
            "stuck_after_s (20",
            "uncooperative_after_s",
            stuck_after_s=20,
            uncooperative_after_s=20,
        )

    def test_a_pass_is_shorter_than_stuck(self) -> None:
        self.assert_refused(
            "busy_tick_interval_s",
            "stuck_after_s",
            busy_tick_interval_s=2,
            stuck_after_s=2,
        )

    def test_guests_dont_start_below_their_floor(self) -> None:
        self.assert_refused(
            "start_share (0.2)",
            "floor_share (0.3)",
            start_share=0.2,
            floor_share=0.3,
        )


class RegisterTest(unittest.TestCase):
    def test_twice_is_harmless(self) -> None:
        conf = fresh()
        conf_module.register_opts(conf)
        self.assertEqual(180, conf[GROUP].report_max_age_s)

    def test_the_sample_generator_gets_all(self) -> None:
        ((group, options),) = conf_module.list_opts()
        self.assertEqual(GROUP, group.name)
        self.assertEqual(
            sorted(fresh()[GROUP]), sorted(opt.dest for opt in options)
        )
