#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Move one guest's memory and time it; runs in dom0.

    grow.py GUEST shrink MIB    set its target, wait until it is there
    grow.py GUEST bare MIB      grow it by a plain setMemory
    grow.py GUEST need MIB      let it publish a need, so that the agent does

Growing prints one JSON object: seconds from setMemory, or from the
publication of the need, to the first memory ("first_s") and to all of it
("full_s"), and the MiB a second between these two ("mib_s").
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable

import libvirt

TIMEOUT_S = 180
# For so long the guest says that it is idle before it is in need.
CALM_S = 20
PERIOD_S = 1.0
# What a 1 GiB PV guest's kernel holds outside of MemTotal.
UNMANAGED_KIB = 67 << 10
# A balloon rests some pages beside its target.
NEAR_KIB = 2 << 10


class Publisher:
    """Writes in the guest's stead what its publisher would."""

    def __init__(self, domain: libvirt.virDomain) -> None:
        self._domain = domain
        self._path = f"/local/domain/{domain.ID()}/data/nova_xen_overcommit"
        # Above what the guest's own publisher has ever counted.
        self._seq = int(time.time())
        self._next_s = 0.0

    def tell(self, available_share: float) -> None:
        """Write a line if one is due."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + PERIOD_S
        self._seq += 1
        total_kib = self._domain.info()[2] - UNMANAGED_KIB
        line = (
            f"v=1 seq={self._seq} mem_total_kib={total_kib}"
            f" mem_available_kib={int(total_kib * available_share)}"
            " swap_total_kib=1048572 swap_free_kib=1048572"
        )
        subprocess.run(["xenstore-write", self._path, line], check=True)


def watch(
    domain: libvirt.virDomain,
    reached: Callable[[int], bool],
    meanwhile: Callable[[], None] = lambda: None,
) -> tuple[int, float]:
    """Wait for what the guest has; give that in KiB, and when."""
    end_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end_s:
        actual_kib = domain.info()[2]
        now_s = time.monotonic()
        if reached(actual_kib):
            return actual_kib, now_s
        meanwhile()
        time.sleep(0.02)
    sys.exit(f"{domain.name()} has {domain.info()[2]} KiB after {TIMEOUT_S} s")


def time_growth(
    domain: libvirt.virDomain,
    goal_kib: int,
    begin: Callable[[], None],
    meanwhile: Callable[[], None],
) -> dict[str, float]:
    before_kib = domain.info()[2]
    start_s = time.monotonic()
    begin()
    first_kib, first_s = watch(domain, lambda x: x > before_kib, meanwhile)
    full_kib, full_s = watch(
        domain, lambda x: x >= goal_kib - NEAR_KIB, meanwhile
    )
    rate = (full_kib - first_kib) / 1024 / max(full_s - first_s, 1e-3)
    return {
        "first_s": round(first_s - start_s, 3),
        "full_s": round(full_s - start_s, 3),
        "mib_s": round(rate, 1),
    }


def main() -> None:
    guest, what, mib = sys.argv[1:]
    goal_kib = int(mib) << 10
    domain = libvirt.open("xen:///system").lookupByName(guest)
    if what == "shrink":
        domain.setMemory(goal_kib)
        watch(domain, lambda x: x <= goal_kib + NEAR_KIB)
        return
    publisher = Publisher(domain)

    def need() -> None:
        publisher.tell(0.0)

    if what == "bare":
        # Publishes too, to nobody: emulated, that alone costs much time.
        told = time_growth(
            domain, goal_kib, lambda: domain.setMemory(goal_kib), need
        )
    else:
        calm_until_s = time.monotonic() + CALM_S
        watch(
            domain,
            lambda _: time.monotonic() > calm_until_s,
            lambda: publisher.tell(0.8),
        )
        told = time_growth(domain, goal_kib, need, need)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
