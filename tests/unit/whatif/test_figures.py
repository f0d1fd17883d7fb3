# SPDX-License-Identifier: Apache-2.0
"""From what was counted to figures, text, pictures and the page."""

import json
import unittest
from typing import Any

from nova_xen_overcommit.whatif import figures, page, show
from nova_xen_overcommit.whatif.trace import Trace
from tests.unit.whatif import worlds
from tests.unit.whatif.worlds import row

STEPS = 24


def asked() -> dict[str, Any]:
    return {
        "host_gib": 4.0,
        "kept_mib": 0,
        "predictor": "max",
        "risk": 0.001,
        "guest_swap_share": 1.0,
        "fill_days": 0.0,
        "seed": 1,
    }


def result_of(trace: Trace) -> dict[str, Any]:
    replay = worlds.replay(trace)
    played = replay.run()
    found = figures.figures(trace, replay.fleet, worlds.shape(), played)
    return {"asked": asked(), **found}


class ShortTest(unittest.TestCase):
    """Three guests of 2 GiB on 4 GiB burst at once, twice.

    At the first time 1920 MiB are missing for two steps, at the second,
    when they use 100 MiB less each, 1675 MiB for one: one guest is spared,
    and has the last 55.5 MiB of its head room besides.
    """

    def setUp(self) -> None:
        self.trace = worlds.trace(
            [2048] * 3,
            [
                row(4 * n, STEPS, 100, s18=2000, s19=2000, s22=1900)
                for n in range(3)
            ],
        )
        self.result = result_of(self.trace)

    def test_hosts(self) -> None:
        self.assertEqual(
            {
                "stock": 2,
                "overcommit": 1,
                "saved": 1,
                "saved_share": 0.5,
                # Of 24 steps of 5 minutes the second was used in 16
                "stock_host_h": 3.3,
                "overcommit_host_h": 2.0,
            },
            self.result["hosts"],
        )

    def test_shortages(self) -> None:
        shortage = self.result["shortage"]
        first, second = shortage.pop("shortages")
        self.assertEqual(
            {
                "host_time_share": 0.125,
                "host_h": 0.25,
                "of_host_h": 2.0,
                "count": 2,
                "deepest_mib": 1920,
                "deepest_share_of_host": 0.46875,
                "longest_s": 600.0,
            },
            shortage,
        )
        self.assertEqual(
            {
                "host": 0,
                "begin": "2025-12-01 01:30:00",
                "length_s": 600.0,
                "depth_mib": 1920,
                "depth_share": 0.46875,
                "mib_s": 1920 * 600,
                "guests": 3,
            },
            first,
        )
        self.assertEqual(
            ("2025-12-01 01:50:00", 300.0, 1675, 1675.5 * 300),
            tuple(
                second[name]
                for name in ("begin", "length_s", "depth_mib", "mib_s")
            ),
        )

    def test_harms(self) -> None:
        guests = self.result["guests"]
        self.assertEqual(3, guests["harmed"])
        self.assertEqual(0, guests["beyond_swap"])
        # 3 steps of two of them and 2 of the spared one, of 24 + 20 + 16
        self.assertEqual(0.133333, guests["time_share"])
        missed = [harm["mib_s"] for harm in guests["harms"]]
        self.assertEqual(sorted(missed, reverse=True), missed)
        self.assertAlmostEqual(1920 * 600 + 1675.5 * 300, sum(missed), delta=3)
        by_name = {harm["vm"]: harm for harm in guests["harms"]}
        self.assertEqual(
            (600.0, 0.083333),
            (by_name["vm-0"]["short_s"], by_name["vm-0"]["time_share"]),
        )

    def test_promise(self) -> None:
        promise = self.result["promise"]
        over_time = promise["over_time"]
        self.assertEqual(4096, promise["usable_mib_per_host"])
        self.assertEqual(3968, over_time["promise_mib"][0])
        self.assertEqual(0.9688, promise["least_ratio"])
        self.assertEqual([6144], over_time["committed_mib"][-1:])
        self.assertEqual(
            over_time["promise_mib"], promise["by_host"][0]["promise_mib"]
        )

    def test_it_is_ready_for_json(self) -> None:
        self.assertEqual(self.result, json.loads(json.dumps(self.result)))

    def test_text(self) -> None:
        told = show.text(self.result)
        for line in (
            "Hosts needed:    2 without overcommit, 1 with it: 1 saved (50 %)",
            "Short of memory: 12.5 % of host-time (0.25 of 2 h), 2 times; ",
            "deepest 1920 MiB (46.9 % of the host), longest 600 s\n",
            "Guests short:    3, 13.3 % of all guests' time; 0 by more than ",
        ):
            with self.subTest(line=line):
                self.assertIn(line, told)
        self.assertRegex(
            told, r"\n +0 +2025-12-01 01:30:00 +600 +1,920 +46.9 % "
        )

    def test_a_page_shows_names_and_never_obeys_them(self) -> None:
        self.result["guests"]["harms"][0]["vm"] = "<script>alert(1)</script>"
        told = page.page(self.result, {"hosts": b"\x89PNG"})
        self.assertIn("&lt;script&gt;alert(1)&lt;/script&gt;", told)
        self.assertNotIn("<script", told)
        self.assertIn('src="data:image/png;base64,iVBORw=="', told)


class SwapTest(unittest.TestCase):
    def test_what_swap_does_not_hold_is_told(self) -> None:
        # Given guests with swap of a tenth of their memory, unasked for
        trace = worlds.trace(
            [2048] * 3, [row(4 * n, STEPS, 100, s20=2000) for n in range(3)]
        )
        replay = worlds.replay(
            trace,
            wishes=worlds.Wishes(0.0, 1, 0.1),
            require_guest_swap=False,
        )
        played = replay.run()
        found = figures.figures(trace, replay.fleet, worlds.shape(), played)
        for harm in found["guests"]["harms"]:
            with self.subTest(vm=harm["vm"]):
                beyond_mib = max(0, harm["worst_mib"] - 204)
                self.assertAlmostEqual(
                    beyond_mib, harm["beyond_swap_mib"], delta=1
                )
        self.assertGreater(found["guests"]["beyond_swap"], 0)


class CalmTest(unittest.TestCase):
    def test_nothing_to_tell(self) -> None:
        result = result_of(worlds.trace([2048], [row(0, STEPS, 100)]))
        told = show.text(result)
        self.assertEqual([], result["shortage"]["shortages"])
        self.assertNotIn("Deepest", told)
        self.assertNotIn("worst first", told)

    def test_moments_without_a_calendar(self) -> None:
        trace = worlds.trace([2048], [row(0, 600, 100)])
        object.__setattr__(trace, "begin_s", 0.0)
        self.assertEqual("day 2, 1:40:00", figures.moment(trace, 308))
