# SPDX-License-Identifier: Apache-2.0
"""Checks of a compute node's configuration and hypervisor."""

from collections.abc import Mapping
from typing import Any

from nova_xen_overcommit.agent import room
from nova_xen_overcommit.cli.checks import site as sites
from nova_xen_overcommit.cli.checks.site import Site
from nova_xen_overcommit.cli.checks.verdicts import (
    Result,
    failure,
    fine,
    not_judged,
    warning,
)

DRIVER = "xen_overcommit.XenOvercommitDriver"
_KIB_PER_MIB = 1024
# Less than this is no room to grow.
_SLACK_KIB = 16 * 1024
# Each kind of guests by the schemes of its URIs.
_SCHEMES = {"xen": ("xen",), "kvm": ("qemu",), "qemu": ("qemu",)}
_EMBEDDED = "test"


def driver(site: Site) -> Result:
    """See that nova-compute uses our driver."""
    if site.conf is None:
        return not_judged(sites.NO_CONF)
    found = site.conf.compute_driver
    if found == DRIVER:
        return fine(f"compute_driver = {DRIVER}")
    return failure(
        f"compute_driver is {found or 'not set'}: this host reports nothing "
        "to the scheduler, and no start asks the agent for memory",
        f"Set compute_driver = {DRIVER} and run nova-xen-overcommit-compute "
        "instead of nova-compute",
    )


def ram_ratio(site: Site) -> Result:
    """See that no constant bounds what the agent promises."""
    if site.conf is None:
        return not_judged(sites.NO_CONF)
    ratio = site.conf.ram_allocation_ratio
    if not ratio:
        return fine("ram_allocation_ratio is not set")
    text = f"ram_allocation_ratio = {ratio:g} is set: an upper bound"
    told = site.agent and site.agent["host"]
    if told:
        text += f", where the agent promises {told['ratio']:.2f}"
    return warning(text, "Unset it to let the agent decide")


def reserved_memory(site: Site) -> Result:
    """See that something is left for guests, by the agent and by Nova."""
    if site.conf is None:
        return not_judged(sites.NO_CONF)
    told = site.agent and site.agent["host"]
    if not told:
        return not_judged(sites.NO_AGENT)
    if not room.is_left(told["usable_mib"], told["reserve_mib"]):
        return _nothing_left(told)
    reserved_mib = site.conf.reserved_host_memory_mb
    kept_mib = told["physical_mib"] - told["usable_mib"]
    text = (
        f"Nova reserves {reserved_mib} MiB for the host, by the agent's "
        f"account it keeps {kept_mib}"
    )
    if reserved_mib > kept_mib and told["mode"] != "overcommit":
        return warning(
            f"{text}: {reserved_mib - kept_mib} MiB that guests could have "
            "are left out",
            f"Set reserved_host_memory_mb = {kept_mib}, or host_reserved_mib "
            "to the same",
        )
    return fine(text)


def _nothing_left(told: Mapping[str, Any]) -> Result:
    return failure(
        f"guests may have {told['usable_mib']} of the host's "
        f"{told['physical_mib']} MiB, and the reserve is "
        f"{told['reserve_mib']}: no guest is given anything",
        "Lower host_reserved_mib or reserve_mib",
    )


def mode(site: Site) -> Result:
    """See that driver and agent go equally far."""
    if site.conf is None:
        return not_judged(sites.NO_CONF)
    configured = site.conf.xen_overcommit.mode
    if site.agent is None:
        if configured == "observe":
            return fine("mode = observe, without an agent")
        return failure(
            f"mode = {configured} without an agent: nothing is promised "
            "beyond what is physically there",
            "Start nova-xen-overcommit-agent.service",
        )
    told = site.agent["host"]
    if not told:
        return not_judged("no pass of the agent has succeeded yet")
    if told["mode"] != configured:
        return warning(
            f"the files say mode = {configured}, the agent runs in "
            f"{told['mode']}; the more careful holds",
            "Let the agent read it again: systemctl reload "
            "nova-xen-overcommit-agent.service",
        )
    return fine(f"mode = {configured}")


def connection(site: Site) -> Result:
    """See that Nova and the agent speak of the same hypervisor."""
    if site.conf is None:
        return not_judged(sites.NO_CONF)
    ours = site.conf.xen_overcommit.connection_uri
    kind = site.conf.libvirt.virt_type
    novas = site.conf.libvirt.connection_uri
    scheme = ours.partition(":")[0].partition("+")[0]
    if scheme == _EMBEDDED:
        return not_judged(f"{ours} is libvirt's embedded hypervisor")
    if scheme not in _SCHEMES.get(kind, ()):
        wanted = _SCHEMES.get(kind, ("xen", "qemu"))[0]
        return failure(
            f"[libvirt] virt_type = {kind}, but [xen_overcommit] "
            f"connection_uri = {ours}",
            f"Set virt_type to what runs here, and connection_uri to "
            f"{wanted}:///system for it"
            if kind in _SCHEMES
            else "Set virt_type to xen, kvm or qemu",
        )
    if novas and novas != ours:
        return warning(
            f"Nova uses {novas}, the agent {ours}",
            "Set [libvirt] connection_uri and [xen_overcommit] "
            "connection_uri alike",
        )
    return fine(f"virt_type = {kind} at {ours}")


def balloon_statistics(site: Site) -> Result:
    """See that QEMU's guests are asked for their figures."""
    if site.conf is None:
        return not_judged(sites.NO_CONF)
    if site.conf.libvirt.virt_type not in ("kvm", "qemu"):
        return fine("only QEMU has balloon statistics")
    period_s = site.conf.libvirt.mem_stats_period_seconds
    if period_s > 0:
        return fine(f"mem_stats_period_seconds = {period_s}")
    return warning(
        f"[libvirt] mem_stats_period_seconds = {period_s}: Nova asks guests "
        "for no statistics, and knows nothing of their use when the agent is "
        "down",
        "Unset it, or set it to 10",
    )


def disks(site: Site) -> Result:
    """See that a resize leaves disks, and so guests' swap, what they are.

    Nova's finish_migration makes qcow2 of each raw disk where
    ``use_cow_images`` is set, whatever the guest's definition says of it.
    """
    if site.conf is None:
        return not_judged(sites.NO_CONF)
    kind = site.conf.libvirt.images_type
    if kind not in ("raw", "flat") or not site.conf.use_cow_images:
        return fine(f"[libvirt] images_type = {kind}")
    return warning(
        f"[libvirt] images_type = {kind}, and use_cow_images is not False: a "
        "resize turns guests' disks into qcow2, and guests are given them as "
        "raw, without their data and their swap",
        "Set use_cow_images = False",
    )


def hypervisor(site: Site) -> Result:
    """See that the hypervisor answers, and which it is."""
    seen = site.hypervisor
    if seen is not None:
        text = f"{seen.kind} {seen.hypervisor} by libvirt {seen.libvirt}"
        if seen.unread:
            return warning(
                f"{text}; not read: {', '.join(seen.unread)}",
                "See libvirt's log",
            )
        return fine(f"{text}, {len(seen.guests)} running guests")
    if site.hypervisor_fault == sites.NO_LIBVIRT:
        return not_judged(site.hypervisor_fault)
    if not site.hypervisor_fault:
        return not_judged(sites.NO_CONF)
    return failure(
        site.hypervisor_fault,
        "See that libvirtd runs, that [xen_overcommit] connection_uri is "
        "right, and that this user may use it",
    )


def domain_0(site: Site) -> Result:
    """See that Xen's dom0 has a fixed size."""
    seen = site.hypervisor
    if seen is None or seen.kind != "xen":
        return (
            fine("only Xen has a dom0")
            if seen
            else not_judged("the hypervisor doesn't answer")
        )
    has_mib = seen.domain_0_kib // _KIB_PER_MIB
    most_mib = seen.domain_0_most_kib // _KIB_PER_MIB
    if seen.domain_0_most_kib > seen.domain_0_kib + _SLACK_KIB:
        return failure(
            f"dom0 has {has_mib} MiB and may have {most_mib}: the toolstack "
            "takes its memory for guests, or it takes theirs",
            f"Boot Xen with dom0_mem={has_mib}M,max:{has_mib}M",
        )
    return fine(f"dom0 has {has_mib} MiB, fixed")
