# SPDX-License-Identifier: Apache-2.0
"""What the agent remembers of each running guest between two passes."""

import dataclasses
import math

from nova_xen_overcommit.agent.hypervisor.base import Domain
from nova_xen_overcommit.agent.settings import Settings
from nova_xen_overcommit.policy import floor, targets
from nova_xen_overcommit.policy.demand import (
    GuestDemand,
    Observation,
    observe,
)
from nova_xen_overcommit.policy.progress import (
    Progress,
    Status,
    advance,
    start,
)
from nova_xen_overcommit.policy.sample import MemorySample

# A guest needs this long, at most, to boot and start its publisher. If it
# has never spoken by then it gets what its flavor says.
BOOT_GRACE_S = 180.0
# Less than this from one pass to the next is no step of a balloon.
_JITTER_KIB = 512


@dataclasses.dataclass(slots=True)
class TrackedGuest:
    """One guest. Sizes in KiB, times on the monotonic clock.

    ``held`` says why its client wants it left alone, "" when it doesn't.
    ``shrank_s`` is when it was last seen with less than before.
    ``restart_kib`` is what it comes back with when it reboots, 0 as long
    as that was not said.
    """

    domain: Domain
    floor_kib: int
    first_seen_s: float
    target_kib: int
    progress: Progress
    demand: GuestDemand | None = None
    sample: MemorySample | None = None
    now_s: float = 0.0
    cool_until_s: float = 0.0
    held: str = ""
    reason: str = "just found"
    starved_s: float = 0.0
    shrank_s: float = -math.inf
    restart_kib: int = 0

    @classmethod
    def found(
        cls, domain: Domain, now_s: float, floor_share: float
    ) -> "TrackedGuest":
        """Begin to track a guest; its target is what was last asked."""
        asked_kib = domain.asked_kib
        return cls(
            domain=domain,
            floor_kib=floor.floor_kib(
                domain.flavor_kib, floor_share, domain.metadata.floor_kib
            ),
            first_seen_s=now_s,
            target_kib=asked_kib,
            progress=start(asked_kib, domain.actual_kib, now_s),
            now_s=now_s,
        )

    def refresh(
        self,
        domain: Domain,
        sample: MemorySample | None,
        now_s: float,
        settings: Settings,
    ) -> None:
        """Take in what was measured in this pass."""
        elapsed_s, self.now_s = max(0.0, now_s - self.now_s), now_s
        if domain.actual_kib < self.domain.actual_kib - _JITTER_KIB:
            self.shrank_s = now_s
        self.domain = domain
        self.progress = advance(
            self.progress,
            self.target_kib,
            domain.actual_kib,
            now_s,
            settings.progress,
        )
        if sample is not None:
            self.sample = sample
            self.demand = observe(
                self.demand, self._observation(sample), settings.demand
            )
        if self.starved:
            self.starved_s += elapsed_s

    def _observation(self, sample: MemorySample) -> Observation:
        return Observation(
            sample=sample,
            actual_kib=self.domain.actual_kib,
            flavor_kib=self.domain.flavor_kib,
            floor_kib=self.floor_kib,
        )

    @property
    def speaks(self) -> bool:
        """Whether its figures may be believed now."""
        return self.sample is not None and self.sample.is_fresh(self.now_s)

    @property
    def starved(self) -> bool:
        """Whether it was starved when it last spoke."""
        return self.speaks and self.demand is not None and self.demand.starved

    @property
    def _felt_last_step(self) -> bool:
        """Whether it has spoken since it last lost memory.

        Until then its figures say how it was before, and the next step
        down would be taken blindly.
        """
        return self.sample is not None and self.sample.time_s > self.shrank_s

    @property
    def silent_from_birth(self) -> bool:
        """Whether it should have spoken by now but never did."""
        age_s = self.now_s - self.first_seen_s
        return self.sample is None and age_s > BOOT_GRACE_S

    @property
    def hands_off(self) -> str:
        """Why it must not be touched in this pass, "" when it may."""
        if self.domain.exempt:
            return self.domain.exempt
        if self.domain.busy or self.held:
            return self.domain.busy or self.held
        if self.progress.status is Status.UNCOOPERATIVE:
            return "uncooperative"
        if not self.speaks and not self.silent_from_birth:
            return "no believable figures"
        return ""

    def in_full(self, warm_up_s: float) -> str:
        """Why it counts with its whole flavor, "" when it doesn't.

        A guest that is only held still for a moment keeps the reckoning
        it had.
        """
        if self.domain.exempt:
            return self.domain.exempt
        if self.progress.status is Status.UNCOOPERATIVE:
            return "uncooperative"
        if not self.speaks:
            return "no believable figures"
        if self.now_s - self.first_seen_s < warm_up_s:
            return "in its warm-up"
        return ""

    @property
    def demand_kib(self) -> int:
        """What it needs, as far as known; its flavor when not."""
        if self.speaks and self.demand is not None:
            return self.demand.demand_kib
        return self.domain.flavor_kib

    def planned(self) -> targets.Guest:
        """Give the planner's view."""
        free = not self.hands_off
        warm = self.now_s >= self.cool_until_s
        calm = warm and not self.starved
        donor = self.speaks and self._felt_last_step and calm
        used_kib = self.demand.used_kib if self.demand else self.demand_kib
        return targets.Guest(
            uuid=self.domain.uuid,
            flavor_kib=self.domain.flavor_kib,
            floor_kib=self.floor_kib,
            actual_kib=self.domain.actual_kib,
            target_kib=self.target_kib,
            demand_kib=self.demand_kib,
            used_kib=used_kib,
            weight=self.domain.metadata.weight,
            growable=free and self.progress.cooperates,
            shrinkable=free and donor and self.progress.cooperates,
            starved=self.starved,
        )

    @property
    def idle_kib(self) -> int:
        """What it has above its demand; none when it can't be believed."""
        return max(0, self.domain.actual_kib - self.demand_kib)

    @property
    def could_yield_kib(self) -> int:
        """What could be taken from it, once its cool-down is over."""
        if self.hands_off or self.starved or not self.progress.cooperates:
            return 0
        least_kib = max(self.floor_kib, self.demand_kib)
        return max(0, self.domain.actual_kib - least_kib)

    @property
    def short_kib(self) -> int:
        """What is missing to its need, whether it can be given or not."""
        guest = self.planned()
        return guest.lacks_kib if guest.growable else 0

    @property
    def _expected_kib(self) -> int:
        """What it will have when it has followed its target."""
        return self.target_kib + self.progress.offset_kib

    @property
    def growing_kib(self) -> int:
        """What it was granted but has not taken yet."""
        return max(0, self._expected_kib - self.domain.actual_kib)

    @property
    def yielding_kib(self) -> int:
        """What it was asked for and will still yield."""
        if not self.progress.cooperates:
            return 0
        return max(0, self.domain.actual_kib - self._expected_kib)
