# SPDX-License-Identifier: Apache-2.0
"""What a plan is made from, and what it is made of."""

import dataclasses

from nova_xen_overcommit.policy.limits import Limit


@dataclasses.dataclass(frozen=True, slots=True)
class TargetSettings:
    """The options that shape targets."""

    dead_band_kib: int = 8 * 1024
    max_step_kib: int = 256 * 1024
    max_step_share: float = 0.25
    idle_tax: float = 0.75


# A pass makes one for each guest of which there is news, and frozen ones
# take twice as long. It is kept from pass to pass, so nobody may change it.
@dataclasses.dataclass(slots=True)
class Guest:
    """A guest as the planner sees it; KiB.

    ``growable``: may be given memory. ``shrinkable``: memory may be taken
    from it now. Neither: it keeps its target. ``hold`` is the rule that
    forbids one or both. ``yields_if_short``: it may only grow because it is
    starved, and where not even all that is used is there it may be asked
    for what it has above its fair share. ``felt_kib`` is what it had when it
    last spoke, 0 where that is what it has.

    Its demand in ranks, each beyond floor and flavor if it comes so:
    ``bare_kib`` is what it uses and a last rest of head room, ``firm_kib``
    that and all head room (None: all of its demand), ``demand_kib`` also
    what it used lately or is given because it is starved, ``hoped_kib`` some
    of what it used at its highest peak. ``used_kib`` is the part in use.
    ``left_kib`` is what a guest that moves its own balloon has left below
    its target.

    ``need_kib`` is its demand within floor and flavor, ``hoped_need_kib``
    what it would have if there were memory nobody needs.
    """

    uuid: str
    flavor_kib: int
    floor_kib: int
    actual_kib: int
    target_kib: int
    demand_kib: int
    used_kib: int
    weight: float = 1.0
    growable: bool = True
    shrinkable: bool = True
    starved: bool = False
    hold: Limit | None = None
    yields_if_short: bool = False
    felt_kib: int = 0
    left_kib: int = 0
    hoped_kib: int = 0
    firm_kib: int | None = None
    bare_kib: int | None = None
    need_kib: int = dataclasses.field(init=False)
    hoped_need_kib: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.need_kib = self._bounded_kib(self.demand_kib)
        hoped_kib = min(self.flavor_kib, self.hoped_kib)
        self.hoped_need_kib = max(self.need_kib, hoped_kib)

    def _bounded_kib(self, kib: int) -> int:
        return min(self.flavor_kib, max(self.floor_kib, kib))

    @property
    def firm_need_kib(self) -> int:
        """The firm part of the need."""
        if self.firm_kib is None:
            return self.need_kib
        return min(self.need_kib, max(self.floor_kib, self.firm_kib))

    @property
    def bare_need_kib(self) -> int:
        """What of the firm need it can't do without for a moment."""
        if self.bare_kib is None:
            return self.firm_need_kib
        return min(self.firm_need_kib, max(self.floor_kib, self.bare_kib))


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """The host's side; KiB.

    ``expected_free_kib`` is what will be free when all guests that follow
    their targets have arrived; ``wanted_kib`` what starts wait for, above
    what is already set aside for them.
    """

    expected_free_kib: int
    reserve_kib: int
    slack_kib: int
    wanted_kib: int = 0


# Not frozen for the same reason.
@dataclasses.dataclass(slots=True)
class Decision:
    """A target in KiB, why, and what kept it from being another.

    ``limits`` are in the order in which they applied.
    """

    target_kib: int
    reason: str
    limits: tuple[Limit, ...] = ()
