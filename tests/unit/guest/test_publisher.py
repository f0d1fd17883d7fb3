# SPDX-License-Identifier: Apache-2.0
"""The real publisher under the shells that guests have."""

import contextlib
import subprocess
import tempfile
import time
import unittest
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.unit.guest import guest_world

NAME = "nova-xen-overcommit-publisher"
_XS_WRITE = 11


class PublisherTestCase(unittest.TestCase):
    """Runs each test under each shell, in a guest of its own."""

    @contextlib.contextmanager
    def each_shell(
        self, shell: tuple[str, ...]
    ) -> Iterator[guest_world.GuestWorld]:
        with self.subTest(shell=shell[0]), guest_world.GuestWorld() as guest:
            yield guest


class FiguresTest(PublisherTestCase):
    def test_all_figures_in_one_line(self) -> None:
        # Given a guest that has swapped
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.at(0, swap_free=1000000, swap_in_pages=25, psi_us=9999)
                # When the publisher looks for the first time
                outcome = guest.run(shell, looks=1)
                # Then it writes all figures at once
                line = (
                    "0 6 data/nova_xen_overcommit v=1 seq=1 "
                    "mem_total_kib=980332 mem_available_kib=800000 "
                    "swap_total_kib=1048572 swap_free_kib=1000000 "
                    "swap_in_kib=100 swap_out_kib=12 psi_some_us=9999 "
                    "period_s=5 data/meminfo_total 980332 "
                    "data/meminfo_free 800000"
                )
                self.assertEqual([line], outcome.lines)
                self.assertEqual("", outcome.stderr)

    def test_counters_beyond_32_bits(self) -> None:
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.at(0, swap_in_pages=1 << 40, psi_us=(1 << 50) + 1)
                figures = guest.run(shell, looks=1).figures()
                self.assertEqual(1 << 42, figures["swap_in_kib"])
                self.assertEqual((1 << 50) + 1, figures["psi_some_us"])

    def test_a_kernel_without_psi(self) -> None:
        # Given a kernel without PSI, and one that has it switched off
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.at(0, psi_us=None)
                guest.at(1, psi_us=5)
                (guest.root / "proc.1/pressure/memory").write_text("")
                # When the publisher looks
                outcome = guest.run(shell, looks=6)
                # Then it says so, and complains of nothing
                self.assertEqual(-1, outcome.figures(0)["psi_some_us"])
                self.assertEqual(-1, outcome.figures(-1)["psi_some_us"])
                self.assertEqual("", outcome.stderr)

    def test_a_guest_without_swap_or_vmstat(self) -> None:
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.at(0, swap_total=0, swap_free=0, swap_in_pages=None)
                outcome = guest.run(shell, looks=1)
                figures = outcome.figures()
                self.assertEqual(0, figures["swap_total_kib"])
                self.assertEqual(0, figures["swap_in_kib"])
                self.assertEqual("", outcome.stderr)

    def test_old_kernels_dont_say_what_is_available(self) -> None:
        # Given a kernel without MemAvailable
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.at(0, available=None, free=500000)
                # Then free memory and caches stand in
                figures = guest.run(shell, looks=1).figures()
                self.assertEqual(510000, figures["mem_available_kib"])

    def test_never_more_available_than_there_is(self) -> None:
        # Given the balloon moved between the kernel's two figures
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.at(0, total=300000, available=310000)
                figures = guest.run(shell, looks=1).figures()
                self.assertEqual(300000, figures["mem_available_kib"])


class WhenTest(PublisherTestCase):
    def seconds(
        self, shell: tuple[str, ...], looks: int, *changes: dict[str, int]
    ) -> list[int]:
        """Give when it writes if changes come at seconds 2, 3, ..."""
        with self.each_shell(shell) as guest:
            guest.at(0)
            for second, change in enumerate(changes, start=2):
                guest.at(second, **change)
            return guest.run(shell, looks).seconds
        return []

    def test_a_quiet_guest_writes_each_period(self) -> None:
        # Given nothing changes
        # Then it writes at its start and each 5 s
        for shell in guest_world.SHELLS:
            self.assertEqual([0, 5, 10], self.seconds(shell, 12))

    def test_a_change_is_written_at_once(self) -> None:
        # Given a change at second 2, of each kind that counts
        # Then it is written then, and 5 s later again
        step_kib = 980332 // 64 + 1
        for change in (
            {"available": 800000 - step_kib},
            {"available": 800000 + step_kib},
            {"total": 980332 - step_kib},
            {"swap_free": 1048572 - step_kib},
            {"psi_us": 1},
        ):
            for shell in guest_world.SHELLS:
                with self.subTest(change=change):
                    self.assertEqual([0, 2, 7], self.seconds(shell, 9, change))

    def test_swap_in_is_written_at_once(self) -> None:
        # Given a guest with a little in swap
        # When the first page comes back in
        # Then it is written at once
        for shell in guest_world.SHELLS:
            seconds = self.seconds(
                shell,
                5,
                {"swap_free": 1048000},
                {"swap_free": 1048000, "swap_in_pages": 1},
            )
            self.assertEqual([0, 3], seconds)

    def test_small_changes_wait(self) -> None:
        # Given a change just below a 64th of the guest's memory
        # Then it waits for the period
        small_kib = 980332 // 64 - 1
        for shell in guest_world.SHELLS:
            self.assertEqual(
                [0, 5],
                self.seconds(shell, 7, {"available": 800000 - small_kib}),
            )

    def test_small_changes_add_up(self) -> None:
        # Given memory shrinks a little each second
        # Then it is written when the sum is worth it
        for shell in guest_world.SHELLS:
            self.assertEqual(
                [0, 3],
                self.seconds(
                    shell, 5, {"available": 790000}, {"available": 780000}
                ),
            )

    def test_the_sequence_grows_with_each_write(self) -> None:
        with guest_world.GuestWorld() as guest:
            guest.at(0)
            outcome = guest.run(("dash",), looks=11)
            self.assertEqual(
                [1, 2, 3], [outcome.figures(i)["seq"] for i in range(3)]
            )

    def test_a_failed_write_is_tried_again(self) -> None:
        # Given xenstore refuses
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.at(0)
                record = guest.root / "bin" / "record"
                text = record.read_text()
                record.write_text(text + '[ "$second" -ge 2 ]\n')
                # When it does so at the first two tries
                outcome = guest.run(shell, looks=4)
                # Then there is one each second, with the same number
                self.assertEqual([0, 1, 2], outcome.seconds)
                self.assertEqual(1, outcome.figures(-1)["seq"])


class DeviceTest(PublisherTestCase):
    def test_messages_in_xenstores_wire_format(self) -> None:
        # Given xenstore's device
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.at(0)
                device = guest.root / "xenbus"
                device.touch()
                # When the publisher writes to it
                guest.run(
                    shell,
                    looks=1,
                    NXO_XENSTORE_WRITE="",
                    NXO_XENBUS=str(device),
                )
                # Then each key is one XS_WRITE without a transaction
                wrote = guest_world.messages(device.read_bytes())
                self.assertEqual(
                    {(_XS_WRITE, 0, 0)}, {message[:3] for message in wrote}
                )
                bodies = [body.split(b"\0") for *_head, body in wrote]
                self.assertEqual(b"data/nova_xen_overcommit", bodies[0][0])
                self.assertTrue(bodies[0][1].startswith(b"v=1 seq=1 mem_"))
                self.assertEqual(
                    [
                        [b"data/meminfo_total", b"980332"],
                        [b"data/meminfo_free", b"800000"],
                    ],
                    bodies[1:],
                )

    def test_long_values_carry_their_length(self) -> None:
        # Given figures so long that the length needs its second byte
        with guest_world.GuestWorld() as guest:
            guest.at(0, total=10**17, available=10**17, swap_total=10**17)
            device = guest.root / "xenbus"
            device.touch()
            guest.run(
                ("dash",),
                looks=1,
                NXO_XENSTORE_WRITE="",
                NXO_XENBUS=str(device),
                NXO_PERIOD_S="0" * 60 + "5",
            )
            (_k, _r, _t, body), *_rest = guest_world.messages(
                device.read_bytes()
            )
            self.assertGreater(len(body), 256)

    def test_a_missing_device_is_waited_for(self) -> None:
        # Given xenstore's device went away
        with guest_world.GuestWorld() as guest:
            guest.at(0)
            device = guest.root / "xenbus"
            # When the publisher runs on
            guest.run(
                ("dash",),
                looks=3,
                NXO_XENSTORE_WRITE="",
                NXO_XENBUS=str(device),
            )
            # Then it makes no file in its place
            self.assertFalse(device.exists())


class RealTimeTest(PublisherTestCase):
    def test_a_look_each_second(self) -> None:
        # Given the shells' own ways to pause
        for shell in guest_world.SHELLS:
            with self.each_shell(shell) as guest:
                guest.at(0)
                (guest.root / "bin" / "sleep").unlink()
                began_s = time.monotonic()
                # When the publisher looks three times
                guest.run(shell, looks=3, TMPDIR=str(guest.root))
                # Then two seconds have passed, and its pipe is gone
                passed_s = time.monotonic() - began_s
                self.assertGreater(passed_s, 1.9)
                self.assertLess(passed_s, 5)
                left = [p for p in guest.root.iterdir() if p.is_fifo()]
                self.assertEqual([], left)


class ShippedFilesTest(unittest.TestCase):
    def test_vendor_data_is_made_of_the_files_beside_it(self) -> None:
        made = subprocess.run(
            [str(guest_world.GUEST_DIR / "make-vendor-data")],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        shipped = guest_world.GUEST_DIR / "vendor-data.sh"
        self.assertEqual(made, shipped.read_text())

    def test_vendor_data_for_guests_that_move_their_own_balloons(self):
        made = subprocess.run(
            [str(guest_world.GUEST_DIR / "make-vendor-data"), "self-balloon"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        shipped = (guest_world.GUEST_DIR / "vendor-data.sh").read_text()
        changed = set(made.splitlines()) - set(shipped.splitlines())
        self.assertEqual({"NXO_SELF_BALLOON=yes"}, changed)

    def test_the_openrc_script_hands_the_settings_on(self) -> None:
        # Given its settings, in a directory of ours
        with tempfile.TemporaryDirectory() as name:
            settings = Path(name, "settings")
            settings.write_text("NXO_SELF_BALLOON=yes\n")
            script = (
                guest_world.PUBLISHER.with_suffix(".openrc").read_text()
            ).replace(
                "/etc/default/nova-xen-overcommit-publisher", str(settings)
            )
            # When OpenRC reads the script and starts a process
            for shell in guest_world.SHELLS:
                told = subprocess.run(
                    [*shell, "-c", f"{script}\nenv"],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
                # Then that has them
                self.assertIn("NXO_SELF_BALLOON=yes", told.splitlines())

    def test_vendor_data_is_no_cloud_config(self) -> None:
        # Of which a user's own would replace parts
        text = (guest_world.GUEST_DIR / "vendor-data.sh").read_text()
        self.assertTrue(text.startswith("#!/bin/sh\n"))

    def test_vendor_data_starts_it_by_the_init_system_there_is(self) -> None:
        service = f"{NAME}.service"
        cases = {
            f"etc/systemd/system/{service}": (
                ".service",
                [
                    "daemon-reload",
                    f"enable {service}",
                    f"restart --no-block {service}",
                ],
            ),
            f"etc/init.d/{NAME}": (
                ".openrc",
                [f"add {NAME} default", f"{NAME} restart"],
            ),
        }
        for shell in guest_world.SHELLS:
            for unit, (suffix, told) in cases.items():
                with (
                    self.subTest(shell=shell, unit=unit),
                    tempfile.TemporaryDirectory() as name,
                ):
                    # Given a guest with one of them
                    root = Path(name)
                    self.make_init_system(root, systemd=suffix == ".service")
                    # When cloud-init runs the script, in each boot
                    for _ in range(2):
                        self.run_vendor_data(shell, root)
                    # Then it is started now, and will be at each boot
                    found = (root / "told").read_text().splitlines()
                    self.assertEqual(2 * told, found)
                    # And has what it needs, and nothing else
                    files = {
                        f"usr/local/sbin/{NAME}": ("", 0o755),
                        f"etc/default/{NAME}": (".default", 0o644),
                        unit: (suffix, 0o755 if "init.d" in unit else 0o644),
                    }
                    self.assertEqual(set(files), self.files_below(root))
                    for path, (kind, mode) in files.items():
                        wanted = guest_world.PUBLISHER.with_suffix(kind)
                        self.assertEqual(
                            wanted.read_text(), (root / path).read_text()
                        )
                        found_mode = (root / path).stat().st_mode & 0o777
                        self.assertEqual(mode, found_mode, path)

    @staticmethod
    def make_init_system(root: Path, *, systemd: bool) -> None:
        """Make programs that tell how they are called."""
        (root / "bin").mkdir()
        tell = f'#!/bin/sh\necho "$*" >>{root}/told\n'
        # Debian's refuses what looks like a script of System V, too.
        script = root / "etc/init.d" / NAME
        strict = f'{tell}[ "$1" != enable ] || [ ! -e {script} ]\n'
        for name in ("systemctl", "rc-update", "rc-service"):
            program = root / "bin" / name
            program.write_text(strict if name == "systemctl" else tell)
            program.chmod(0o755)
        if systemd:
            (root / "run/systemd/system").mkdir(parents=True)

    @staticmethod
    def run_vendor_data(shell: Sequence[str], root: Path) -> None:
        """Run it as in a guest whose root is ``root``."""
        text = (guest_world.GUEST_DIR / "vendor-data.sh").read_text()
        for path in (
            "place 0755 /usr/local/sbin/",
            "place 0644 /etc/default/",
            "place 0644 /etc/systemd/",
            "place 0755 /etc/init.d/",
            "[ -d /run/systemd/",
        ):
            text = text.replace(path, path.replace(" /", f" {root}/"))
        subprocess.run(
            [*shell, "-c", text],
            env={"PATH": f"{root}/bin:/bin:/usr/bin"},
            check=True,
        )

    @staticmethod
    def files_below(root: Path) -> set[str]:
        """Name all files but those of the init system."""
        found = {
            str(path.relative_to(root))
            for path in root.rglob("*")
            if path.is_file()
        }
        return {name for name in found if not name.startswith("bin/")} - {
            "told"
        }

    def test_the_publisher_can_be_run(self) -> None:
        self.assertTrue(guest_world.PUBLISHER.stat().st_mode & 0o111)
