# SPDX-License-Identifier: Apache-2.0
"""Asks all checks at the right moments, and keeps what they found."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from nova_xen_overcommit.agent.core import Agent
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.exception import AgentRefused
from tests.simulator.guest import SimulatedGuest
from tests.simulator.ledger import Claim, Ledger
from tests.simulator.rules import calls, passes

_SETTLED_KIB = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Violation:
    """A rule that was broken: the check's name, when, and how."""

    check: str
    time_s: float
    text: str

    @property
    def rule(self) -> int:
        """The rule's number in the design."""
        return int(self.check.split("_")[1])

    def __str__(self) -> str:
        return f"{self.time_s:.1f} s: {self.check}: {self.text}"


class Judge:
    """Watches one host and its agents."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._settings: Settings | None = None
        self._report: Mapping[str, Any] | None = None
        self._counted = 0
        self._present: set[int] = set()
        self._spendable_kib = 0
        self._taken_back_kib = 0
        self._growth_kib = 0
        self._before_kib = 0
        self._waiting: list[Claim] = []
        self.broken: list[Violation] = []
        self.calls = 0

    def _note(self, check: str, text: str) -> None:
        if text:
            self.broken.append(Violation(check, self._ledger.now_s, text))

    # Of calls.

    def _call(self, guest: SimulatedGuest, target_kib: int) -> calls.Call:
        assert self._settings is not None, "a call outside of a pass"
        return calls.Call(
            self._ledger,
            self._settings,
            guest,
            self._ledger.record(guest),
            target_kib,
            self._ledger.final_kib(guest),
        )

    def asks(self, guest: SimulatedGuest, target_kib: int) -> None:
        call = self._call(guest, target_kib)
        self._before_kib = call.before_kib
        self._growth_kib = self._ledger.growth_kib(guest, most=True)
        self.calls += 1
        for check in calls.OF_CALLS:
            text = check(call)
            if text:
                self._note(check.__name__, f"{guest.name}: {text}")

    def asked(
        self, guest: SimulatedGuest, target_kib: int, sure: bool
    ) -> None:
        call = self._call(guest, target_kib)
        # What a new agent found is its target only until it asks.
        call = dataclasses.replace(call, before_kib=self._before_kib)
        known, ledger = call.known, self._ledger
        # Without an answer either may come true.
        asked_kib = target_kib if sure else max(target_kib, call.before_kib)
        if not sure:
            known.refused_s = ledger.now_s
        ledger.ask(guest, known, asked_kib)
        growth_kib = ledger.growth_kib(guest, most=True)
        self._taken_back_kib += max(0, self._growth_kib - growth_kib)
        if call.gives:
            known.given_s = ledger.now_s
            known.given_from_kib = call.before_kib
        elif target_kib > call.before_kib:
            # It keeps what it took itself: that is what it had before.
            known.given_from_kib = max(known.given_from_kib, call.before_kib)
        known.retried = known.retried or call.moves
        patience_s = call.settings.progress.uncooperative_after_s
        moved_s = min(known.progress_s, known.rigid_from_s, known.patient_s)
        since_s = max(ledger.now_s - moved_s, known.unseen_s)
        stays = abs(target_kib - guest.actual_kib) <= _SETTLED_KIB
        if stays and known.still_s >= patience_s - 1.0:
            if math.isinf(known.gave_up_s):
                # That was decided when its time was over, maybe long ago.
                lost_s = moved_s + patience_s
                known.gave_up_s = min(lost_s, known.lost_from_s)
            ledger.give_up(known)
        elif stays and since_s >= patience_s - 1.0:
            # Nobody looked for a part of it, or it was so near that this
            # might be where it rests: maybe it was given up, maybe not.
            ledger.give_up(known)
        elif call.moves and (
            math.isfinite(known.gave_up_s) or ledger.may_be_retried(known)
        ):
            # Tried again: it has new patience.
            known.gave_up_s, known.still_s = -math.inf, 0.0
        check = calls.rule_2_granted_out_of_measured_free
        self._note(check.__name__, check(call))

    def refused(self, guest: SimulatedGuest) -> None:
        # It is left alone for a while, whoever it was that refused.
        known, now_s = self._ledger.record(guest), self._ledger.now_s
        known.refused_s = known.troubled_s = now_s

    def died(self, guest: SimulatedGuest) -> None:
        self._ledger.leave(guest, math.inf)

    def prepares(self, guest: SimulatedGuest) -> None:
        call = self._call(guest, guest.target_kib)
        for check in (
            calls.rule_6_frozen_not_touched,
            calls.rule_11_observe_moves_nothing,
        ):
            self._note(check.__name__, check(call))
        self._ledger.prepared.add(guest.domain_id)

    # Of passes.

    def begin_agent(self, agent: Agent) -> None:
        """Judge another agent from now on."""
        self._ledger.begin_agent()
        self._report = None
        self._counted = agent.passes().passes

    def begin_pass(self, settings: Settings) -> None:
        """Take note that a pass begins, with these options."""
        self._settings = self._ledger.settings = settings
        self._ledger.look()
        self._present = set(self._ledger.records)
        self._spendable_kib = self._ledger.spendable_kib(surely=True)
        self._taken_back_kib = 0
        self._waiting = [
            claim
            for claim in self._ledger.claims
            if not claim.reservation.answered.is_set()
        ]

    def end_pass(
        self, agent: Agent, wall_s: float, faulty: bool, escaped: str = ""
    ) -> None:
        """Judge the pass that is over."""
        assert self._settings is not None
        counted = agent.passes()
        done = passes.Pass(
            ledger=self._ledger,
            settings=self._settings,
            wall_s=wall_s,
            report=_report(agent),
            report_before=self._report,
            complaint=counted.complaint,
            faulty=faulty,
            stirred=self._present
            != {guest.domain_id for guest in self._ledger.guests},
            escaped=escaped,
            counted=counted.passes - self._counted,
            spendable_kib=min(self._spendable_kib, self._left_kib()),
            granted=[claim for claim in self._waiting if claim.granted_kib],
        )
        for check in passes.OF_PASSES:
            text = check(done)
            if text:
                self._note(check.__name__, text)
        if done.complaint:
            self._ledger.saw_nothing()
        if not self._settings.moves:
            # Who only observes says yes to all.
            self._ledger.rob()
        self._counted = counted.passes
        self._report = done.report

    def _left_kib(self) -> int:
        """Give what could still be granted of what the pass began with."""
        now_kib = self._ledger.spendable_kib(surely=True)
        return now_kib - self._taken_back_kib


def _report(agent: Agent) -> Mapping[str, Any] | None:
    try:
        return agent.report()
    except AgentRefused:
        return None
