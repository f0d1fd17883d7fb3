# SPDX-License-Identifier: Apache-2.0
"""What each predictor foretells for a host, hour by hour.

The classic families are reckoned for all hours and parameters at once, as
the production code would for each: a unit test compares the two. Ours is the
production code.
"""

import math

import numpy

from benchmarks.promise.trace import Array
from benchmarks.promise.walk import Walk
from nova_xen_overcommit.policy.predictors import DEFAULT_RISK
from nova_xen_overcommit.policy.predictors.surge import Outlook

STRICT_RISK = 0.0001
OURS = {"ours": DEFAULT_RISK, "ours_strict": STRICT_RISK}
# By family and parameter, for the frontier.
MARGINS = (-0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.25, 0.5)
SIGMAS = (3.0, 4.0, 5.0, 6.0, 8.0)
PERCENTS = (95.0, 99.0, 99.9)
PERCENTILE_MARGINS = (0.0, 0.15, 0.5)
PEAKS_SHARES = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
RISKS = (0.01, 0.003, 0.001, 0.0003, 0.0001, 0.00003)

# By family, then by label.
Families = dict[str, dict[str, Array]]


def classic(walk: Walk) -> Families:
    """Give the classic predictors' answers, by forecast."""
    windows = walk.windows
    highest = windows.max(axis=1)
    mean, deviation = windows.mean(axis=1), windows.std(axis=1)
    sigmas = {n: numpy.ceil(mean + n * deviation) for n in SIGMAS}
    return {
        "recent_max": {
            f"recent_max_{margin:+.0%}": numpy.ceil(highest * (1.0 + margin))
            for margin in MARGINS
        },
        "n_sigma": {f"n_sigma_{n:g}": peak for n, peak in sigmas.items()},
        "max_n_sigma": {
            f"max_{n:g}_sigma": numpy.maximum(highest, peak)
            for n, peak in sigmas.items()
        },
        "percentile": _percentiles(windows),
        "guest_peaks": {
            f"guest_peaks_{share:g}": numpy.ceil(
                walk.peaks_kib.sum(axis=0) * share
            )
            for share in PEAKS_SHARES
        },
    }


def _percentiles(windows: Array) -> dict[str, Array]:
    ranks = {p: math.ceil(p / 100 * windows.shape[1]) - 1 for p in PERCENTS}
    parted = numpy.partition(windows, list(ranks.values()), axis=1)
    return {
        f"percentile_{p:g}_{margin:+.0%}": numpy.ceil(
            parted[:, rank] * (1.0 + margin)
        )
        for p, rank in ranks.items()
        for margin in PERCENTILE_MARGINS
    }


def ours(walk: Walk) -> dict[str, Array]:
    """Give our answers by forecast, for each risk of the frontier.

    What is known of a past doesn't depend on the risk, so it is looked at
    once for all.
    """
    forecasts = len(walk.came_kib)
    outlooks = [Outlook.of(walk.past(hour)) for hour in range(forecasts)]
    risks = {f"risk_{risk:g}": risk for risk in RISKS} | OURS
    return {
        label: numpy.array([outlook.peak_kib(risk) for outlook in outlooks])
        for label, risk in risks.items()
    }
