# SPDX-License-Identifier: Apache-2.0
"""The scheduler's filter: refuses hosts that can't make room."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import nova.conf
from nova.scheduler import filters, utils
from oslo_log import log as logging

from nova_xen_overcommit import conf, exception
from nova_xen_overcommit.scheduler import admission, requests

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

conf.register_opts(CONF)


def limits_of(options: Any) -> admission.Limits:
    """Give the limits of a report's age from ``[xen_overcommit]``."""
    return admission.Limits(
        max_age_s=options.report_max_age_s,
        clock_skew_s=options.clock_skew_s,
    )


class XenOvercommitFilter(filters.BaseHostFilter):
    """Passes hosts that can take the instance by their newest report.

    Stateless, reads nothing but host state and request. A rebuild stays
    where it is and is never asked about.
    """

    RUN_ON_REBUILD = False

    def __init__(self, wall_clock_s: Callable[[], float] = time.time) -> None:
        super().__init__()
        # Made when the scheduler starts: wrong values end it then.
        conf.check(CONF)
        self._wall_clock_s = wall_clock_s

    def filter_all(
        self, filter_obj_list: Iterable[Any], spec_obj: Any
    ) -> Iterator[Any]:
        """Yield the hosts that pass; what all share is read once."""
        if utils.request_is_rebuild(spec_obj):
            yield from filter_obj_list
            return
        question = self._question(spec_obj)
        if question is not None:
            for host_state in filter_obj_list:
                if question.passes(host_state):
                    yield host_state

    def host_passes(self, host_state: Any, spec_obj: Any) -> bool:
        """Tell whether one host passes."""
        question = self._question(spec_obj)
        return question is not None and question.passes(host_state)

    def _question(self, spec_obj: Any) -> "Question | None":
        try:
            request = requests.request_of(spec_obj)
        except exception.InvalidConfiguration as error:
            LOG.warning(
                "No host passes for flavor %s: %s",
                spec_obj.flavor.name,
                error,
            )
            return None
        return Question(request, self._wall_clock_s(), CONF)


class Question:
    """One request, put to one host after the other."""

    def __init__(
        self, request: admission.Request, now_s: float, options: Any
    ) -> None:
        self._request = request
        self._now_s = now_s
        self._limits = limits_of(options.xen_overcommit)
        self._reserved_mib = options.reserved_host_memory_mb

    def passes(self, host_state: Any) -> bool:
        """Tell whether the host passes; say at debug level why not."""
        report, why_no_report = requests.report_of(host_state)
        verdict = admission.decide(
            report,
            self._request,
            requests.figures_of(host_state, self._reserved_mib),
            self._now_s,
            self._limits,
            why_no_report,
        )
        if not verdict.passes:
            LOG.debug("Host %s refused: %s", host_state.host, verdict.reason)
        return verdict.passes
