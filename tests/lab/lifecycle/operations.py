# SPDX-License-Identifier: Apache-2.0
"""Every operation of Nova's API that is tried, on one instance.

Each starts with a running instance, or brings it where it must be first, and
raises LabError with the reason when it doesn't do what it promises.
"""

import hashlib
import ipaddress
from collections.abc import Callable

from tests.lab import lab as lab_module
from tests.lab import network_setup, steps, volumes
from tests.lab.lifecycle import placing, pressure
from tests.lab.lifecycle.subject import Subject, wait_for

LARGER = "lab.1280"
LARGER_MIB = 1280
VOLUME_MIB = 64
BALLOON_MIB = 64
NEED_MIB = 500
BALLOON_WITHIN_S = 240
_SECTOR = 512


def balloon(subject: Subject) -> None:
    """What it needs it is given, and what it leaves idle is taken."""
    before_kib = subject.size_kib()
    subject.eat(NEED_MIB)
    if before_kib < (NEED_MIB - BALLOON_MIB) << 10:
        wait_for(
            f"{BALLOON_MIB} MiB to be given",
            lambda: subject.size_kib() - before_kib >= BALLOON_MIB << 10,
            BALLOON_WITHIN_S,
        )
    subject.stop_eating()
    most_kib = subject.size_kib()
    with pressure.newcomers(subject):
        wait_for(
            f"{BALLOON_MIB} MiB to be taken",
            lambda: most_kib - subject.size_kib() >= BALLOON_MIB << 10,
            BALLOON_WITHIN_S,
        )
    subject.check(same_boot=True)


def console_log(subject: Subject) -> None:
    """What the guest says at its console is what Nova gives.

    That is the paravirtual console, and the serial port of an HVM guest.
    """
    mark = hashlib.sha256(subject.boot.encode()).hexdigest()[:12]
    # Nobody else may listen then, or the words would go there.
    subject.run(
        f"(sleep 4; for console in hvc0 ttyS0; do"
        f" echo said-{mark} >/dev/$console; done) 2>/dev/null & true"
    )

    def told() -> bool:
        path = f"/servers/{subject.uuid}/action"
        body = {"os-getConsoleOutput": {"length": 200}}
        output = subject.lab.nova.call("nova", "POST", path, body)["output"]
        return f"said-{mark}" in output.replace("echo said", "")

    wait_for("its words in the console log", told)


def pause(subject: Subject) -> None:
    subject.ask("pause", status="PAUSED")


def unpause(subject: Subject) -> None:
    if subject.status() != "PAUSED":
        pause(subject)
    subject.ask("unpause")
    subject.check(same_boot=True)


def suspend(subject: Subject) -> None:
    subject.ask("suspend", status="SUSPENDED")
    _require_off(subject)


def resume(subject: Subject) -> None:
    if subject.status() != "SUSPENDED":
        suspend(subject)
    subject.ask("resume")
    subject.check(same_boot=True)


def reboot_soft(subject: Subject) -> None:
    _reboot(subject, "SOFT")


def reboot_hard(subject: Subject) -> None:
    _reboot(subject, "HARD")


def _reboot(subject: Subject, how: str) -> None:
    subject.ask("reboot", {"type": how})
    subject.check(same_boot=False)
    subject.expect_mark()


def stop(subject: Subject) -> None:
    subject.ask("os-stop", status="SHUTOFF")
    _require_off(subject)


def start(subject: Subject) -> None:
    if subject.status() != "SHUTOFF":
        stop(subject)
    subject.ask("os-start")
    subject.check(same_boot=False)
    subject.expect_mark()


def _require_off(subject: Subject) -> None:
    running = subject.lab.ssh("virsh list --name").split()
    if subject.guest.domain in running:
        raise steps.LabError("its domain still runs")


def attach_volume(subject: Subject) -> None:
    """A new disk appears, and what is written to it is in its file."""
    cloud = subject.lab.nova
    before = subject.devices()
    body = {"volume": {"name": subject.guest.name, "size": 1}}
    made = cloud.call("cinder", "POST", "/volumes", body)["volume"]
    subject.volume = made["id"]
    subject.lab.ssh(
        f"mkdir -p {volumes.DIRECTORY}"
        f" && truncate -s {VOLUME_MIB}M {subject.volume_file()}"
    )
    request = cloud.request(
        "POST",
        f"/servers/{subject.uuid}/os-volume_attachments",
        {"volumeAttachment": {"volumeId": subject.volume}},
    )
    subject.wait_done("attach volume", request, "ACTIVE")
    (disk,) = _appeared(subject, before)
    subject.extras.add(disk)
    mark = subject.write_mark(disk)
    subject.check(same_boot=True)
    if mark not in _end_of_volume(subject):
        raise steps.LabError("what was written is not in the volume's file")


def detach_volume(subject: Subject) -> None:
    """The disk is gone, the volume free, its data still there."""
    if not subject.volume:
        attach_volume(subject)
    cloud = subject.lab.nova
    data = _end_of_volume(subject)
    path = f"/servers/{subject.uuid}/os-volume_attachments/{subject.volume}"
    request = cloud.request("DELETE", path)
    subject.wait_done("detach volume", request, "ACTIVE")

    def free() -> bool:
        told = cloud.call("cinder", "GET", f"/volumes/{subject.volume}")
        return bool(told["volume"]["status"] == "available")

    wait_for("a free volume", free)
    disks = {x for x in subject.extras if x.startswith("xvd")}
    _require_gone(subject, disks)
    if _end_of_volume(subject) != data:
        raise steps.LabError("the volume's data has changed")
    subject.volume = ""
    subject.check(same_boot=True)


def _end_of_volume(subject: Subject) -> str:
    file = subject.volume_file()
    return subject.lab.ssh(f"sync; tail -c {_SECTOR} {file} | tr -d '\\000 '")


def attach_interface(subject: Subject) -> None:
    """An interface appears, and the host's switch answers over it."""
    before = subject.devices()
    network = network_setup.network(subject.lab)
    told = subject.lab.nova.call(
        "nova",
        "POST",
        f"/servers/{subject.uuid}/os-interface",
        {"interfaceAttachment": {"net_id": network}},
    )["interfaceAttachment"]
    subject.port = told["port_id"]
    (nic,) = _appeared(subject, before)
    subject.extras.add(nic)
    address = told["fixed_ips"][0]["ip_address"]
    subject.run(f"ip link set {nic} up")
    prefix = ipaddress.ip_network(network_setup.SUBNET).prefixlen
    subject.run(f"ip addr replace {address}/{prefix} dev {nic}")
    subject.run(f"ping -c 1 -W 10 {network_setup.HOST_ADDRESS}")
    subject.check(same_boot=True)


def detach_interface(subject: Subject) -> None:
    """The interface is gone, and so is its port."""
    if not subject.port:
        attach_interface(subject)
    path = f"/servers/{subject.uuid}/os-interface"
    request = subject.lab.nova.request("DELETE", f"{path}/{subject.port}")
    subject.wait_done("detach interface", request, "ACTIVE")

    def free() -> bool:
        told = subject.lab.nova.call("nova", "GET", path)
        return not told["interfaceAttachments"]

    wait_for("no interface", free)
    nics = {x for x in subject.extras if not x.startswith("xvd")}
    _require_gone(subject, nics)
    subject.port = ""
    subject.check(same_boot=True)


def _appeared(subject: Subject, before: set[str]) -> set[str]:
    wait_for("its kernel to see it", lambda: subject.devices() > before)
    return subject.devices() - before


def _require_gone(subject: Subject, names: set[str]) -> None:
    if not names:
        raise steps.LabError("nothing was attached")
    wait_for(
        f"{', '.join(names)} to go", lambda: not names & subject.devices()
    )
    subject.extras -= names


def snapshot(subject: Subject) -> None:
    """An image is made that is the disk, and the guest lives on."""
    name = f"{subject.guest.name}-{subject.boot[:8]}"
    request = subject.lab.nova.act(subject.uuid, "createImage", {"name": name})
    subject.wait_done("snapshot", request, "ACTIVE")
    cloud = subject.lab.nova
    image_id = cloud.images()[name]

    def active() -> bool:
        told = cloud.call("glance", "GET", f"/images/{image_id}")
        return bool(told["status"] == "active")

    wait_for("an active image", active)
    subject.check(same_boot=True)
    data = cloud.download(image_id)
    cloud.call("glance", "DELETE", f"/images/{image_id}")
    sectors = int(subject.run("cat /sys/class/block/xvda/size"))
    if len(data) != sectors * _SECTOR:
        raise steps.LabError(f"the image has {len(data)} bytes")
    if data[-_SECTOR:].strip(b"\0 ").decode() != subject.mark:
        raise steps.LabError("the image lacks the disk's data")


def rescue(subject: Subject) -> None:
    """It boots from the rescue disk and sees its own as second."""
    subject.ask("rescue", {}, status="RESCUE")
    extras, subject.extras = subject.extras, set()
    try:
        subject.check(same_boot=False)
        subject.expect_mark("xvdb")
    finally:
        subject.extras = extras


def unrescue(subject: Subject) -> None:
    if subject.status() != "RESCUE":
        rescue(subject)
    subject.ask("unrescue")
    subject.check(same_boot=False)
    subject.expect_mark()


def rebuild(subject: Subject) -> None:
    """Its disk is the image's again."""
    image = subject.lab.nova.images()[subject.kind]
    subject.ask("rebuild", {"imageRef": image})
    subject.check(same_boot=False)
    if subject.read_mark() == subject.mark:
        raise steps.LabError("its disk is the old one")
    subject.mark = subject.write_mark()


def _resize(subject: Subject) -> None:
    placing.until_placed(
        lambda: subject.ask(
            "resize", {"flavorRef": LARGER}, status="VERIFY_RESIZE"
        )
    )
    subject.check(same_boot=False)
    subject.expect_mark()
    _require_flavor(subject, LARGER_MIB)


def _require_flavor(subject: Subject, mib: int) -> None:
    told = subject.lab.ssh(f"virsh dominfo {subject.guest.domain}")
    (line,) = [x for x in told.splitlines() if x.startswith("Max memory")]
    found_mib = int(line.split()[2]) // 1024
    # libxl keeps the video memory of an HVM guest apart.
    if not mib - 32 <= found_mib <= mib:
        raise steps.LabError(f"it may have {found_mib} MiB, not {mib}")


def resize_revert(subject: Subject) -> None:
    _resize(subject)
    subject.ask("revertResize")
    subject.check(same_boot=False)
    subject.expect_mark()
    _require_flavor(subject, lab_module.FLAVOR_MIB)


def resize_confirm(subject: Subject) -> None:
    _resize(subject)
    subject.ask("confirmResize")
    subject.check(same_boot=True)
    _require_flavor(subject, LARGER_MIB)


def shelve(subject: Subject) -> None:
    subject.ask("shelve", status="SHELVED_OFFLOADED")
    _require_off(subject)


def unshelve(subject: Subject) -> None:
    if subject.status() != "SHELVED_OFFLOADED":
        shelve(subject)
    placing.until_placed(lambda: subject.ask("unshelve"))
    subject.check(same_boot=False)
    subject.expect_mark()


def delete(subject: Subject) -> None:
    """Neither domain nor directory nor allocation is left."""
    cloud = subject.lab.nova
    cloud.delete(subject.uuid)
    wait_for(
        "deletion",
        lambda: subject.uuid not in {x["id"] for x in cloud.servers()},
        300,
    )
    left = subject.lab.ssh(
        f"virsh list --all --name | grep -x {subject.guest.domain};"
        f" ls -d /var/lib/nova/instances/{subject.uuid}* 2>/dev/null; true"
    )
    if left.strip():
        raise steps.LabError(f"left behind: {left.split()}")
    path = f"/allocations/{subject.uuid}"
    if cloud.call("placement", "GET", path)["allocations"]:
        raise steps.LabError("Placement still counts it")


ALL: dict[str, Callable[[Subject], None]] = {
    "console log": console_log,
    "pause": pause,
    "unpause": unpause,
    "suspend": suspend,
    "resume": resume,
    "attach volume": attach_volume,
    "attach interface": attach_interface,
    "reboot soft": reboot_soft,
    "reboot hard": reboot_hard,
    "stop": stop,
    "start": start,
    "detach volume": detach_volume,
    "detach interface": detach_interface,
    "snapshot": snapshot,
    "rescue": rescue,
    "unrescue": unrescue,
    "rebuild": rebuild,
    "resize revert": resize_revert,
    "resize confirm": resize_confirm,
    "shelve": shelve,
    "unshelve": unshelve,
    "balloon": balloon,
    "delete": delete,
}
# For a distribution's image it is enough that it boots, balloons and stays.
FEW = (
    "console log",
    "attach volume",
    "attach interface",
    "suspend",
    "resume",
    "reboot soft",
    "stop",
    "start",
    "balloon",
    "delete",
)
