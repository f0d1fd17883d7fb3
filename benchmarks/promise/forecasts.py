# SPDX-License-Identifier: Apache-2.0
"""What each predictor foretells for a host, hour by hour.

The classic families are reckoned for all parameters at once, as the
production code would for each: a unit test compares the two. Ours is the
production code.
"""

import math
from collections.abc import Sequence

import numpy

from benchmarks.promise.trace import Array
from nova_xen_overcommit.policy.predictors import DEFAULT_RISK, HostPast
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

# By family, then by label: the peaks by forecast.
Families = dict[str, dict[str, Array]]
# Of one forecast.
Answers = dict[str, dict[str, float]]


def classic(pasts: Sequence[HostPast]) -> Families:
    """Give the classic predictors' answers, by forecast."""
    answers = [_answers(past) for past in pasts]
    return {
        family: {
            label: numpy.ceil([answer[family][label] for answer in answers])
            for label in labels
        }
        for family, labels in answers[0].items()
    }


def _answers(past: HostPast) -> Answers:
    # Without any history all foretell nothing.
    sums_kib = numpy.array(past.sum_kib or [0])
    peaks_kib = sum(guest.peak_kib for guest in past.guests)
    highest, mean, deviation = sums_kib.max(), sums_kib.mean(), sums_kib.std()
    sigmas = {n: mean + n * deviation for n in SIGMAS}
    return {
        "recent_max": {
            f"recent_max_{margin:+.0%}": highest * (1.0 + margin)
            for margin in MARGINS
        },
        "n_sigma": {f"n_sigma_{n:g}": peak for n, peak in sigmas.items()},
        "max_n_sigma": {
            f"max_{n:g}_sigma": max(highest, peak)
            for n, peak in sigmas.items()
        },
        "percentile": _percentiles(sums_kib),
        "guest_peaks": {
            f"guest_peaks_{share:g}": peaks_kib * share
            for share in PEAKS_SHARES
        },
    }


def _percentiles(sums_kib: Array) -> dict[str, float]:
    ranks = {p: math.ceil(p / 100 * len(sums_kib)) - 1 for p in PERCENTS}
    parted = numpy.partition(sums_kib, list(ranks.values()))
    return {
        f"percentile_{p:g}_{margin:+.0%}": parted[rank] * (1.0 + margin)
        for p, rank in ranks.items()
        for margin in PERCENTILE_MARGINS
    }


def ours(pasts: Sequence[HostPast]) -> dict[str, Array]:
    """Give our answers by forecast, for each risk of the frontier.

    What is known of a past doesn't depend on the risk, so it is looked at
    once for all.
    """
    outlooks = [Outlook.of(past) if past.sum_kib else None for past in pasts]
    risks = {f"risk_{risk:g}": risk for risk in RISKS} | OURS
    return {
        label: numpy.array(
            [outlook.peak_kib(risk) if outlook else 0 for outlook in outlooks]
        )
        for label, risk in risks.items()
    }
