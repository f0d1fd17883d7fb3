# SPDX-License-Identifier: Apache-2.0
"""What must not harm: Nova gone, the agent gone, guests that lie.

Each act gives the faults it found, in words; none means it held.
"""

import contextlib
import time
from collections.abc import Iterator

from tests.lab import demo as lab_demo
from tests.lab import dom0, openstack_conf, processes, servers, steps
from tests.lab import guests as lab_guests
from tests.lab import lab as lab_module

# What an honest guest needs among liars, one of which is busy swapping: more
# than it has by then.
_HONEST_MIB = 450
# Of a processor. Each liar takes all it gets of that: three without a cap
# leave the honest guest so little that it can't even use what it was given.
_LIAR_PERCENT = 5
_KEY = "data/nova_xen_overcommit"
_IDLE = (
    "v=1 seq=$n mem_total_kib=900000 mem_available_kib=890000"
    " swap_total_kib=1048572 swap_free_kib=1048572"
)
_BUSY = (
    "v=1 seq=$n mem_total_kib=900000 mem_available_kib=0"
    " swap_total_kib=1048572 swap_free_kib=0 swap_in_kib=$((n * 999999))"
)
# Xenstore takes 4 KiB at most, so a value of 1 MB comes in as many writes
# that are refused, and one of the largest that is not.
_GARBAGE = (
    "xenstore-write {key} \"$(head -c 3000 /dev/urandom | tr '\\0' x)\";"
    " xenstore-write {key} 'v=1 seq=$n mem_total_kib=-1';"
    " xenstore-write {key} 'v=1 seq=$n';"
    " xenstore-write {key} \"$(head -c 1000000 /dev/zero | tr '\\0' 9)\";"
    " xenstore-rm {key};"
    " xenstore-write data/meminfo_total 99999999999999999999"
    " data/meminfo_free -7"
)


@contextlib.contextmanager
def nova_gone(lab: lab_module.Lab) -> Iterator[None]:
    """Stop nova-compute, message bus and database; start them again.

    Nobody waits for nova-compute in the end, which takes its time.
    """
    lab.dom0.stop(dom0.COMPUTE)
    for name in ("rabbitmq", "mariadb"):
        processes.stop_server(name)
    steps.say("nova-compute, RabbitMQ and MariaDB are stopped")
    try:
        yield
    finally:
        plane = lab.control()
        servers.start_rabbitmq(lab.settings)
        plane.restart_database()
        servers.wait("rabbitmq", lab.settings.ports["rabbitmq"])
        lab.start_compute()
        steps.say("RabbitMQ and MariaDB run again, nova-compute starts")


def without_the_agent(demo: lab_demo.Demo) -> list[str]:
    """Stop the agent: Nova places nothing beyond physical memory.

    The same instance is asked for again with the agent there, which shows
    that it was refused for want of the agent.
    """
    demo.lab.dom0.stop(dom0.AGENT)
    age_s = openstack_conf.REPORT_MAX_AGE_S
    steps.say(f"agent stopped; its report is old after {age_s} s")
    time.sleep(age_s)
    faults = []
    if demo.place({"pv-without-agent": "pv"}):
        faults.append("placed beyond physical memory without the agent")
    demo.lab.dom0.restart(dom0.AGENT)
    steps.say("agent runs again")
    if not demo.place_patiently("pv-with-agent", "pv", 300):
        faults.append("the agent's return does not let Nova place again")
    return faults


def _lie(
    demo: lab_demo.Demo, guest: lab_guests.Guest, writing: str, pause_s: float
) -> None:
    """Let a guest's publisher be replaced by a liar."""
    guest.run(
        f"{lab_guests.STOP_PUBLISHER}"
        f" (n=1000000; while :; do n=$((n + 1)); {writing};"
        f" usleep {int(pause_s * 1e6)}; done) >/dev/null 2>&1 & true"
    )
    demo.lab.dom0.cap(guest.domain, _LIAR_PERCENT)


def liars(demo: lab_demo.Demo) -> list[str]:
    """Let three guests lie; one that doesn't must get what it needs.

    Nova has no part in it, and would take processor time that guests lack.
    """
    idle, busy, mad, honest = demo.pv_guests()[:4]
    with nova_gone(demo.lab):
        _start_lying(demo, idle, busy, mad)
        return _need_among_liars(demo, honest)


def _start_lying(
    demo: lab_demo.Demo,
    idle: lab_guests.Guest,
    busy: lab_guests.Guest,
    mad: lab_guests.Guest,
) -> None:
    idle.eat(lab_demo.NEED_MIB, lab_demo.WANT_PAUSE_MS)
    _lie(demo, idle, f'xenstore-write {_KEY} "{_IDLE}"', 0.2)
    _lie(demo, busy, f'xenstore-write {_KEY} "{_BUSY}"', 0.2)
    _lie(demo, mad, _GARBAGE.format(key=_KEY), 0.0)
    steps.say(
        f"{idle.name} is busy and says idle, {busy.name} is idle and says"
        f" busy, {mad.name} writes garbage without end"
    )


def _need_among_liars(
    demo: lab_demo.Demo, honest: lab_guests.Guest
) -> list[str]:
    before = demo.lab.dom0.agent_status()
    faults = []
    try:
        demo.need(honest, _HONEST_MIB)
    except steps.LabError as error:
        faults.append(f"among liars: {error}")
    honest.stop_eating()
    after = demo.lab.dom0.agent_status()
    if after["failures"] != before["failures"]:
        faults.append(f"passes failed: {after['complaint']}")
    if after["passes"] <= before["passes"]:
        faults.append("the agent made no pass")
    return faults


def reboot(demo: lab_demo.Demo, guest: lab_guests.Guest) -> list[str]:
    """Let a guest reboot by itself, which Xen makes a new domain of."""
    before = guest.boot_id()
    demo.forget(guest)
    guest.reboot()
    try:
        guest.wait_booted(before)
    except lab_guests.GuestError as error:
        return [f"{error}"]
    steps.say(f"{guest.name} is back from its reboot")
    return []


def play(demo: lab_demo.Demo) -> list[str]:
    """Play all; the liars last, who are of no use later."""
    demo.lab.wait_for_compute()
    faults = without_the_agent(demo)
    faults += reboot(demo, demo.pv_guests()[1])
    demo.remember()
    return faults or liars(demo)
