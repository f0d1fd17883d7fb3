# SPDX-License-Identifier: Apache-2.0
"""Shows Prometheus the picture of the last pass.

Everything but the durations of passes is read when somebody scrapes, from
the picture that ``status`` shows as well; a guest that is gone has no series
any more. Counters begin at 0 with each agent, a SIGHUP's new one included.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from nova_xen_overcommit.agent.metrics import catalogue
from nova_xen_overcommit.agent.status import AgentStatus, GuestStatus

# Nova's names are short; who starts guests by hand may have longer ones.
_LONGEST_LABEL = 80


class Source(Protocol):
    """Who has the picture: the agent."""

    def pictured(self) -> AgentStatus:
        """Give how host and guests stood when the last pass ended."""


class Exporter(Collector):
    """One agent's metrics, in a registry of their own."""

    def __init__(
        self,
        source: Source,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._monotonic_s = monotonic_s
        self._began_s = monotonic_s()
        self.registry = CollectorRegistry(auto_describe=False)
        self._duration = Histogram(
            catalogue.PREFIX + catalogue.DURATION,
            catalogue.DURATION_HELP,
            buckets=catalogue.DURATION_BUCKETS_S,
            registry=self.registry,
        )
        self.registry.register(self)

    def passed(self, pass_s: float, _complaint: str) -> None:
        """Count a pass that has ended; the thread of the passes calls it."""
        self._duration.observe(pass_s)

    def describe(self) -> Iterable[Metric]:
        """Give no metric: what there is may be asked for, not guessed."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Give every metric as the last pass left it."""
        status = self._source.pictured()
        age_s = self._monotonic_s() - self._began_s
        yield from _families(catalogue.PASSES, status.passes)
        yield from _families(catalogue.AGES, status.passes, unknown=age_s)
        if status.host is not None:
            yield from _families(catalogue.HOST, status.host)
        for one in catalogue.FAMILIES:
            family = _family(one, one.labels)
            for labels, value in one.values(status).items():
                family.add_metric([_label(text) for text in labels], value)
            yield family
        yield from _guests(status.guests)


def _families(
    metrics: Sequence[catalogue.Metric[Any]],
    told: object,
    unknown: float | None = None,
) -> Iterator[Metric]:
    for metric in metrics:
        value = metric.value(told)
        family = _family(metric, ())
        if value is None:
            value = unknown
        if value is not None:
            family.add_metric([], value)
        yield family


def _guests(guests: Sequence[GuestStatus]) -> Iterator[Metric]:
    labels = [[_label(guest.uuid), _label(guest.name)] for guest in guests]
    for metric in catalogue.GUEST:
        family = _family(metric, catalogue.GUEST_LABELS)
        for label, guest in zip(labels, guests, strict=True):
            value = metric.value(guest)
            if value is not None:
                family.add_metric(label, value)
        yield family


def _family(
    metric: catalogue.Metric[Any] | catalogue.Family, labels: Sequence[str]
) -> Any:
    kinds = {
        catalogue.COUNTER: CounterMetricFamily,
        catalogue.GAUGE: GaugeMetricFamily,
    }
    name = catalogue.PREFIX + metric.name
    return kinds[metric.kind](name, metric.help, labels=labels)


def _label(text: str) -> str:
    # The library escapes it; what isn't even UTF-8 would spoil all of it.
    return text[:_LONGEST_LABEL].encode(errors="replace").decode()
