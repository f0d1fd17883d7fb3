# SPDX-License-Identifier: Apache-2.0
"""The agent's explanations in words; pure. Sizes are MiB, times seconds."""

from collections.abc import Mapping, Sequence
from typing import Any

_KIB_PER_MIB = 1024
_S_PER_HOUR = 3600
# So many names are told; the table below has them all.
_NAMES_TOLD = 3


def in_mib(value: Any) -> Any:
    """Give an answer of the agent with each ``_kib`` as a ``_mib``, rounded.

    The agent reckons in KiB; people and Nova reckon in MiB.
    """
    if isinstance(value, list):
        return [in_mib(one) for one in value]
    if not isinstance(value, dict):
        return value
    converted = {}
    for name, one in value.items():
        if name.endswith("_kib") and isinstance(one, int | float | None):
            converted[f"{name.removesuffix('_kib')}_mib"] = (
                None if one is None else round(one / _KIB_PER_MIB)
            )
        else:
            converted[name] = in_mib(one)
    return converted


def host(seen: Mapping[str, Any]) -> list[str]:
    """Say how the host is, line by line."""
    report = seen["report"]
    lines = [
        "Host {state}, mode {mode}: {physical_mib} MiB, {usable_mib} for "
        "guests, {free_mib} free, reserve {reserve_mib}".format(**report),
        *_guests(seen),
        "Promise {promise_mib} MiB".format(**report)
        + ", limited by {promise_bound}; guests lack {short_mib}, starts "
        "wait for {wanted_mib}; last pass {pass_ago_s} s ago".format(**seen),
        "Peak of {peak_mib} MiB reckoned with".format(**report)
        + ", by predictor {predictor} from {0} h of history".format(
            round(seen["past_s"] / _S_PER_HOUR, 1), **seen
        ),
    ]
    lines += [_start(start) for start in seen["starts"]]
    if seen["failing_sensors"]:
        lines.append(f"Sensors fail: {', '.join(seen['failing_sensors'])}")
    if seen["complaint"]:
        lines.append(f"The last pass failed: {seen['complaint']}")
    return lines


def _guests(seen: Mapping[str, Any]) -> list[str]:
    """Say what all guests need, and which of them aren't Nova's."""
    # Agents of earlier releases don't tell of those.
    report, strangers = seen["report"], seen.get("foreign", ())
    foreign_mib = foreign_of(report)
    needs = (
        "{0} guests of {1} MiB in all need {demand_mib}, {idle_mib} are "
        "idle, {reclaimable_mib} could be taken".format(
            report["guests"] + len(strangers),
            report["committed_mib"] + foreign_mib,
            **report,
        )
    )
    return [needs + _left(seen), *foreign(foreign_mib, strangers)]


def foreign_of(report: Mapping[str, Any]) -> int:
    """Give the MiB that aren't Nova's; a report without any tells none."""
    return int(report.get("foreign_mib", 0))


def foreign(mib: int, names: Sequence[str]) -> list[str]:
    """Say which guests aren't Nova's, after a line on the flavors of all."""
    if not mib:
        return []
    told = list(names[:_NAMES_TOLD])
    if len(names) > _NAMES_TOLD:
        told.append("...")
    # None runs while the only one reboots.
    who = f" ({', '.join(told)})" if told else ""
    text = f"{mib} MiB in all are of guests that aren't Nova's{who}"
    return [f"{text}: nothing is promised for them"]


def _left(seen: Mapping[str, Any]) -> str:
    """Say what guests have left that move their own balloons."""
    left_mib = seen["left_mib"]
    return f", {left_mib} of that left by themselves" if left_mib else ""


def _start(start: Mapping[str, Any]) -> str:
    text = "{name}, flavor {flavor_mib} MiB, ".format(**start)
    text += "may be rebooting" if start["restart"] else "starts"
    granted = start.get("granted_mib")
    got = "waits for memory" if granted is None else f"has {granted} MiB kept"
    return f"{text} since {start['for_s']} s, {got}"


def observation(seen: Mapping[str, Any] | None) -> str:
    """Say what the guest said of itself, when and through what."""
    if seen is None:
        return "it never spoke"
    if "swap_read_kib_s" in seen:
        return _from_outside(seen)
    used_mib = seen["swap_total_mib"] - seen["swap_free_mib"]
    age = "{age_s} s ago by {sensor}".format(**seen)
    if not seen["believed"]:
        age += ", too old: believed for {max_age_s:.0f} s".format(**seen)
    return (
        "{0}\n{mem_total_mib} MiB in all, {mem_available_mib} available, "
        "{1} of {swap_total_mib} swap in use".format(age, used_mib, **seen)
    )


def _from_outside(seen: Mapping[str, Any]) -> str:
    """Say what the host sees of a guest that never spoke."""
    text = "it never spoke; {age_s} s ago by {sensor}".format(**seen)
    if seen["swap_read_kib_s"] is None:
        return text
    return text + (
        "\nKiB/s: swap read {swap_read_kib_s}, written "
        "{swap_written_kib_s}, files read {file_read_kib_s}, usual "
        "{usual_file_read_kib_s}".format(**seen)
    )


def demand(known: Mapping[str, Any]) -> str:
    """Say what the guest needs, and how that was found."""
    causes = "; ".join(known["causes"])
    text = f"{known['demand_mib']} MiB: {causes}"
    if "comfort_mib" in known:
        return text + (
            "\nlast comfortable with {comfort_mib}, never below "
            "{probe_floor_mib}, hurt {pains} times".format(**known)
        )
    if "used_mib" not in known:
        return text
    return text + (
        "\n{used_mib} used, averages {fast_mib} fast and {slow_mib} slow, "
        "head room {head_room_mib}".format(**known)
    )


def target(aim: Mapping[str, Any]) -> str:
    """Say what the guest is to have and what was done last."""
    text = "{target_mib} MiB: {reason}".format(**aim)
    if aim["decided_mib"] != aim["target_mib"]:
        text += "; {decided_mib} is aimed at".format(**aim)
    move = aim["moved"]
    if move is None:
        return text
    return text + "\nset {ago_s} s ago from {from_mib} MiB: {reason}".format(
        **move
    )


def limits(names: list[str]) -> str:
    """Say what kept the target from being another."""
    return "; ".join(names) or "nothing"


def status(now: Mapping[str, Any]) -> str:
    """Say how the guest follows its target, and since when."""
    text = "{status} for {since_s} s, known for {known_since_s} s".format(
        **now
    )
    if now["offset_mib"]:
        text += "; rests {offset_mib} MiB beside its target".format(**now)
    if now["starved"]:
        text += "; starved, for {starved_s} s so far".format(**now)
    if now["balloons_itself"]:
        text += (
            "\nmoves its own balloon: the target is the most it may have, "
            "and leaves {left_mib} MiB of that".format(**now)
        )
    if now.get("foreign"):
        text += "\nnot Nova's: its flavor is left out of the promise"
    if now["counts_in_full"]:
        text += "\nits whole flavor is reckoned with: {counts_in_full}".format(
            **now
        )
    return text
