#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Tell each second what every guest has; runs in dom0.

One JSON object a line: {"t_s", "free_kib", "guests": {name: [state,
max_kib, actual_kib, domain's number]}}.
"""

import json
import time
from typing import Any

import libvirt


def sample(connection: libvirt.virConnect) -> dict[str, Any]:
    guests = {}
    for domain in connection.listAllDomains(
        libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
    ):
        if domain.ID():
            try:
                guests[domain.name()] = [*domain.info()[:3], domain.ID()]
            except libvirt.libvirtError:
                continue
    free_kib = connection.getFreeMemory() >> 10
    return {"t_s": time.time(), "free_kib": free_kib, "guests": guests}


def main() -> None:
    connection = libvirt.open("xen:///system")
    while True:
        print(json.dumps(sample(connection)), flush=True)
        time.sleep(1)


if __name__ == "__main__":
    main()
