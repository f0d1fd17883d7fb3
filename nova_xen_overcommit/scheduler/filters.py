# SPDX-License-Identifier: Apache-2.0
"""The scheduler's filter: refuses hosts that can't make room."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import nova.conf
from nova.scheduler import filters, utils
from oslo_log import log as logging

from nova_xen_overcommit import conf, exception
from nova_xen_overcommit.scheduler import admission, requests, tally

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

    Reads nothing but host state and request, and keeps nothing but
    counters. A rebuild stays where it is and is never asked about.
    """

    RUN_ON_REBUILD = False

    def __init__(self, wall_clock_s: Callable[[], float] = time.time) -> None:
        super().__init__()
        # Made when the scheduler starts: wrong values end it then.
        conf.check(CONF)
        tally.register()
        self._wall_clock_s = wall_clock_s

    def filter_all(
        self, filter_obj_list: Iterable[Any], spec_obj: Any
    ) -> Iterator[Any]:
        """Yield the hosts that pass; what all share is read once."""
        if utils.request_is_rebuild(spec_obj):
            yield from filter_obj_list
            return
        question = self._question(spec_obj)
        if question is None:
            return
        for host_state in filter_obj_list:
            if question.passes(host_state):
                yield host_state
        question.end()

    def host_passes(self, host_state: Any, spec_obj: Any) -> bool:
        """Tell whether one host passes."""
        question = self._question(spec_obj)
        if question is None:
            return False
        passes = question.passes(host_state)
        question.end()
        return passes

    def _question(self, spec_obj: Any) -> "Question | None":
        try:
            request = requests.request_of(spec_obj)
        except exception.InvalidConfiguration as error:
            LOG.warning(
                "No host passes for instance %s of flavor %s: %s",
                requests.uuid_of(spec_obj),
                spec_obj.flavor.name,
                error,
            )
            return None
        uuid = requests.uuid_of(spec_obj)
        return Question(request, uuid, self._wall_clock_s(), CONF)


class Question:
    """One request, put to one host after the other."""

    def __init__(
        self,
        request: admission.Request,
        instance_uuid: str,
        now_s: float,
        options: Any,
    ) -> None:
        self._request = request
        self._instance_uuid = instance_uuid
        self._now_s = now_s
        self._limits = limits_of(options.xen_overcommit)
        self._reserved_mib = options.reserved_host_memory_mb
        self._tally = tally.Tally()

    def passes(self, host_state: Any) -> bool:
        """Tell whether the host passes; say at debug level why not."""
        self._tally.hosts += 1
        host, report, why_no_report = requests.read(
            host_state, self._reserved_mib
        )
        why = admission.decide(
            report,
            self._request,
            host,
            self._now_s,
            self._limits,
            why_no_report,
        )
        if why is None:
            return True
        self._tally.refuse(host_state.host, why.reason)
        LOG.debug(
            "Host %s refused for instance %s: %s: %s",
            host_state.host,
            self._instance_uuid,
            why.reason,
            why,
        )
        return False

    def end(self) -> None:
        """Count what was refused, and say it in one line if any was."""
        tally.TOTALS.add(self._tally)
        counts = self._tally.counts
        if counts:
            LOG.info(
                "Refused %d of %d host(s) for instance %s: %s",
                sum(counts.values()),
                self._tally.hosts,
                self._instance_uuid,
                self._tally,
            )
