# SPDX-License-Identifier: Apache-2.0
"""How long a guest is left alone whose calls the hypervisor refuses.

What such a guest was to yield doesn't come, and what it was to be given is
not taken: as long as it is planned for, others wait for memory that nobody
has. All times are seconds.
"""

import dataclasses
import math

# After the first refusal; each further one doubles it, up to the second.
_FIRST_S = 1.0
_MOST_S = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Refusals:
    """For how long the last refusal leaves a guest alone, and until when."""

    rest_s: float = 0.0
    until_s: float = -math.inf

    def last(self, now_s: float) -> bool:
        """Tell whether the guest is left alone at ``now_s``."""
        return now_s < self.until_s

    def one_more(self, now_s: float) -> "Refusals":
        """Give what is after a call that was refused at ``now_s``."""
        rest_s = min(_MOST_S, max(_FIRST_S, 2 * self.rest_s))
        return Refusals(rest_s, now_s + rest_s)


NO_REFUSALS = Refusals()
