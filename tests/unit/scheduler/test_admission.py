# SPDX-License-Identifier: Apache-2.0
"""The filter's decision, rule by rule."""

import unittest
from typing import Any

from nova_xen_overcommit import exception
from nova_xen_overcommit import report as report_module
from nova_xen_overcommit.scheduler import admission
from tests.unit.scheduler import world

UNUSED_MIB = 128  # of the host's physical memory, beside three guests


class AdmissionTestCase(unittest.TestCase):
    """Asks for a guest on the host of :mod:`world`."""

    def refusal(
        self,
        report: report_module.HostReport | None = world.REPORT,
        guest: admission.Request = world.GUEST,
        host: admission.HostFigures = world.HOST,
        **more: Any,
    ) -> admission.Why | None:
        return admission.decide(
            report, guest, host, world.NOW_S, world.LIMITS, **more
        )

    def assert_passes(self, *args: Any, **kwargs: Any) -> None:
        self.assertIsNone(self.refusal(*args, **kwargs))

    def assert_refuses(
        self, reason: str, words: str, *args: Any, **kwargs: Any
    ) -> None:
        why = self.refusal(*args, **kwargs)
        assert why is not None
        self.assertEqual(reason, why.reason)
        self.assertIn(words, str(why))


class WithoutReportTest(AdmissionTestCase):
    def test_a_guest_that_fits_physically_passes(self) -> None:
        # Given a host without a report, with 128 MiB not given away
        # When a guest of 128 MiB is asked for
        # Then the host shall pass
        self.assert_passes(None, world.a_guest(memory_mib=UNUSED_MIB))

    def test_one_mib_more_than_is_there_is_refused(self) -> None:
        # Given a host without a report, with 128 MiB not given away
        # When a guest of 129 MiB is asked for
        # Then the host shall NOT pass
        guest = world.a_guest(memory_mib=UNUSED_MIB + 1)
        self.assert_refuses("no_report", "it has no report", None, guest)

    def test_the_reason_for_the_missing_report_is_said(self) -> None:
        # Given a host whose report can't be read
        # When more is asked for than is physically there
        # Then the refusal says why the report wasn't believed
        self.assert_refuses(
            "unreadable",
            "truncated",
            None,
            why_no_report=admission.why_invalid(
                exception.UnreadableReport("truncated")
            ),
        )

    def test_an_overcommitted_host_takes_nothing(self) -> None:
        # Given more was placed on the host than it has, and no report
        # When the smallest guest is asked for
        # Then the host shall NOT pass
        guest = world.a_guest(memory_mib=1)
        self.assert_refuses(
            "no_report", "-896 MiB", None, guest, world.a_host(1)
        )


class OldReportTest(AdmissionTestCase):
    def test_a_report_at_the_age_limit_is_believed(self) -> None:
        # Given a report exactly as old as is believed
        # When a guest beyond physical memory is asked for
        # Then the host shall pass
        self.assert_passes(world.a_report(time_s=world.NOW_S - 180))

    def test_an_older_report_refuses_beyond_physical_memory(self) -> None:
        # Given a report one second older
        # When a guest beyond physical memory is asked for
        # Then the host shall NOT pass
        old = world.a_report(time_s=world.NOW_S - 181)
        self.assert_refuses("old_report", "181 s old", old)

    def test_an_older_report_still_lets_physical_memory_be_used(self) -> None:
        # Given an old report
        # When a guest is asked for that fits physically
        # Then the host shall pass
        old = world.a_report(time_s=world.NOW_S - 1000)
        self.assert_passes(old, world.a_guest(memory_mib=UNUSED_MIB))

    def test_what_the_hypervisor_needs_is_remembered(self) -> None:
        # Given an old report that said the host can use 100 MiB less than
        # Nova thinks
        # When a guest as large as Nova thinks would fit is asked for
        # Then the host shall NOT pass
        old = world.a_report(time_s=0, usable_mib=3100)
        guest = world.a_guest(memory_mib=UNUSED_MIB)
        self.assert_refuses("old_report", "28 MiB not yet", old, guest)

    def test_a_clock_slightly_ahead_is_believed(self) -> None:
        # Given the host's clock is ahead by what is allowed
        # When a guest beyond physical memory is asked for
        # Then the host shall pass
        self.assert_passes(world.a_report(time_s=world.NOW_S + 30))

    def test_a_clock_far_ahead_is_not_believed(self) -> None:
        # Given the host's clock is ahead by more than that
        # When a guest beyond physical memory is asked for
        # Then the host shall NOT pass
        ahead = world.a_report(time_s=world.NOW_S + 31)
        self.assert_refuses("clock_ahead", "31 s ahead", ahead)

    def test_clocks_five_minutes_apart(self) -> None:
        # Given a host whose clock is five minutes ahead, or behind
        # When a guest beyond physical memory is asked for
        # Then the host shall NOT pass, and it is said which
        # When one is asked for that fits physically, then it shall
        fits = world.a_guest(memory_mib=UNUSED_MIB)
        for skew_s, reason, words in (
            (300, "clock_ahead", "300 s ahead of this clock"),
            (-300, "old_report", "300 s old"),
        ):
            skewed = world.a_report(time_s=world.NOW_S + skew_s)
            with self.subTest(skew_s=skew_s):
                self.assert_refuses(reason, words, skewed)
                self.assert_passes(skewed, fits)

    def test_an_old_report_counts_in_observe_mode_too(self) -> None:
        # Given an old report of a host that only observed
        # When a guest beyond physical memory is asked for
        # Then the host shall NOT pass, as its mode may have changed since
        old = world.a_report(time_s=0, mode="observe")
        self.assert_refuses("old_report", "s old", old)


class AbsurdReportTest(AdmissionTestCase):
    def test_more_memory_than_the_host_has_is_not_believed(self) -> None:
        # Given a host of 4096 MiB, whose report speaks of one MiB more
        # When a guest beyond physical memory is asked for
        # Then the host shall NOT pass, in whatever mode it is
        larger = {"physical_mib": 8192}
        for changes in (
            {"usable_mib": 4097},
            {"free_mib": 4097, "reclaimable_mib": 0},
            {"free_mib": 0, "reclaimable_mib": 4097},
            {"free_mib": 2048, "reclaimable_mib": 2049},
        ):
            for mode in report_module.MODES:
                report = world.a_report(mode=mode, **larger, **changes)
                with self.subTest(mode=mode, changes=changes):
                    self.assert_refuses("absurd", "4097 MiB", report)

    def test_all_that_the_host_has_is_believed(self) -> None:
        # Given a report that speaks of just what the host has
        # When a guest is asked for, then the host shall pass
        for changes in (
            {"usable_mib": 4096},
            {"free_mib": 4096, "reclaimable_mib": 0},
            {"free_mib": 0, "reclaimable_mib": 4096},
            {"free_mib": 2048, "reclaimable_mib": 2048},
        ):
            with self.subTest(changes=changes):
                self.assert_passes(world.a_report(**changes))

    def test_physical_memory_can_still_be_used(self) -> None:
        # Given a report nobody can believe
        # When a guest that fits physically is asked for
        # Then the host shall pass
        absurd = world.a_report(free_mib=9999)
        self.assert_passes(absurd, world.a_guest(memory_mib=UNUSED_MIB))


class ModeTest(AdmissionTestCase):
    def test_observing_hosts_pass_as_in_stock_nova(self) -> None:
        # Given a host that only observes and is under pressure
        # When a guest far beyond its memory is asked for
        # Then the host shall pass: Nova's own rules decide
        report = world.a_report(mode="observe", state=report_module.PRESSURE)
        self.assert_passes(report, world.a_guest(memory_mib=99999))

    def test_balancing_hosts_take_what_fits_physically(self) -> None:
        # Given a host that only balances
        # When a guest is asked for that fits physically
        # Then the host shall pass
        report = world.a_report(mode="balance")
        self.assert_passes(report, world.a_guest(memory_mib=UNUSED_MIB))

    def test_balancing_hosts_refuse_more(self) -> None:
        # Given a host that only balances, with much idle memory
        # When a guest is asked for that doesn't fit physically
        # Then the host shall NOT pass
        report = world.a_report(mode="balance")
        self.assert_refuses("only_balances", "it only balances", report)

    def test_balancing_hosts_keep_their_reserve(self) -> None:
        # Given a host that only balances, whose guests never yield
        # When a guest is asked for that would need the reserve for ever
        # Then the host shall NOT pass
        report = world.a_report(mode="balance", floors_mib=3072)
        guest = world.a_guest(memory_mib=UNUSED_MIB, overcommit=False)
        self.assert_refuses(
            "floors", "floors would be 3200 MiB", report, guest
        )


class OvercommitTest(AdmissionTestCase):
    def test_idle_memory_lets_a_guest_in(self) -> None:
        # Given three of three GiB are given away, much of it idle
        # When a fourth GiB is asked for
        # Then the host shall pass
        self.assert_passes()

    def test_hosts_that_make_room_pass(self) -> None:
        # Given a host that is just reclaiming memory
        # When a guest is asked for
        # Then the host shall pass
        self.assert_passes(world.a_report(state=report_module.RECLAIMING))

    def test_hosts_under_pressure_are_refused(self) -> None:
        # Given a host that can't give its guests what they need
        # When a guest is asked for, ballooned or not
        # Then the host shall NOT pass
        for state in (report_module.PRESSURE, report_module.EMERGENCY):
            for overcommit in (True, False):
                with self.subTest(state=state, overcommit=overcommit):
                    self.assert_refuses(
                        "pressure",
                        f"its state is {state}",
                        world.a_report(state=state),
                        world.a_guest(overcommit=overcommit),
                    )

    def test_the_promise_is_kept_to_the_mib(self) -> None:
        # Given a promise of 4096 MiB, 3072 of it given away
        # When 1024 MiB are asked for, then the host shall pass
        # When 1025 MiB are asked for, then it shall NOT pass
        report = world.a_report(promise_mib=4096)
        self.assert_passes(report)
        larger = world.a_guest(memory_mib=1025, swap_mib=2048)
        self.assert_refuses("promise", "it promises 4096 MiB", report, larger)

    def test_a_promise_beyond_the_operators_ratio_is_cut(self) -> None:
        # Given a promise that exceeds usable memory times the ratio
        # When a guest within the promise, beyond the ratio, is asked for
        # Then the host shall NOT pass
        report = world.a_report(promise_mib=90000, max_ratio=1.25)
        self.assert_refuses("promise", "it promises 4000 MiB", report)

    def test_claims_since_the_report_count(self) -> None:
        # Given room for two more guests by the promise
        # When one was placed since the report, then the host shall pass
        # When two were, then it shall NOT pass
        report = world.a_report(promise_mib=3072 + 2048)
        self.assert_passes(report, host=world.a_host(1))
        self.assert_refuses(
            "promise", "5120 MiB are placed", report, host=world.a_host(2)
        )

    def test_an_instance_deleted_since_gives_no_credit(self) -> None:
        # Given an instance was deleted since the report
        # When a guest is asked for that fits only without it
        # Then the host shall NOT pass before its next report
        report = world.a_report(promise_mib=3072)
        self.assert_refuses(
            "promise", "it promises", report, host=world.a_host(-1)
        )


class GuestSwapTest(AdmissionTestCase):
    def test_flavors_stay_within_memory_and_swap(self) -> None:
        # Given guest swap is required, and running guests have none
        # When the guest's own swap holds what memory can't
        # Then the host shall pass, and with one MiB less it shall NOT
        fits = world.a_report(usable_mib=3200, swap_mib=0)
        self.assert_passes(fits, world.a_guest(swap_mib=896))
        self.assert_refuses(
            "guest_swap", "all guests' swap", fits, world.a_guest(swap_mib=895)
        )

    def test_not_required_means_not_counted(self) -> None:
        # Given guest swap is not required
        # When a guest without swap is asked for
        # Then the host shall pass
        report = world.a_report(swap_mib=0, require_guest_swap=False)
        self.assert_passes(report, world.a_guest(swap_mib=0))

    def test_swap_beyond_the_flavor_holds_nothing_of_others(self) -> None:
        # Given guest swap is required, and running guests have none
        # When a guest is asked for with far more swap than memory
        # Then what is beyond its memory doesn't count
        report = world.a_report(usable_mib=3071, swap_mib=0)
        self.assert_refuses(
            "guest_swap",
            "swap, 4095 MiB",
            report,
            world.a_guest(swap_mib=9999),
        )

    def test_what_guests_cost_beside_their_memory_is_taken_off(self) -> None:
        # Given memory and swap that just hold the flavors
        # When guests cost one MiB beside their memory
        # Then the host shall NOT pass
        fits = {"usable_mib": 3200, "swap_mib": 0}
        guest = world.a_guest(swap_mib=896)
        self.assert_passes(world.a_report(**fits), guest)
        self.assert_refuses(
            "guest_swap",
            "swap, 4095 MiB",
            world.a_report(**fits, overhead_mib=1),
            guest,
        )

    def test_claims_count_without_swap(self) -> None:
        # Given an instance was placed since the report, its swap unknown
        # When another is asked for
        # Then the first counts as if it had none
        report = world.a_report(swap_mib=0)
        self.assert_refuses(
            "guest_swap",
            "flavors would be 5120 MiB",
            report,
            world.a_guest(swap_mib=1024),
            world.a_host(1),
        )


class FloorsTest(AdmissionTestCase):
    def test_floors_and_reserve_fill_the_host_to_the_mib(self) -> None:
        # Given a new 1 GiB guest has a floor of 170 MiB
        # When floors, reserve and it fill the host, then it shall pass
        # When one MiB lacks, then it shall NOT pass
        free_mib = 3200 - 128 - 170
        self.assert_passes(world.a_report(floors_mib=free_mib))
        self.assert_refuses(
            "floors",
            "floors would be 3073 MiB",
            world.a_report(floors_mib=free_mib + 1),
        )

    def test_the_flavors_own_floor_counts(self) -> None:
        # Given room for floors of 306 MiB
        # When the flavor's floor is 306 MiB, then the host shall pass
        # When it is 307 MiB, then it shall NOT pass
        report = world.a_report(floors_mib=3200 - 128 - 306)
        self.assert_passes(report, world.a_guest(floor_mib=306))
        self.assert_refuses(
            "floors", "floors", report, world.a_guest(floor_mib=307)
        )

    def test_what_a_guest_cant_swap_counts_where_that_is_required(self):
        # Given room for floors of 512 MiB, and guest swap is required
        # When the guest can swap half of its 1 GiB, the host shall pass
        # When it can swap one MiB less, then it shall NOT pass
        floors = {"floors_mib": 3200 - 128 - 512}
        report = world.a_report(**floors)
        self.assert_passes(report, world.a_guest(swap_mib=512))
        self.assert_refuses(
            "floors", "floors", report, world.a_guest(swap_mib=511)
        )
        # When swap is not required, then it shall
        report = world.a_report(**floors, require_guest_swap=False)
        self.assert_passes(report, world.a_guest(swap_mib=0))

    def test_floors_of_claims_count(self) -> None:
        # Given room for the floors of two guests
        # When one was placed since the report, then the host shall pass
        # When two were, then it shall NOT pass
        report = world.a_report(floors_mib=3200 - 128 - 2 * 170)
        self.assert_passes(report, host=world.a_host(1))
        self.assert_refuses("floors", "floors", report, host=world.a_host(2))

    def test_many_small_claims_count_each(self) -> None:
        # Given eight guests of 128 MiB were placed since the report
        # When their floors are summed
        # Then each counts with its own floor of 91 MiB
        claims = admission.Claims.since(
            world.REPORT, world.a_host(8, flavor_mib=128)
        )
        floors_mib, starts_mib = claims.least_mib(world.REPORT)
        self.assertEqual(admission.Claims(1024, 8), claims)
        self.assertEqual((8 * 91, 8 * 91), (floors_mib, starts_mib))


class StartTest(AdmissionTestCase):
    def test_a_start_needs_its_share_free_or_reclaimable(self) -> None:
        # Given a 1 GiB guest starts with 256 MiB, and 16 MiB of slack
        # When 272 MiB are free or can be freed, then the host shall pass
        # When 271 MiB are, then it shall NOT pass
        self.assert_passes(world.a_report(free_mib=72, reclaimable_mib=200))
        self.assert_refuses(
            "start",
            "a start needs 256 MiB",
            world.a_report(free_mib=71, reclaimable_mib=200),
        )

    def test_starts_under_way_count(self) -> None:
        # Given 528 MiB are free or can be freed: two starts and the slack
        # When one was placed since the report, then the host shall pass
        # When two were, then it shall NOT pass
        report = world.a_report(free_mib=28, reclaimable_mib=500)
        self.assert_passes(report, host=world.a_host(1))
        self.assert_refuses("start", "512 MiB", report, host=world.a_host(2))

    def test_a_high_floor_is_the_least_a_start_needs(self) -> None:
        # Given 528 MiB are free or can be freed
        # When a guest with a floor of 513 MiB is asked for
        # Then the host shall NOT pass
        report = world.a_report(free_mib=28, reclaimable_mib=500)
        self.assert_passes(report, world.a_guest(floor_mib=512))
        self.assert_refuses(
            "start",
            "a start needs 513 MiB",
            report,
            world.a_guest(floor_mib=513),
        )


class NeverOvercommittedTest(AdmissionTestCase):
    def test_it_starts_with_all_of_its_flavor(self) -> None:
        # Given 1040 MiB are free or can be freed, 16 of it slack
        # When a guest that is never ballooned is asked for
        # Then it passes with 1024 MiB and is refused with 1025
        report = world.a_report(free_mib=240, reclaimable_mib=800)
        fixed = world.a_guest(overcommit=False)
        self.assert_passes(report, fixed)
        larger = world.a_guest(
            memory_mib=1025, swap_mib=2048, overcommit=False
        )
        self.assert_refuses("start", "a start needs 1025 MiB", report, larger)

    def test_its_flavor_is_its_floor(self) -> None:
        # Given room for floors of 1024 MiB
        # When a guest that is never ballooned is asked for
        # Then it passes with 1024 MiB and is refused with one MiB less room
        fixed = world.a_guest(overcommit=False)
        room_mib = 3200 - 128 - 1024
        self.assert_passes(world.a_report(floors_mib=room_mib), fixed)
        self.assert_refuses(
            "floors", "floors", world.a_report(floors_mib=room_mib + 1), fixed
        )
