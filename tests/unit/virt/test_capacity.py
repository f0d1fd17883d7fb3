# SPDX-License-Identifier: Apache-2.0
import unittest

from hypothesis import given
from hypothesis import strategies as st

from nova_xen_overcommit.report import HostReport
from nova_xen_overcommit.virt import capacity, inventory
from tests.reports import host_report

STOCK = capacity.Ratios(configured=None, initial=1.0)


class AllocationRatioTestCase(unittest.TestCase):
    """4 GiB host, 512 MiB reserved, 3 GiB usable, 12 GiB promised."""

    def capacity(
        self,
        mode: str,
        report: HostReport | None = None,
        usable_mib: int = 3000,
        ratios: capacity.Ratios = STOCK,
    ) -> int:
        found = capacity.allocation_ratio(
            mode, 4096, 512, report, usable_mib, ratios
        )
        return inventory.capacity_mib(4096, 512, found.ratio)

    def test_overcommit_is_the_promise(self) -> None:
        self.assertEqual(12288, self.capacity("overcommit", host_report()))

    def test_balance_is_what_is_usable(self) -> None:
        self.assertEqual(3072, self.capacity("balance", host_report()))

    def test_what_is_not_novas_is_not_there_for_nova(self) -> None:
        # Given guests of 1 GiB that aren't Nova's; the promise is without it
        report = host_report(foreign_mib=1024)
        self.assertEqual(12288, self.capacity("overcommit", report))
        self.assertEqual(2048, self.capacity("balance", report))
        self.assertEqual(3584, self.capacity("observe", report))
        # When they have more than is usable, then nothing is left
        report = host_report(foreign_mib=9999)
        self.assertEqual(0, self.capacity("balance", report))

    def test_the_more_careful_mode_holds(self) -> None:
        report = host_report(mode="balance")
        self.assertEqual(3072, self.capacity("overcommit", report))
        report = host_report(mode="observe")
        self.assertEqual(3584, self.capacity("overcommit", report))

    def test_observe_is_stock(self) -> None:
        self.assertEqual(3584, self.capacity("observe", host_report()))
        generous = capacity.Ratios(configured=1.5, initial=1.0)
        found = self.capacity("observe", host_report(), ratios=generous)
        self.assertEqual(5376, found)

    def test_without_a_report_it_is_what_was_last_usable(self) -> None:
        self.assertEqual(3000, self.capacity("overcommit"))
        self.assertEqual(3000, self.capacity("balance"))
        self.assertEqual(3584, self.capacity("overcommit", usable_mib=9999))
        self.assertEqual(0, self.capacity("overcommit", usable_mib=-1))

    def test_a_configured_ratio_bounds(self) -> None:
        ratios = capacity.Ratios(configured=2.0, initial=1.0)
        found = self.capacity("overcommit", host_report(), ratios=ratios)
        self.assertEqual(7168, found)
        report = host_report(promise_mib=5000)
        found = self.capacity("overcommit", report, ratios=ratios)
        self.assertEqual(5000, found)

    def test_a_configured_ratio_of_zero_is_none(self) -> None:
        ratios = capacity.Ratios(configured=0.0, initial=1.0)
        found = self.capacity("overcommit", host_report(), ratios=ratios)
        self.assertEqual(12288, found)

    def test_all_is_reserved(self) -> None:
        found = capacity.allocation_ratio(
            "overcommit", 512, 512, host_report(), 0, STOCK
        )
        self.assertEqual(capacity.Decision(1.0), found)

    @given(
        st.sampled_from(["balance", "overcommit"]),
        st.integers(1, 1 << 20),
        st.integers(0, 1 << 20),
        st.integers(0, 1 << 24),
        st.one_of(st.none(), st.floats(0.01, 64)),
    )
    def test_never_more_than_promised_nor_than_configured(
        self,
        mode: str,
        total_mib: int,
        reserved_mib: int,
        promise_mib: int,
        configured: float | None,
    ) -> None:
        if total_mib <= reserved_mib:
            return
        report = host_report(
            mode=mode,
            promise_mib=promise_mib,
            usable_mib=total_mib // 2,
            physical_mib=total_mib,
        )
        found = capacity.allocation_ratio(
            mode,
            total_mib,
            reserved_mib,
            report,
            0,
            capacity.Ratios(configured, 1.0),
        )
        if configured:
            self.assertLessEqual(found.ratio, configured)
        most_mib = inventory.most_mib(total_mib, reserved_mib, found.ratio)
        wanted_mib = promise_mib
        if mode == "balance":
            wanted_mib = min(total_mib // 2, total_mib - reserved_mib)
        self.assertEqual(wanted_mib, found.wanted_mib)
        if found.cut:
            self.assertEqual(configured, found.ratio)
        else:
            self.assertLessEqual(most_mib, wanted_mib)
