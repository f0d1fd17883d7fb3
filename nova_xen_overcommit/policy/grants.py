# SPDX-License-Identifier: Apache-2.0
"""What growing guests get of the memory that is measured free; KiB."""

import dataclasses
from collections.abc import Sequence

# Smaller grants than this are put off until more has come free: each costs
# a call to the hypervisor.
LEAST_GRANT_KIB = 4 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """What a guest's target lacks; ``firm_kib`` of it is no foresight.

    ``own_kib`` is what the guest was to yield and has not yielded yet: it
    may keep that, whatever is free.
    """

    uuid: str
    lack_kib: int
    firm_kib: int
    flavor_kib: int
    starved: bool = False
    own_kib: int = 0

    @property
    def rank(self) -> tuple[bool, float, str]:
        """The starved first, then who lacks most for its size."""
        return (not self.starved, -self.lack_kib / self.flavor_kib, self.uuid)


@dataclasses.dataclass(frozen=True, slots=True)
class Purse:
    """What is there to give.

    ``spendable_kib`` is measured free and promised to nobody. Of that,
    starts wait for ``wanted_kib``, and ``reserve_kib`` is the reserve.
    """

    spendable_kib: int
    wanted_kib: int
    reserve_kib: int


def grants(wishes: Sequence[Wish], purse: Purse) -> dict[str, int]:
    """Give what each guest is granted now, by UUID.

    Firm needs come first, starts next, foresight last; and only who is
    starved spends the reserve on more than it is seen to use.
    """
    left_kib = max(0, purse.spendable_kib)
    ranked = sorted(wishes, key=lambda wish: wish.rank)
    granted = {}
    for wish in ranked:
        own_kib = min(wish.lack_kib, wish.own_kib)
        firm_kib = max(0, min(wish.lack_kib, wish.firm_kib) - own_kib)
        firm_kib = min(firm_kib, left_kib)
        granted[wish.uuid] = own_kib + firm_kib
        left_kib -= firm_kib
    left_kib -= purse.wanted_kib
    for wish in ranked:
        kept_kib = 0 if wish.starved else purse.reserve_kib
        more_kib = wish.lack_kib - granted[wish.uuid]
        more_kib = max(0, min(more_kib, left_kib - kept_kib))
        granted[wish.uuid] += more_kib
        left_kib -= more_kib
    return {
        wish.uuid: granted[wish.uuid]
        for wish in ranked
        if granted[wish.uuid] >= min(wish.lack_kib, LEAST_GRANT_KIB)
    }
