# SPDX-License-Identifier: Apache-2.0
"""What is measured, and how.

All times are CPU times of this process, which is what a scheduler spends;
others on the machine don't count in them. What is compared takes turns, in
changing order, and the median of all rounds is given.
"""

import contextlib
import gc
import json
import statistics
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.filter import cloud
from nova_xen_overcommit import report
from nova_xen_overcommit.scheduler import filters

RIVALS = (
    cloud.FILTER,
    "AggregateInstanceExtraSpecsFilter",
    "ComputeCapabilitiesFilter",
)
NEW_REPORTS = "each report new"
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


def turns(names: list[str], round_number: int) -> list[str]:
    """Give whose turn it is, each beginning now and then."""
    first = round_number % len(names)
    return names[first:] + names[:first]


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
    for number in range(rounds):
        for name in turns(list(found), number):
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
    enabled = {
        "without": others,
        "with": [*others, ours],
        "with_new_reports": [*others, ours],
    }
    found: dict[str, list[float]] = {name: [] for name in enabled}
    asked_ms: list[float] = []
    # Reads what is read once, such as the cells.
    select(made)
    made.report_anew()
    for number in range(rounds):
        for name in turns(list(enabled), number):
            # Before each: reading all hosts makes what comes next slower.
            warm(made, ours)
            if name == "with_new_reports":
                made.report_anew()
            manager.enabled_filters = enabled[name]
            own_ms, placement_ms = select(made)
            found[name].append(own_ms)
            asked_ms.append(placement_ms)
    medians = {name: statistics.median(one) for name, one in found.items()}
    return medians | {"placement": statistics.median(asked_ms)}


def warm(made: cloud.Cloud, ours: Any) -> None:
    """Let the filter see the reports that the hosts have now."""
    passed = list(ours.filter_all(made.host_states(), made.request_spec()))
    assert len(passed) == made.hosts, len(passed)


def select(made: cloud.Cloud) -> tuple[float, float]:
    """Place one instance; give the scheduler's and Placement's CPU ms."""
    spec = made.request_spec()
    whole = Stopwatch()
    asked = Stopwatch()
    client = made.manager.placement_client
    # What was left behind before, as by a warm-up, is nobody's cost here.
    gc.collect()
    with timed_placement(client, asked), whole.running():
        ((selection, *_alternates),) = made.manager.select_destinations(
            made.context,
            spec_obj=spec,
            instance_uuids=[spec.instance_uuid],
            return_objects=True,
            return_alternates=True,
        )
    assert selection.service_host in made.names, selection
    made.forget(spec)
    return (whole.total_s - asked.total_s) * _MS, asked.total_s * _MS


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
