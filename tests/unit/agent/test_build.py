# SPDX-License-Identifier: Apache-2.0
"""What the configuration names is what the agent gets."""

import unittest
from importlib import metadata

from nova_xen_overcommit import conf, exception, plugins
from nova_xen_overcommit.policy.predictors import (
    DEFAULT_RISK,
    GuestPast,
    HostPast,
)

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
