# SPDX-License-Identifier: Apache-2.0
"""Every operation on every kind of guest, while memory moves.

Kinds are tried side by side. Ends with one line RESULT and JSON: what each
operation came to, by kind.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence

from tests.lab import dom0, network_setup, paths, steps
from tests.lab import lab as lab_module
from tests.lab import monitor as lab_monitor
from tests.lab.lifecycle import debian, operations, placing, pressure, record
from tests.lab.lifecycle.subject import Subject, wait_for

PASS = record.PASS
KINDS = ("pv", "pvh", "hvm", debian.IMAGE)
MODE = "overcommit"
# Emulated, nova-compute takes seconds to tell of its resources: as often as
# elsewhere in the lab that would be half of what dom0 does.
_SELDOM = {"DEFAULT": {"update_resources_interval": 40}}
_FLOOR_SHARE = 0.02


@dataclasses.dataclass
class Run:
    """One run on one lab; ``results`` are by kind and operation."""

    lab: lab_module.Lab
    monitor: lab_monitor.Monitor
    results: dict[str, dict[str, str]]

    def one_kind(self, kind: str, only: Sequence[str]) -> None:
        """Try operations on one kind; no failure ends it."""
        subject: Subject | None = None
        number = 0
        for name in only:
            if subject is None:
                number += 1
                subject = self._built(kind, number, name)
            if subject is None:
                continue
            told = self._tried(subject, name, operations.ALL[name])
            self._note(kind, name, told)
            if told != PASS and not self._lives_on(subject):
                self._drop(subject)
                subject = None
        if subject:
            self._drop(subject)

    def _note(
        self, kind: str, name: str, told: str, *, again: bool = True
    ) -> None:
        """Keep what an operation came to, also for who looks meanwhile."""
        if again or name not in self.results[kind]:
            self.results[kind][name] = told
        text = json.dumps(self.results, indent=2)
        (paths.logs() / "lifecycle.json").write_text(text)

    def _built(self, kind: str, number: int, wanted: str) -> Subject | None:
        try:
            subject = self._build(kind, f"{kind}-life-{number}")
        except Exception as error:  # noqa: BLE001 - told in the result
            told = f"fail: {error}"
            subject = None
        else:
            told = PASS
        steps.say(f"{kind}/create: {told}")
        self._note(kind, "create", told, again=False)
        if subject is None:
            self._note(kind, wanted, f"fail: no instance, {told}")
        return subject

    def _build(self, kind: str, name: str) -> Subject:
        options = debian.options() if kind == debian.IMAGE else {}
        guest = placing.place(self.lab, name, kind, options)
        subject = Subject(self.lab, self.monitor, kind, guest)
        try:
            subject.remember()
            if kind == debian.IMAGE:
                subject.run(debian.IS_UP)
            subject.mark = subject.write_mark()
        except Exception:
            self._drop(subject)
            raise
        return subject

    def _tried(
        self, subject: Subject, name: str, operation: Callable[[Subject], None]
    ) -> str:
        began = time.monotonic()
        try:
            moved_mib = self._try(subject, name, operation)
        except Exception as error:  # noqa: BLE001 - told in the result
            told = f"fail: {_short(error)}"
            moved_mib = 0
        else:
            told = PASS
        seconds = time.monotonic() - began
        steps.say(
            f"{subject.kind}/{name}: {told} ({seconds:.0f} s, {moved_mib} MiB"
            " moved)"
        )
        return told

    def _try(
        self, subject: Subject, name: str, operation: Callable[[Subject], None]
    ) -> int:
        """Do it while memory moves; give the MiB that were moved."""
        failures = int(self.lab.dom0.agent_status()["failures"])
        since_s = float(self.lab.ssh("date +%s.%N"))
        pressure.stir(subject)
        operation(subject)
        subject.check_agent(failures)
        domain = subject.guest.domain
        for violation in self.monitor.violations(since_s):
            if violation.startswith(f"{domain} "):
                raise steps.LabError(violation)
        sizes_kib = self.monitor.sizes_kib(domain, since_s)
        return (max(sizes_kib) - min(sizes_kib)) // 1024 if sizes_kib else 0

    def _lives_on(self, subject: Subject) -> bool:
        """Whether an instance can serve for the next operation, too."""
        try:
            subject.guest.run("true", timeout_s=60)
            subject.remember()
            subject.mark = subject.write_mark()
            return subject.status() == "ACTIVE"
        except Exception:  # noqa: BLE001 - then it is built anew
            return False

    def _drop(self, subject: Subject) -> None:
        """Delete what is left of an instance; best effort."""
        try:
            self.lab.nova.delete(subject.uuid)
            wait_for(
                "deletion",
                lambda: (
                    subject.uuid
                    not in {x["id"] for x in self.lab.nova.servers()}
                ),
                300,
            )
        except Exception as error:  # noqa: BLE001 - the next is tried anyway
            steps.say(f"{subject.guest.name} is left behind: {error}")


def _short(error: Exception) -> str:
    text = " ".join(f"{error}".split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:200]} … {text[-100:]}"


def play(
    lab: lab_module.Lab,
    wanted: Mapping[str, Sequence[str]],
    results: dict[str, dict[str, str]],
) -> None:
    """Try what is wanted of each kind; fill in what each came to.

    ``results`` are by kind and operation.
    """
    kinds = list(wanted)
    _prepare(lab, kinds)
    monitor = lab_monitor.Monitor(lab.host, _FLOOR_SHARE)
    results.update({kind: {} for kind in kinds})
    run = Run(lab, monitor, results)
    try:
        with (
            pressure.neighbours(lab),
            concurrent.futures.ThreadPoolExecutor(len(kinds)) as pool,
        ):
            tried = [
                pool.submit(run.one_kind, kind, names)
                for kind, names in wanted.items()
            ]
            for one in tried:
                one.result()
    finally:
        monitor.close()


def _prepare(lab: lab_module.Lab, kinds: Sequence[str]) -> None:
    overrides: dict[str, Mapping[str, object]] = dict(_SELDOM)
    if debian.IMAGE in kinds:
        debian.prepare(lab)
        overrides |= debian.OVERRIDES
    lab.dom0.configure(MODE, overrides)
    lab.dom0.reload(dom0.AGENT)
    lab.restart_compute()
    lab.nova.delete_all(300, paths.logs() / "dom0.log")
    lab.control().start_volumes()
    network_setup.start(lab)
    flavors = lab.nova.call("nova", "GET", "/flavors")["flavors"]
    if operations.LARGER not in {flavor["id"] for flavor in flavors}:
        lab.nova.make_flavor(
            operations.LARGER, operations.LARGER_MIB, lab_module.FLAVOR_MIB
        )


def _wanted(
    kinds: Sequence[str], *, missing: bool
) -> dict[str, Sequence[str]]:
    if not missing:
        return {kind: record.operations_of(kind) for kind in kinds}
    before = record.recorded()
    return {kind: record.missing(before, kind) for kind in kinds}


def main(arguments: Sequence[str]) -> int:
    """Try all on the lab that is up, or on one of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab lifecycle")
    parser.add_argument("kind", nargs="*", help=f"some of {', '.join(KINDS)}")
    parser.add_argument(
        "--record",
        action="store_true",
        help="keep the results for the documentation's support matrix",
    )
    parser.add_argument(
        "--missing",
        action="store_true",
        help="try only what isn't recorded as passed yet",
    )
    told = parser.parse_args(arguments)
    if unknown := set(told.kind) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    wanted = _wanted(told.kind or KINDS, missing=told.missing)
    results: dict[str, dict[str, str]] = {}
    with lab_module.Lab.borrowed() as lab:
        try:
            play(lab, wanted, results)
        finally:
            # Also of a run that was ended: each outcome is one.
            if told.record:
                record.save(lab, KINDS, results)
    flat = {
        f"{kind}/{name}": outcome
        for kind, tried in results.items()
        for name, outcome in tried.items()
    }
    print("RESULT", json.dumps(flat))
    return 0 if set(flat.values()) == {PASS} else 1
