# SPDX-License-Identifier: Apache-2.0
"""The worked example of sizing, replayed: promise, flavors, demand."""

import io
import runpy
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from nova_xen_overcommit.whatif import read, simulation

_EXAMPLE = Path("../examples/example_trace.py")
_HOST_GIB = 32.0


def replay() -> dict[str, Any]:
    """Give the figures of `simulate --host-gib 32`."""
    text = io.StringIO()
    with redirect_stdout(text):
        runpy.run_path(str(_EXAMPLE), run_name="__main__")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "trace.csv"
        path.write_text(text.getvalue())
        trace = read.read(path)
    question = simulation.Question(host_gib=_HOST_GIB)
    return simulation.simulate(trace, question)


def draw() -> None:
    """Draw them."""
    promise = replay()["promise"]
    series = promise["over_time"]
    days = [time_s / 86400 for time_s in series["time_s"]]
    usable = [n * promise["usable_mib_per_host"] for n in series["hosts"]]
    _figure, axes = plt.subplots(figsize=(9, 4))
    for label, figures_mib, style in (
        ("promised", series["promise_mib"], "C2-"),
        ("flavors placed", series["committed_mib"], "C1-"),
        ("memory of the hosts", usable, "k:"),
        ("demand, with head room", series["demand_mib"], "C3-"),
        ("used", series["used_mib"], "C0-"),
    ):
        axes.plot(
            days, [mib / 1024 for mib in figures_mib], style, label=label
        )
    axes.set(
        title="The example, on two hosts",
        xlabel="days", ylabel="GiB", ylim=(0, None),
    )  # fmt: skip
    axes.legend(loc="upper left")


draw()
