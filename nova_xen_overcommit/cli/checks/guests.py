# SPDX-License-Identifier: Apache-2.0
"""Whether each guest can be ballooned, and swaps itself in need."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from nova_xen_overcommit.cli import printable
from nova_xen_overcommit.cli.checks.site import Site
from nova_xen_overcommit.cli.checks.verdicts import (
    Code,
    Result,
    fine,
    not_judged,
    warning,
)

_PUBLISHER = (
    "Install the publisher in the guest (on QEMU: see that its balloon "
    "driver runs), or let probe_silent_guests watch it from outside"
)
_NO_SWAP = (
    "no swap disk, and require_guest_swap is set: nothing is ever taken "
    "from it, so that it needs none"
)
_FOREIGN = "not Nova's: all of its memory is left out of what is promised"
_ELSEWHERE = (
    "If it isn't meant to be on this host, move it away; Nova places less "
    "here for its sake"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Guest:
    """A guest by what libvirt and the agent know of it.

    ``exempt`` is why it is never ballooned, "" if it may be; ``foreign``:
    Nova didn't make it. ``told`` is what the agent knows, None where it
    doesn't.
    """

    name: str
    uuid: str
    exempt: str
    swap_mib: int
    foreign: bool
    told: Mapping[str, Any] | None


def of(site: Site) -> list[Guest] | None:
    """Give all running guests; None where nobody knows them."""
    known = {}
    if site.agent is not None:
        known = {one["uuid"]: one for one in site.agent["guests"]}
    seen = [] if site.hypervisor is None else site.hypervisor.guests
    if site.agent is None and site.hypervisor is None:
        return None
    found = {
        one.uuid: Guest(
            name=printable.clean(one.name),
            uuid=printable.clean(one.uuid),
            exempt=printable.clean(one.exempt),
            swap_mib=one.swap_kib // 1024,
            foreign=one.foreign,
            told=known.get(one.uuid),
        )
        for one in seen
    }
    for uuid, one in known.items():
        if uuid not in found:
            found[uuid] = Guest(
                name=one["name"],
                uuid=uuid,
                exempt=one["exempt"],
                swap_mib=one["swap_disk_mib"],
                foreign=one["foreign"],
                told=one,
            )
    return sorted(found.values(), key=lambda guest: guest.name)


def checks(site: Site) -> Iterable[tuple[str, Result]]:
    """Give a check of all guests, and one for each that stands out."""
    found = of(site)
    if found is None:
        yield "Guests", not_judged("neither libvirt nor the agent answers")
        return
    swap = site.conf is None or site.conf.xen_overcommit.require_guest_swap
    results = [(guest, judged(guest, swap)) for guest in found]
    plain = [guest.name for guest, result in results if result is None]
    yield (
        "Guests",
        fine(
            f"{len(plain)} of {len(found)} can be ballooned, and nothing "
            "stands out" + (f": {', '.join(plain)}" if plain else "")
        ),
    )
    for guest, result in results:
        if result is not None:
            yield f"Guest {guest.name} ({guest.uuid})", result


def judged(guest: Guest, require_swap: bool) -> Result | None:
    """Judge one guest; None when nothing stands out."""
    if guest.foreign:
        return _foreign(guest)
    if guest.exempt:
        if "no balloon device" in guest.exempt:
            return warning(
                f"never ballooned: {guest.exempt}",
                "Rebuild or hard-reboot it with a balloon device",
            )
        return fine(f"never ballooned: {guest.exempt}")
    faults = list(_faults(guest, require_swap))
    if not faults:
        return None
    advice = ". ".join(dict.fromkeys(advice for _text, advice in faults))
    return warning("; ".join(text for text, _advice in faults), advice)


def _foreign(guest: Guest) -> Result:
    # It has no flavor that could be given swap, and no image to mend.
    text = f"{_FOREIGN}; never ballooned: {guest.exempt}"
    return warning(text if guest.exempt else _FOREIGN, _ELSEWHERE)


def _faults(guest: Guest, require_swap: bool) -> Iterable[tuple[str, str]]:
    told = guest.told
    if told is not None and told["state"] in ("stuck", "uncooperative"):
        text = "{state}: it doesn't follow its target of {target_mib} MiB, "
        text += "it has {actual_mib}"
        yield text.format(**told), "See whether its balloon driver runs"
    if told is not None and told["silent"] and not told["probed"]:
        age_s = told["sample_age_s"]
        since = "never spoke" if age_s is None else f"silent for {age_s:.0f} s"
        yield f"{since}: nothing is taken from it", _PUBLISHER
    if require_swap and not guest.swap_mib:
        yield _NO_SWAP, "Give its flavor as much swap as memory"


def eligible(site: Site) -> list[dict[str, Any]]:
    """Give each guest for programs."""
    swap = site.conf is None or site.conf.xen_overcommit.require_guest_swap
    rows = []
    for guest in of(site) or ():
        result = judged(guest, swap)
        rows.append(
            {
                "name": guest.name,
                "uuid": guest.uuid,
                "balloon": not guest.exempt,
                "foreign": guest.foreign,
                "swap_disk_mib": guest.swap_mib,
                "state": guest.told and guest.told["state"],
                "result": (
                    Code.SUCCESS if result is None else result.code
                ).name.lower(),
                "details": "" if result is None else result.details,
            }
        )
    return rows
