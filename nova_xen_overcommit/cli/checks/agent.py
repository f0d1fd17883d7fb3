# SPDX-License-Identifier: Apache-2.0
"""Checks of the agent and its socket."""

import os
import pwd
import stat
from collections.abc import Sequence

from nova_xen_overcommit.cli.checks import site as sites
from nova_xen_overcommit.cli.checks.site import Site
from nova_xen_overcommit.cli.checks.verdicts import (
    Result,
    failure,
    fine,
    not_judged,
    warning,
)

_UNIT = "nova-xen-overcommit-agent.service"
# A pass may take seconds where libvirt is slow.
_LATE_S = 15.0


def reachable(site: Site) -> Result:
    """See that the agent answers."""
    if site.agent is None:
        return failure(
            site.agent_fault,
            f"Look at journalctl -u {_UNIT}",
        )
    told = site.agent["host"]
    if not told:
        return failure(
            "the agent answers, but no pass has succeeded: "
            + (site.agent["agent"]["complaint"] or "it has just begun"),
            f"Look at journalctl -u {_UNIT}",
        )
    version = site.agent["agent"]["versions"].get("nova_xen_overcommit", "")
    return fine(
        f"release {version}, mode {told['mode']}, host {told['state']}, on "
        f"{told['hypervisor']}"
    )


def heartbeat(site: Site) -> Result:
    """See that passes come, and succeed."""
    if site.agent is None:
        return not_judged(sites.NO_AGENT)
    passes = site.agent["agent"]
    ended_s, good_s = passes["heartbeat_age_s"], passes["pass_ago_s"]
    tick_s = site.conf.xen_overcommit.tick_interval_s if site.conf else 0
    advice = f"See journalctl -u {_UNIT}, and whether libvirt hangs"
    if ended_s is None or ended_s > _LATE_S + tick_s:
        age = "none ever" if ended_s is None else f"{ended_s:.0f} s old"
        return failure(f"the heartbeat is {age}", advice)
    if passes["complaint"]:
        age = "none did" if good_s is None else f"one did {good_s:.0f} s ago"
        return failure(
            f"the last pass failed, {age}: {passes['complaint']}", advice
        )
    return fine(
        f"{ended_s} s old; {passes['failures']} of {passes['passes']} passes "
        f"failed, one takes {1000 * passes['pass_s']:.0f} ms"
    )


def sensors(site: Site) -> Result:
    """See that guests' figures can be read."""
    told = site.agent and site.agent["host"]
    if not told:
        return not_judged(sites.NO_AGENT)
    failing = told["failing_sensors"]
    if failing:
        return warning(
            f"sensors fail: {', '.join(failing)}",
            f"See journalctl -u {_UNIT}; guests are left alone meanwhile",
        )
    return fine("all sensors can be read")


def socket(site: Site) -> Result:
    """See that nova-compute may ask at the socket."""
    path = site.socket
    try:
        found = path.stat()
    except PermissionError as error:
        return failure(str(error), "Let others enter its directory: mode 755")
    except OSError as error:
        return not_judged(f"there is no socket: {error}")
    if not stat.S_ISSOCK(found.st_mode):
        return failure(
            f"{path} is no socket",
            "Remove it, and start the agent anew",
        )
    closed = _closed(path.parent)
    if found.st_mode & 0o666 != 0o666 or closed:
        what = closed or f"{path} has mode {found.st_mode & 0o777:o}"
        return failure(
            f"{what}: nova-compute can't ask",
            f"Restart {_UNIT}, which makes it open; who is let in is decided "
            "by [xen_overcommit] agent_users",
        )
    return _users(site)


def _closed(directory: os.PathLike[str]) -> str:
    mode = os.stat(directory).st_mode  # noqa: PTH116
    return "" if mode & 0o005 == 0o005 else f"{directory} is closed to others"


def _users(site: Site) -> Result:
    if site.conf is None:
        return not_judged("no configuration was read")
    names = site.conf.xen_overcommit.agent_users
    unknown = [name for name in names if not _exists(name)]
    if len(unknown) == len(names):
        return warning(
            "of [xen_overcommit] agent_users there is none here: "
            f"{', '.join(names) or 'it is empty'}; only root may ask",
            "Name the user that nova-compute runs as",
        )
    return fine(f"{site.socket} lets in root, {_list(names, unknown)}")


def _list(names: Sequence[str], unknown: Sequence[str]) -> str:
    return ", ".join(
        f"{name} (not known here)" if name in unknown else name
        for name in names
    )


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
