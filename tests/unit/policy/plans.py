# SPDX-License-Identifier: Apache-2.0
"""Guests and hosts to plan for; sizes in MiB unless said otherwise."""

from nova_xen_overcommit.policy import targets

MIB = 1024
SETTINGS = targets.TargetSettings()
# Nothing damps what is planned.
EXACT = targets.TargetSettings(dead_band_kib=0, max_step_kib=2**40)


def guest(uuid: str, target_mib: int, demand_mib: int, **more):
    fields = {
        "flavor_kib": 1024 * MIB,
        "floor_kib": 106 * MIB,
        "actual_kib": target_mib * MIB,
        "used_kib": demand_mib * MIB * 3 // 4,
    }
    return targets.Guest(
        uuid=uuid,
        target_kib=target_mib * MIB,
        demand_kib=demand_mib * MIB,
        **{**fields, **more},
    )


def host(free_mib: int, wanted_mib: int = 0) -> targets.Host:
    return targets.Host(
        expected_free_kib=free_mib * MIB,
        reserve_kib=128 * MIB,
        slack_kib=16 * MIB,
        wanted_kib=wanted_mib * MIB,
    )


def plan_mib(guests, where, settings=SETTINGS) -> dict[str, float]:
    plan = targets.plan(guests, where, settings)
    return {uuid: one.target_kib / MIB for uuid, one in plan.items()}
