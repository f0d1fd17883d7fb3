# SPDX-License-Identifier: Apache-2.0
"""One lab: up, used, down."""

import concurrent.futures
import contextlib
import fcntl
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

from tests.lab import cloud as lab_cloud
from tests.lab import (
    control,
    dom0,
    guest_images,
    guests,
    image,
    packages,
    paths,
    processes,
    steps,
    xenhost,
)
from tests.lab import settings as lab_settings

FLAVOR = "lab.1g"
FLAVOR_MIB = 1024
IMAGES = ("pv", "pvh", "hvm")


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """One lab goes up or down at a time."""
    paths.cache().mkdir(parents=True, exist_ok=True)
    with (paths.cache() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Lab:
    """A running lab."""

    def __init__(self, settings: lab_settings.Settings) -> None:
        self.settings = settings
        self.host = xenhost.XenHost(settings.ports["ssh"])
        self.dom0 = dom0.Dom0(settings, self.host)
        self.nova = lab_cloud.Cloud(settings)
        self._consoles: guests.Consoles | None = None
        self._last_report = ""

    # Made and found.

    @classmethod
    def find(cls) -> "Lab | None":
        """The lab that is up; None when there is none."""
        settings = lab_settings.Settings.load()
        alive = settings and processes.pid_of("xen-host")
        return cls(settings) if settings and alive else None

    @classmethod
    def up(cls, mode: str = "observe") -> "Lab":
        """Give the lab that is up, or bring one up.

        :raises LabError: a step failed; the message names the log to read.
            What was started has been ended again.
        """
        with _lock():
            found = cls.find()
            if found:
                return found
            _remove()
            shutil.rmtree(paths.logs(), ignore_errors=True)
            paths.run().mkdir(mode=0o700, parents=True)
            try:
                return cls._bring_up(mode)
            except BaseException:
                _remove()
                raise

    @classmethod
    @contextlib.contextmanager
    def borrowed(cls) -> "Iterator[Lab]":
        """Give the lab that is up, or one that ends with the block.

        :raises LabError: dom0 was too slow, or the lab can't be brought up.
        """
        found = cls.find()
        lab = found or cls.up()
        try:
            yield lab
        except subprocess.TimeoutExpired as error:
            raise steps.LabError(f"dom0 is too slow: {error}") from error
        finally:
            if found:
                lab.dom0.save_logs()
            else:
                lab.down()

    @classmethod
    def _bring_up(cls, mode: str) -> "Lab":
        log = paths.logs()
        packages.install(log / "packages.log")
        settings = lab_settings.Settings.new()
        settings.save()
        lab = cls(settings)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            wheel = pool.submit(
                dom0.build_wheel, paths.run() / "wheel", log / "wheel.log"
            )
            host = pool.submit(lab._start_host, wheel, mode)
            plane = pool.submit(lab._start_control, wheel)
            # A control plane that fails ends the boot, too.
            plane.add_done_callback(_stop_all_on_error)
            guest_files = host.result()
            plane.result()
        lab._fill(guest_files)
        return lab

    def _start_host(
        self, wheel: "concurrent.futures.Future[pathlib.Path]", mode: str
    ) -> pathlib.Path:
        disk, guest_files = image.build(paths.logs() / "image.log")
        self.host.prepare(disk, paths.logs() / "image.log")
        self.host.boot(disk)
        steps.say("Xen boots")
        self.host.wait()
        steps.say("dom0 answers by ssh")
        self.dom0.install(wheel.result())
        self.dom0.configure(mode)
        self.dom0.restart(dom0.AGENT)
        steps.say("agent installed and started")
        return guest_files

    def control(self) -> control.ControlPlane:
        """The servers outside of the emulator."""
        venv = control.environment(paths.logs() / "control.log")
        return control.ControlPlane(self.settings, venv)

    def _start_control(
        self, wheel: "concurrent.futures.Future[pathlib.Path]"
    ) -> None:
        plane = self.control()
        plane.install(wheel.result())
        plane.start()
        steps.say("control plane answers")

    def _fill(self, guest_files: pathlib.Path) -> None:
        """Start nova-compute; images and flavors meanwhile."""
        self.dom0.restart(dom0.COMPUTE)
        self.nova.make_service_role()
        self.nova.make_catalog()
        # Neutron's database mappers are made by the first query; a first
        # one for ports, as Nova's, would fail for good.
        self.nova.call("neutron", "GET", "/networks")
        direct = {
            "kernel_id": self.nova.make_image(
                "kernel", guest_files / "vmlinuz", "aki"
            ),
            "ramdisk_id": self.nova.make_image(
                "ramdisk", guest_files / "initrd.gz", "ari"
            ),
            "os_command_line": guest_images.KERNEL_ARGS,
        }
        empty = guest_files / "empty.raw"
        xen = {**direct, "hw_vm_mode": "xen"}
        self.nova.make_image("pv", empty, "raw", **xen)
        pvh = {**direct, "hw_machine_type": "xenpvh"}
        self.nova.make_image("pvh", empty, "raw", **pvh)
        # Firmware reads an emulated IDE disk word by word, which takes
        # five minutes here; SCSI comes by DMA.
        hvm = {"hw_disk_bus": "scsi"}
        self.nova.make_image("hvm", guest_files / "hvm.raw", "raw", **hvm)
        self.nova.make_flavor(FLAVOR, FLAVOR_MIB, FLAVOR_MIB)
        steps.wait_until(
            "nova-compute",
            self._compute_ready,
            300,
            paths.logs() / "dom0.log",
            pause_s=2,
        )
        steps.say("nova-compute is up")

    def _compute_ready(self) -> bool:
        return self.nova.compute_is_up() and bool(self.nova.memory())

    # Used.

    def ssh(self, command: str, timeout_s: float = 120) -> str:
        """Run a shell command in dom0 and give what it printed."""
        return self.host.ssh(command, timeout_s)

    def set_mode(self, mode: str) -> None:
        """Set ``[xen_overcommit] mode`` of agent and nova-compute.

        The agent takes it at run time; nova-compute ends by SIGHUP with
        native threads, so it is started anew.
        """
        if self.dom0.mode() == mode:
            return
        self.dom0.configure(mode)
        self.dom0.reload(dom0.AGENT)
        self.restart_compute()

    def restart_compute(self) -> None:
        """Start nova-compute anew and wait until Nova hears of it."""
        self.dom0.stop(dom0.COMPUTE)
        self.start_compute()
        self.wait_for_compute()

    def start_compute(self) -> None:
        """Start nova-compute, which must not run."""
        self._last_report = self.nova.compute_reported_at()
        self.dom0.restart(dom0.COMPUTE)

    def wait_for_compute(self) -> None:
        """Wait until Nova has heard of the nova-compute started last."""
        steps.wait_until(
            "nova-compute",
            lambda: self.nova.compute_reported_at() > self._last_report,
            400,
            paths.logs() / "dom0.log",
            pause_s=2,
        )
        steps.say("nova-compute reports")

    def boot(self, name: str, kind: str = "pv") -> str:
        """Ask Nova for an instance of a kind; give its id."""
        return self.nova.boot(name, self.nova.images()[kind], FLAVOR)

    def guests(self) -> list["guests.Guest"]:
        """All instances as guests that take commands."""
        if self._consoles is None:
            self._consoles = guests.Consoles(self.host)
        consoles = self._consoles
        return [
            guests.Guest(
                consoles,
                server["name"],
                server["id"],
                server["OS-EXT-SRV-ATTR:instance_name"],
            )
            for server in self.nova.servers()
        ]

    # Ended.

    def down(self) -> None:
        """End the lab; leaves no process, port or file but cache and logs."""
        if self._consoles:
            self._consoles.close()
        self.dom0.save_logs()
        bring_down()


def _stop_all_on_error(done: "concurrent.futures.Future[None]") -> None:
    if done.exception():
        steps.say(f"failed: {done.exception()}")
        processes.stop_all()


def _remove() -> None:
    processes.stop_all()
    shutil.rmtree(paths.run(), ignore_errors=True)


def bring_down() -> None:
    """End whatever lab there is, whole or broken."""
    with _lock():
        _remove()


def status() -> str:
    """What runs, as text."""
    found = Lab.find()
    if not found:
        return "no lab is up"
    lines = [f"run directory {paths.run()}, logs {paths.logs()}"]
    for name in processes.names():
        pid = processes.pid_of(name)
        lines.append(f"{name:16} {f'pid {pid}' if pid else 'not running'}")
    try:
        lines.append(found.ssh("xl list", timeout_s=30))
    except (steps.LabError, subprocess.TimeoutExpired) as error:
        lines.append(f"dom0 doesn't answer: {error}")
    return "\n".join(lines)
