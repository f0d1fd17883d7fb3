# SPDX-License-Identifier: Apache-2.0
"""The play in three acts: stock, overcommit, one guest in need."""

import dataclasses
import time
from collections.abc import Callable

from oslo_config import cfg

from demo import host, rules, stack
from demo.show import Show
from demo.watch import Watch
from nova_xen_overcommit.agent.sensors.scenario import Event, Scenario

# A refusal counts when Nova keeps to it for this long: what was started
# last is still warming up, and the promise rises only when that is over.
_PATIENCE_S = {"observe": 6.0, "overcommit": 20.0}
_ASK_AGAIN_S = 1.0
NEED_WITHIN_S = 30.0
_AFTERWARDS_S = 8.0
_POLL_S = 0.05
_MOST = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """Everything that takes part."""

    nova: stack.Stack
    agent_conf: cfg.ConfigOpts
    watch: Watch
    show: Show
    scenario: Scenario


@dataclasses.dataclass(slots=True)
class Outcome:
    """What came of it; the keys of the RESULT line, and times for the plot.

    ``need_met_s`` is None when the need was not met in time.
    """

    host_mib: int = host.HOST_MIB
    flavor_mib: int = stack.FLAVOR_MIB
    placed_without: int = 0
    placed_with: int = 0
    need_mib: int = 0
    need_met_s: float | None = None
    violations: int = 0
    lost: int = 0
    marks: dict[str, float] = dataclasses.field(default_factory=dict)

    def result(self) -> dict[str, float | None]:
        """Give the RESULT line's object."""
        values = dataclasses.asdict(self)
        del values["marks"]
        return values

    def good(self, least: int, within_s: float) -> bool:
        """Tell whether ``least`` were placed, and all are well.

        The need must have been met ``within_s``.
        """
        return (
            self.placed_with >= least
            and self.need_met_s is not None
            and self.need_met_s <= within_s
            and not self.violations
            and not self.lost
        )


def perform(stage: Stage) -> Outcome:
    """Play all three acts."""
    outcome = Outcome()
    started: list[str] = []
    _act(stage, outcome, "observe", "Act 1: mode = observe, as without us")
    fill(stage.nova, stage.show.say, started, _PATIENCE_S["observe"])
    outcome.placed_without = len(started)
    stage.show.curtain()
    _act(stage, outcome, "overcommit", "Act 2: mode = overcommit")
    fill(stage.nova, stage.show.say, started, _PATIENCE_S["overcommit"])
    outcome.placed_with = len(started)
    stage.show.curtain()
    _need(stage, outcome, stage.scenario.event("need"))
    time.sleep(_AFTERWARDS_S)
    stage.show.curtain()
    outcome.lost = _lost(stage, started)
    outcome.violations = stage.watch.violations
    return outcome


def _act(stage: Stage, outcome: Outcome, mode: str, title: str) -> None:
    stage.show.act(title)
    stage.nova.set_mode(mode)
    stage.agent_conf.set_override("mode", mode, group="xen_overcommit")
    outcome.marks[mode] = time.monotonic() - stage.watch.began_s


def fill(
    nova: stack.Stack,
    say: Callable[[str], None],
    started: list[str],
    patience_s: float,
    settle: Callable[[str], None] = lambda _uuid: None,
) -> None:
    """Ask for instances until Nova refuses and keeps to it.

    ``settle`` waits until one that runs is ready, given its UUID.
    """
    refused_s: float | None = None
    while len(started) < _MOST:
        name = f"guest-{len(started) + 1:02d}"
        uuid, refusal = nova.ask(name)
        now_s = time.monotonic()
        if not refusal:
            started.append(uuid)
            refused_s = None
            say(f"{name} runs")
            settle(uuid)
            continue
        nova.forget(uuid)
        if refused_s is None:
            refused_s = now_s
            say(f"{name} refused: {refusal}")
        elif now_s - refused_s >= patience_s:
            say(f"{name} refused for good: {len(started)} run")
            return
        time.sleep(_ASK_AGAIN_S)


def _need(stage: Stage, outcome: Outcome, event: Event) -> None:
    """Make a guest need memory; measure how long it takes to have it."""
    outcome.need_mib = event.add_kib // host.KIB
    number = min(event.guests)
    before = stage.watch.look()
    guest = before.guests[number - 1]
    stage.show.act(
        f"Act 3: guest-{number:02d} needs {outcome.need_mib} MiB at once"
    )
    wanted_kib = _in_ram_kib(before, guest.uuid) + event.add_kib
    wanted_kib -= 2 * stage.scenario.use_of(number).wave_kib
    stage.scenario.event_file(event).touch()
    began_s = time.monotonic()
    outcome.marks["need"] = began_s - stage.watch.began_s
    while time.monotonic() - began_s < NEED_WITHIN_S:
        if _in_ram_kib(stage.watch.look(), guest.uuid) >= wanted_kib:
            outcome.need_met_s = round(time.monotonic() - began_s, 2)
            stage.show.say(f"it has it after {outcome.need_met_s} s, in RAM")
            return
        time.sleep(_POLL_S)
    stage.show.say(f"it does not have it after {NEED_WITHIN_S:.0f} s")


def _in_ram_kib(moment: rules.Moment, uuid: str) -> int:
    """Give what a guest uses in RAM, by the agent's figures."""
    told = moment.told.get(uuid)
    if told is None or told.used_kib is None:
        return 0
    return told.used_kib - (told.swap_used_kib or 0)


def _lost(stage: Stage, started: list[str]) -> int:
    """Count guests that were started and don't run any more."""
    alive = {guest.uuid for guest in stage.watch.look().guests}
    alive &= set(stage.nova.running())
    return len(set(started) - alive)
