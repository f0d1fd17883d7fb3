# SPDX-License-Identifier: Apache-2.0
"""What options must be, within their own bounds and beside each other."""

from collections.abc import Iterable

from oslo_config import cfg

from nova_xen_overcommit import exception


def values(
    options: cfg.ConfigOpts.GroupAttr, known: Iterable[cfg.Opt]
) -> None:
    """Read every option, since oslo.config checks a value when it is read.

    :raises InvalidConfiguration: an option has a value it can't have.
    """
    for option in known:
        try:
            options[option.dest]
        except ValueError as error:
            raise exception.InvalidConfiguration(
                f"[xen_overcommit] {option.name}: {error}"
            ) from error


def contradictions(options: cfg.ConfigOpts.GroupAttr) -> None:
    """Compare what must be below something else.

    :raises InvalidConfiguration: two options contradict each other.
    """
    _require_below(options, "host_slack_mib", "reserve_mib")
    _require_below(options, "stuck_after_s", "uncooperative_after_s")
    _require_below(options, "busy_tick_interval_s", "stuck_after_s")
    if options.start_share < options.floor_share:
        raise exception.InvalidConfiguration(
            f"[xen_overcommit] start_share ({options.start_share}) is below "
            f"floor_share ({options.floor_share})"
        )


def _require_below(
    options: cfg.ConfigOpts.GroupAttr, low: str, high: str
) -> None:
    if options[low] >= options[high]:
        raise exception.InvalidConfiguration(
            f"[xen_overcommit] {low} ({options[low]}) must be below "
            f"{high} ({options[high]})"
        )
