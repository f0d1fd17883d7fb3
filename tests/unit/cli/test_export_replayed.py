# SPDX-License-Identifier: Apache-2.0
"""What the agent wrote, exported, is what simulate replays."""

import json
import math

from nova_xen_overcommit.agent.history.records import GuestStep, HostStep
from tests.simulator import MIB
from tests.unit.agent.history.stored import DAY, StoredTest
from tests.unit.cli.tool import ToolMixin

GUESTS = 12
STEPS = 288
SIZE_MIB = 2048


def used_mib(guest: int, number: int) -> int:
    """Give a day with a peak at an hour of the guest's own."""
    hours = (number / 12 - guest) % 24
    return 200 + round(900 * math.exp(-((hours - 12) ** 2)))


class ExportReplayedTest(ToolMixin, StoredTest):
    def setUp(self) -> None:
        super().setUp()
        for number in range(STEPS):
            # One guest is silent for an hour.
            used = [
                0
                if guest == 3 and 100 <= number < 112
                else used_mib(guest, number)
                for guest in range(GUESTS)
            ]
            guests = [
                GuestStep(f"vm-{guest}", SIZE_MIB * MIB, mib * MIB, mib * MIB)
                for guest, mib in enumerate(used)
            ]
            self.write(
                HostStep(DAY + 300 * number, 300, sum(used) * MIB, guests)
            )

    def test_a_store_goes_through_export_and_replay(self) -> None:
        trace = self.path.parent / "history.csv"
        code, out, err = self.run_words(
            "history",
            "export",
            "--history-dir",
            str(self.path),
            "--output",
            str(trace),
        )
        self.assertEqual(
            (0, f"{GUESTS * STEPS} rows in {trace}\n", ""), (code, out, err)
        )
        code, out, _err = self.run_words(
            "simulate",
            "--trace",
            str(trace),
            "--host-gib",
            "8",
            "--predictor",
            "max",
            "--format",
            "json",
        )
        self.assertEqual(0, code)
        result = json.loads(out)
        self.assertEqual(
            (GUESTS, STEPS, 300),
            (
                result["trace"]["vms"],
                result["trace"]["steps"],
                result["trace"]["step_s"],
            ),
        )
        # Three flavors of 2 GiB fit into 7.5 GiB.
        self.assertEqual(4, result["hosts"]["stock"])
        self.assertLess(result["hosts"]["overcommit"], 4)
        self.assertGreater(result["hosts"]["overcommit"], 0)
