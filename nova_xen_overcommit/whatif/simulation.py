# SPDX-License-Identifier: Apache-2.0
"""From an operator's question to a replay's figures and files."""

import dataclasses
import json
import sys
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oslo_config import cfg

from nova_xen_overcommit import conf as options
from nova_xen_overcommit import exception, plugins
from nova_xen_overcommit.agent.hypervisor import kinds
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.scheduler import admission
from nova_xen_overcommit.whatif import figures
from nova_xen_overcommit.whatif.fleet import OS_TYPE, VCPUS, Shape
from nova_xen_overcommit.whatif.replay import Replay, Wishes
from nova_xen_overcommit.whatif.trace import Trace

_KIB_PER_MIB = 1024
_KIB_PER_GIB = 1024 * 1024
_DAY_S = 86400.0
# A common size of hosts.
_USUAL_GIB = 256
# Who is there when the trace begins comes within this part of it.
_FILL_SHARE = 1 / 3
_MOST_FILL_DAYS = 7.0
# How a configuration's options are called on the command line.
_OPTIONS = {"risk": "--risk", "host_reserved_mib": "--kept-mib"}


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked; None takes what the configuration says.

    ``host_gib`` None: a usual size, doubled until the largest guest fits.
    """

    host_gib: float | None = None
    predictor: str | None = None
    risk: float | None = None
    kept_mib: int | None = None
    guest_swap_share: float = 1.0
    fill_days: float | None = None
    seed: int = 1
    config_files: Sequence[str] = ()


def configured(question: Question) -> cfg.ConfigOpts:
    """Give all options: defaults, the files given, and what is asked.

    :raises InvalidConfiguration: a value can't be.
    :raises cfg.Error: a file can't be read.
    """
    conf = cfg.ConfigOpts()
    options.register_opts(conf)
    conf(
        [],
        project="nova",
        default_config_files=list(question.config_files),
        default_config_dirs=[],
    )
    asked = {
        "predictor": question.predictor,
        "risk": question.risk,
        "host_reserved_mib": question.kept_mib,
        "mode": "overcommit",
    }
    for name, value in asked.items():
        if value is not None:
            try:
                conf.set_override(name, value, options.GROUP.name)
            except ValueError as error:
                raise exception.InvalidConfiguration(
                    f"{_OPTIONS.get(name, name)} {value}: {error}"
                ) from None
    options.check(conf)
    return conf


def simulate(
    trace: Trace,
    question: Question,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Replay a trace; give the figures, ready for JSON.

    :raises OvercommitError: the question can't be answered; the option is
        named.
    """
    conf = configured(question)
    own = conf.xen_overcommit
    settings = Settings.of(conf)
    shape = _shape(question, own, int(trace.sizes_kib.max()))
    wishes = _wishes(question, trace)
    replay = Replay(
        trace,
        shape,
        settings,
        plugins.load_predictor(own.predictor, own.risk),
        admission.Limits(own.report_max_age_s, own.clock_skew_s),
        wishes,
    )
    played = replay.run(progress)
    asked = {
        "predictor": own.predictor,
        "risk": own.risk,
        "host_gib": shape.physical_kib / _KIB_PER_GIB,
        "kept_mib": shape.kept_kib // _KIB_PER_MIB,
        "reserve_mib": own.reserve_mib,
        "max_overcommit_ratio": own.max_overcommit_ratio,
        "require_guest_swap": own.require_guest_swap,
        "guest_swap_share": question.guest_swap_share,
        "history_s": own.history_s,
        "warm_up_s": own.warm_up_s,
        "fill_days": round(wishes.fill_s / _DAY_S, 3),
        "seed": question.seed,
    }
    found = figures.figures(trace, replay.fleet, shape, played)
    return {"asked": asked, **found}


def _shape(
    question: Question, own: cfg.ConfigOpts.GroupAttr, largest_kib: int
) -> Shape:
    kept_mib = own.host_reserved_mib
    kept_kib = (
        kinds.DEFAULT_KEPT_KIB if kept_mib is None else kept_mib * _KIB_PER_MIB
    )
    scheme = urllib.parse.urlsplit(own.connection_uri).scheme
    kind = kinds.of(scheme.partition("+")[0])
    least_kib = kept_kib + own.reserve_mib * _KIB_PER_MIB
    if question.host_gib is None:
        physical_kib = _USUAL_GIB * _KIB_PER_GIB
        overhead_kib = kind.overhead_kib(largest_kib, VCPUS, OS_TYPE)
        while physical_kib < least_kib + largest_kib + overhead_kib:
            physical_kib *= 2
    else:
        physical_kib = int(question.host_gib * _KIB_PER_GIB)
    if physical_kib <= least_kib:
        raise exception.CannotReplay(
            f"--host-gib {question.host_gib:g}: no more than what the host "
            f"keeps and the reserve, {least_kib // _KIB_PER_MIB} MiB"
        )
    return Shape(physical_kib, kept_kib, kind.overhead_kib)


def _wishes(question: Question, trace: Trace) -> Wishes:
    days = trace.steps * trace.step_s / _DAY_S
    fill_days = question.fill_days
    if fill_days is None:
        fill_days = min(_MOST_FILL_DAYS, days * _FILL_SHARE)
    return Wishes(
        fill_s=fill_days * _DAY_S,
        seed=question.seed,
        swap_share=question.guest_swap_share,
    )


def write(directory: Path, result: dict[str, Any]) -> list[Path]:
    """Write JSON, pictures and the page; give the files.

    :raises CannotReplay: they can't be written.
    """
    # Needs matplotlib, which nothing else does.
    from nova_xen_overcommit.whatif import page, plots

    pictures = plots.pictures(result)
    contents = {
        "result.json": f"{json.dumps(result, indent=1)}\n".encode(),
        **{f"{name}.png": png for name, png in pictures.items()},
        "report.html": page.page(result, pictures).encode(),
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (directory / name).write_bytes(content)
    except OSError as error:
        raise exception.CannotReplay(
            f"--output {directory}: {error.strerror}"
        ) from None
    return [directory / name for name in contents]


@contextmanager
def progress_bar(steps: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal's stderr; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=sys.stderr)
    with Progress(
        console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("Replaying", total=steps)
        yield lambda done: bar.update(task, completed=done)
