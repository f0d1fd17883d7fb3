# SPDX-License-Identifier: Apache-2.0
"""Checks of what is installed and configured, on any node."""

import importlib.metadata
import platform

from oslo_config import cfg

from nova_xen_overcommit import conf as options
from nova_xen_overcommit import exception
from nova_xen_overcommit.cli.checks import site as sites
from nova_xen_overcommit.cli.checks.site import Site
from nova_xen_overcommit.cli.checks.verdicts import (
    Result,
    failure,
    fine,
    not_judged,
    warning,
)

PACKAGE = "nova_xen_overcommit"
_OLDEST_NOVA = 31
_FILTER = "XenOvercommitFilter"
_FILTERS = f"{PACKAGE}.scheduler.filters"
_WEIGHERS = f"{PACKAGE}.scheduler.weights"
_VALIDATORS = "nova.api.extra_spec_validators"
# How often nova-compute reports where update_resources_interval is 0.
_REPORT_EACH_S = 60


def versions(site: Site) -> Result:
    """Tell what runs here, and whether it fits together."""
    ours = sites.installed(PACKAGE)
    told = [f"{PACKAGE} {ours}", f"Python {platform.python_version()}"]
    told.append(
        f"Nova {site.nova}" if site.nova else "Nova not installed here"
    )
    if site.hypervisor is not None:
        told.append(f"libvirt {site.hypervisor.libvirt}")
    if site.agent is not None:
        told.append(
            "agent: "
            + ", ".join(
                f"{name} {version}"
                for name, version in site.agent["agent"]["versions"].items()
                if version
            )
        )
    text = "; ".join(told)
    if site.nova and int(site.nova.partition(".")[0]) < _OLDEST_NOVA:
        return failure(text, f"Nova {_OLDEST_NOVA} and later are supported")
    if site.agent is not None:
        running = site.agent["agent"]["versions"].get(PACKAGE)
        if running != ours:
            return warning(
                text,
                "The agent runs another release than is installed here: "
                "restart it, or install the same in both environments",
            )
    return fine(text)


def configuration(site: Site) -> Result:
    """Tell which files were read, and whether our options can be so."""
    if site.conf_fault == sites.NO_FILE:
        return warning(
            sites.NO_FILE,
            "Name it with --config-file, such as /etc/nova/nova.conf",
        )
    if site.conf is None:
        return failure(
            site.conf_fault,
            "Mend the file, or run this as a user who may read it",
        )
    try:
        options.check(site.conf)
    except (exception.InvalidConfiguration, cfg.Error) as error:
        return failure(str(error), "Mend it: the agent doesn't start with it")
    here = " and ".join(sorted(site.roles))
    return fine(f"read as {here} node: {', '.join(site.files)}")


def filters(site: Site) -> Result:
    """See that nova-scheduler has our filter."""
    if site.conf is None:
        return not_judged(sites.NO_CONF)
    scheduler = site.conf.filter_scheduler
    ours = {_FILTERS, f"{_FILTERS}.{_FILTER}"}
    if _FILTER not in scheduler.enabled_filters:
        return failure(
            f"[filter_scheduler] enabled_filters lacks {_FILTER}: hosts that "
            "promise more take instances that they have no memory for",
            f"Add {_FILTER} to it and restart nova-scheduler",
        )
    if not ours & set(scheduler.available_filters):
        return failure(
            f"[filter_scheduler] available_filters lacks {_FILTERS}.{_FILTER}"
            ": nova-scheduler doesn't start",
            "Add a line for it, beside nova.scheduler.filters.all_filters",
        )
    if "nova.scheduler.filters.all_filters" not in scheduler.available_filters:
        return warning(
            "[filter_scheduler] available_filters lacks "
            "nova.scheduler.filters.all_filters",
            "Add a line for it, or name every filter that is enabled",
        )
    return fine(f"{_FILTER} is available and enabled")


def weigher(site: Site) -> Result:
    """See that nova-scheduler has our weigher."""
    if site.conf is None:
        return not_judged(sites.NO_CONF)
    classes = site.conf.filter_scheduler.weight_classes
    if any(name.startswith(_WEIGHERS) for name in classes):
        return fine("XenOvercommitWeigher is among weight_classes")
    return warning(
        "[filter_scheduler] weight_classes lacks "
        f"{_WEIGHERS}.XenOvercommitWeigher: hosts are not weighed by idle "
        "memory",
        "Add it and restart nova-scheduler",
    )


def extra_specs(site: Site) -> Result:
    """See that nova-api can validate our extra specs."""
    if not site.nova:
        return not_judged("Nova not installed")
    known = importlib.metadata.entry_points(group=_VALIDATORS)
    if any(one.value.startswith(PACKAGE) for one in known):
        return fine("nova-api knows the extra specs xen_overcommit:...")
    return failure(
        "nova-api doesn't know the extra specs xen_overcommit:...",
        f"Install {PACKAGE} in the environment of nova-api",
    )


def report_age(site: Site) -> Result:
    """See that reports are not too old before the next one comes."""
    if site.conf is None:
        return not_judged(sites.NO_CONF)
    each_s = site.conf.update_resources_interval or _REPORT_EACH_S
    most_s = site.conf.xen_overcommit.report_max_age_s
    text = f"nova-compute reports each {each_s} s, believed for {most_s} s"
    if each_s < 0:
        return failure(
            "update_resources_interval is negative: nova-compute never "
            "reports",
            "Set it to 0",
        )
    if most_s <= each_s:
        return failure(
            text,
            "Raise [xen_overcommit] report_max_age_s to three times "
            "update_resources_interval",
        )
    return fine(text)


def symbols(site: Site) -> Result:
    """See that this Nova has all that our driver leans on."""
    if not site.nova:
        return not_judged("Nova not installed")
    try:
        count = sites.quietly(_checked_symbols)
    except exception.InvalidConfiguration as error:
        return failure(
            str(error), "Use a release of Nova that this one supports"
        )
    except Exception as error:  # noqa: BLE001
        return failure(
            f"Nova can't be imported: {error!r}", "Mend its environment"
        )
    return fine(f"all {count} symbols of Nova are as expected")


def _checked_symbols() -> int:
    from nova_xen_overcommit.virt import compat

    compat.check()
    return len(compat.SYMBOLS)
