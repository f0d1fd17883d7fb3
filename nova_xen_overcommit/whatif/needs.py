# SPDX-License-Identifier: Apache-2.0
"""The demand of all guests at once.

The same figures, to the last bit, that
:func:`nova_xen_overcommit.policy.demand.observe` gives for one guest after
the other; a replay observes each guest some 9,000 times a month. Only what a
trace can tell is here: RAM and swap in use.
"""

import math

import numpy as np

from nova_xen_overcommit.policy import demand as rules
from nova_xen_overcommit.policy.demand import DemandSettings
from nova_xen_overcommit.whatif.arrays import Floats, Ints


class Needs:
    """What guests need, by index; KiB.

    ``speaks`` tells whose newest figures are believed, ``starved`` for how
    many observations in a row a guest lacked memory. ``wanted_kib`` is the
    demand without floor and flavor as bounds, ``firm_kib``, ``bare_kib``
    and ``hoped_kib`` are as in :class:`policy.demand.GuestDemand`.
    """

    def __init__(
        self, sizes_kib: Ints, floors_kib: Ints, settings: DemandSettings
    ) -> None:
        count = len(sizes_kib)
        self._sizes_kib = sizes_kib
        self._floors_kib = floors_kib
        self._settings = settings
        self._sampled_s = np.full(count, np.nan)
        self._fast_kib = np.zeros(count)
        self._slow_kib = np.zeros(count)
        self._peak_kib = np.zeros(count)
        self._raised_kib = np.zeros(count)
        self.speaks = np.zeros(count, dtype=bool)
        self.starved = np.zeros(count, dtype=np.int64)
        self.used_kib = np.zeros(count, dtype=np.int64)
        self.wanted_kib = sizes_kib.copy()
        self.demand_kib = sizes_kib.copy()
        self.firm_kib = sizes_kib.copy()
        self.bare_kib = sizes_kib.copy()
        self.hoped_kib = np.zeros(count, dtype=np.int64)

    def silence(self, who: Ints) -> None:
        """Nothing is known of them now: they count with their flavors."""
        self.speaks[who] = False
        self.wanted_kib[who] = self._sizes_kib[who]
        self.demand_kib[who] = self._sizes_kib[who]
        self.firm_kib[who] = self._sizes_kib[who]

    def last_room_kib(self, who: Ints) -> Ints:
        """Give what must be available lest a guest is starved."""
        share = rules._EXHAUSTED_SHARE
        last_kib = (self._room_kib(self.used_kib[who]) * share).astype(int)
        return np.minimum(last_kib, rules._MOST_LAST_ROOM_KIB)

    def observe(
        self, who: Ints, used_kib: Ints, actual_kib: Ints, now_s: float
    ) -> None:
        """Take in one sample of each of ``who``.

        ``used_kib`` is RAM and swap in use, ``actual_kib`` what they have.
        """
        sizes_kib = self._sizes_kib[who]
        used_kib = np.minimum(sizes_kib, used_kib)
        self.used_kib[who] = used_kib
        self._follow(who, used_kib, now_s)
        room_kib = self._room_kib(used_kib)
        last_room_kib = self.last_room_kib(who)
        starved = np.maximum(0, actual_kib - used_kib) < last_room_kib
        passes = np.where(starved, self.starved[who] + 1, 0)
        recent_kib = np.maximum(self._fast_kib[who], self._slow_kib[who])
        base_kib = np.maximum(used_kib, recent_kib) + room_kib
        raised_kib = self._raised(who, passes, base_kib, actual_kib, now_s)
        wanted_kib = np.ceil(np.maximum(base_kib, raised_kib)).astype(np.int64)
        peak_kib = self._peak_kib[who].astype(np.int64)
        hoped_kib = used_kib + np.maximum(0, peak_kib - used_kib) // 2
        self.speaks[who] = True
        self.starved[who] = passes
        self.wanted_kib[who] = wanted_kib
        self.demand_kib[who] = np.clip(
            wanted_kib, self._floors_kib[who], sizes_kib
        )
        self.firm_kib[who] = used_kib + room_kib
        self.bare_kib[who] = used_kib + last_room_kib
        self.hoped_kib[who] = np.where(
            starved, sizes_kib, hoped_kib + room_kib
        )
        self._raised_kib[who] = raised_kib
        self._sampled_s[who] = now_s

    def _follow(self, who: Ints, used_kib: Ints, now_s: float) -> None:
        """Let the averages follow what is used."""
        settings, first = self._settings, np.isnan(self._sampled_s[who])
        used = used_kib.astype(float)

        def approached(values: Floats, goal: Floats, time_s: float) -> Floats:
            factor = self._factor(who, now_s, time_s)
            return np.where(first, used, goal + (values - goal) * factor)

        fast_kib = approached(self._fast_kib[who], used, settings.rise_s)
        slow_kib = approached(self._slow_kib[who], fast_kib, settings.decay_s)
        peak_kib = approached(
            self._peak_kib[who], fast_kib, settings.peak_memory_s
        )
        self._fast_kib[who] = fast_kib
        self._slow_kib[who] = np.maximum(fast_kib, slow_kib)
        self._peak_kib[who] = np.maximum(fast_kib, peak_kib)

    def _factor(self, who: Ints, now_s: float, time_s: float) -> Floats:
        """Give what is left of a distance since the last sample."""
        elapsed_s = np.nan_to_num(now_s - self._sampled_s[who])
        # Numpy's own exp may differ from math's in the last bit.
        distinct_s, of = np.unique(elapsed_s, return_inverse=True)
        left = [math.exp(-one_s / time_s) for one_s in distinct_s.tolist()]
        return np.array(left)[of]

    def _room_kib(self, used_kib: Ints) -> Ints:
        settings = self._settings
        share_kib = (used_kib * settings.head_room_share).astype(np.int64)
        return share_kib + settings.head_room_kib

    def _raised(
        self,
        who: Ints,
        passes: Ints,
        base_kib: Floats,
        actual_kib: Ints,
        now_s: float,
    ) -> Floats:
        before_kib = self._raised_kib[who]
        once_kib = actual_kib * (1 + rules._STARVED_RAISE_SHARE)
        factor = self._factor(who, now_s, self._settings.rise_s)
        calm_kib = base_kib + (before_kib - base_kib) * factor
        return np.select(
            [passes >= rules.STARVED_TWICE, passes > 0, before_kib > base_kib],
            [self._sizes_kib[who], np.maximum(once_kib, before_kib), calm_kib],
            0.0,
        )
