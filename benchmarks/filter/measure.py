# SPDX-License-Identifier: Apache-2.0
"""What is measured, and how.

All times are CPU times of this process, which is what a scheduler spends.
What is compared takes turns, and the median of all rounds is given. Others
on the machine make a round dearer by a third at times, by way of the caches
that are shared with them.
"""

import contextlib
import gc
import json
import random
import statistics
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from benchmarks.filter import cloud
from nova_xen_overcommit import report
from nova_xen_overcommit.scheduler import filters

RIVALS = (
    cloud.FILTER,
    "AggregateInstanceExtraSpecsFilter",
    "ComputeCapabilitiesFilter",
)
NEW_REPORTS = "each report new"
_ROUNDS_OF_NEW_REPORTS = 7
_US = 1e6
_MS = 1e3


class Stopwatch:
    """Adds up the CPU time of what it is held to, in seconds."""

    def __init__(self) -> None:
        self.total_s = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of the block."""
        begin_s = time.process_time()
        try:
            yield
        finally:
            self.total_s += time.process_time() - begin_s


def us_per_host(made: cloud.Cloud, rounds: int) -> dict[str, float]:
    """Give the CPU time of each filter per host it passes, in us.

    All get the same hosts and the same request, as the scheduler has read
    them; each round the stats are new text, as with each request.
    """
    states = made.host_states()
    assert len(states) == made.hosts, len(states)
    spec = made.request_spec()
    classes = made.manager.host_manager.filter_cls_map
    instances = {name: classes[name]() for name in RIVALS}
    found: dict[str, list[float]] = {
        name: [] for name in (*RIVALS, NEW_REPORTS)
    }
    order = random.Random(0)
    for _ in range(rounds):
        for name in order.sample(list(found), len(found)):
            renew(states, new_reports=name == NEW_REPORTS)
            instance = instances[cloud.FILTER if name == NEW_REPORTS else name]
            watch = Stopwatch()
            with watch.running():
                passed = list(instance.filter_all(states, spec))
            assert len(passed) == len(states), (name, len(passed))
            found[name].append(watch.total_s / len(states) * _US)
    return {name: statistics.median(one) for name, one in found.items()}


def renew(states: list[Any], new_reports: bool) -> None:
    """Make the hosts' stats new text, with new reports or the same."""
    now_s = time.time()
    for number, state in enumerate(states):
        stats = cloud.stats_of(number, now_s) if new_reports else state.stats
        if not new_reports:
            # So that the filter has seen it, whoever's turn was last.
            report.read_stats(stats)
        state.stats = json.loads(json.dumps(stats))


def select_destinations_ms(made: cloud.Cloud, rounds: int) -> dict[str, float]:
    """Give the scheduler's CPU time for a request, in ms.

    ``with`` is a run with our filter, ``filter`` its time in that run, and
    ``without`` the rest of the same run: runs of the very same work differ
    by more than any filter takes. ``filter, reports new`` is its time where
    each host has sent a report since the last request, ``run without`` that
    of runs which don't have it at all.

    Placement answers in this process, but is a process of its own in a
    cloud: its time, given beside, is not in the others.
    """
    manager = made.manager.host_manager
    ours = next(
        one
        for one in manager.enabled_filters
        if isinstance(one, filters.XenOvercommitFilter)
    )
    others = [one for one in manager.enabled_filters if one is not ours]
    enabled = {"with": [*others, ours], "run without": others}
    found: dict[str, list[Run]] = {kind: [] for kind in enabled}
    # Reads what is read once, such as the cells.
    select(made, ours)
    made.report_anew()
    select(made, ours)
    order = random.Random(0)
    for _ in range(rounds):
        # By chance: what was done before makes a run slower or faster.
        for kind in order.sample(list(enabled), len(enabled)):
            manager.enabled_filters = enabled[kind]
            found[kind].append(select(made, ours))
    manager.enabled_filters = enabled["with"]
    anew_ms: list[float] = []
    for _ in range(_ROUNDS_OF_NEW_REPORTS):
        made.report_anew()
        anew_ms.append(select(made, ours).filter_ms)
    runs = found["with"]
    return {
        "with": statistics.median(run.whole_ms for run in runs),
        "without": statistics.median(
            run.whole_ms - run.filter_ms for run in runs
        ),
        "filter": statistics.median(run.filter_ms for run in runs),
        "filter, reports new": statistics.median(anew_ms),
        "run without": statistics.median(
            run.whole_ms for run in found["run without"]
        ),
        "placement": statistics.median(run.placement_ms for run in runs),
    }


class Run(NamedTuple):
    """CPU times of one request in ms; Placement's is not in the whole."""

    whole_ms: float
    filter_ms: float
    placement_ms: float


def select(made: cloud.Cloud, ours: Any) -> Run:
    """Place one instance."""
    spec = made.request_spec()
    whole, filtering, asked = Stopwatch(), Stopwatch(), Stopwatch()
    client = made.manager.placement_client
    # What was left behind before, as by a warm-up, is nobody's cost here.
    gc.collect()
    with (
        timed_filter(ours, filtering),
        timed_placement(client, asked),
        whole.running(),
    ):
        ((selection, *_alternates),) = made.manager.select_destinations(
            made.context,
            spec_obj=spec,
            instance_uuids=[spec.instance_uuid],
            return_objects=True,
            return_alternates=True,
        )
    assert selection.service_host in made.names, selection
    made.forget(spec)
    return Run(
        (whole.total_s - asked.total_s) * _MS,
        filtering.total_s * _MS,
        asked.total_s * _MS,
    )


@contextlib.contextmanager
def timed_filter(ours: Any, watch: Stopwatch) -> Iterator[None]:
    """Hold a stopwatch to what our filter does."""
    stock = ours.filter_all

    def timed(states: Any, spec: Any) -> Iterator[Any]:
        with watch.running():
            passed = list(stock(states, spec))
        return iter(passed)

    ours.filter_all = timed
    try:
        yield
    finally:
        del ours.filter_all


@contextlib.contextmanager
def timed_placement(client: Any, asked: Stopwatch) -> Iterator[None]:
    """Hold a stopwatch to all that the scheduler asks of Placement."""
    names = ("get", "put", "post", "delete")
    stock = {name: getattr(client, name) for name in names}

    def timed(name: str) -> Any:
        def ask(*args: Any, **kwargs: Any) -> Any:
            with asked.running():
                return stock[name](*args, **kwargs)

        return ask

    for name in names:
        setattr(client, name, timed(name))
    try:
        yield
    finally:
        for name in names:
            delattr(client, name)
