# SPDX-License-Identifier: Apache-2.0
"""The Xen host's disk: Debian 12 with Xen, libvirt and Nova's compute.

Three layers, each kept by what it is made of: Debian's packages, Nova's
environment on top of them, and the disk image. Nothing is ever mounted.
"""

import os
import pathlib
import shutil
import subprocess

from tests.lab import guest_images, layers, paths, steps

SUITE = "bookworm"
PACKAGES = (
    "systemd-sysv dbus udev kmod procps iproute2 ca-certificates "
    "openssh-server linux-image-amd64 xen-hypervisor-4.17-amd64 "
    "xen-utils-4.17 xenstore-utils libvirt-daemon-system "
    "libvirt-daemon-driver-xen libvirt-clients python3-libvirt "
    "python3-venv qemu-system-xen qemu-utils seabios busybox-static "
    "openvswitch-switch genisoimage"
).split()
# What the host's environment holds besides our own package.
DOM0_PYTHON = (
    "nova pymysql cliff prometheus_client oslo.service[threading] psutil"
).split()
_LEFT_OUT = (
    "/usr/share/man/* /usr/share/doc/* /usr/share/locale/* "
    "/lib/modules/*/kernel/drivers/gpu/* "
    "/lib/modules/*/kernel/drivers/media/* "
    "/lib/modules/*/kernel/drivers/infiniband/* "
    "/lib/modules/*/kernel/drivers/iio/* "
    "/lib/modules/*/kernel/drivers/net/wireless/* "
    "/lib/modules/*/kernel/drivers/net/ethernet/* "
    "/lib/modules/*/kernel/sound/*"
).split()
# A small initramfs, of what the emulated machine has.
_INITRAMFS = (
    'mkdir -p "$1/etc/initramfs-tools/conf.d" &&'
    ' echo MODULES=list > "$1/etc/initramfs-tools/conf.d/lab" &&'
    ' printf "virtio_pci\\nvirtio_blk\\nvirtio_net\\next4\\n"'
    ' > "$1/etc/initramfs-tools/modules"'
)
_DISK_GIB = 24
_MASKED = (
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer "
    "e2scrub_all.timer e2scrub_reap.service fstrim.timer "
    "libvirt-guests.service xendomains.service getty@tty1.service"
).split()
# The switch is started by who needs networks.
_NOT_AT_BOOT = (
    "libvirt-guests.service e2scrub_reap.service openvswitch-switch.service"
).split()
_FILES = {
    "etc/hostname": "xenhost\n",
    "etc/hosts": "127.0.0.1 localhost xenhost\n10.0.2.2 control\n",
    "etc/fstab": "/dev/vda / ext4 noatime,errors=remount-ro 0 1\n",
    "etc/systemd/network/eth0.network": (
        "[Match]\nName=eth0\n[Network]\nAddress=10.0.2.15/24\n"
        "Gateway=10.0.2.2\n"
    ),
    # The lab's ssh key comes with each boot, as an SMBIOS string.
    "etc/systemd/system/lab-ssh-key.service": (
        "[Unit]\nBefore=ssh.service\nDefaultDependencies=no\n"
        "After=local-fs.target systemd-remount-fs.service\n"
        "[Service]\nType=oneshot\nExecStart=/usr/local/sbin/lab-ssh-key\n"
        "[Install]\nWantedBy=multi-user.target\n"
    ),
    "usr/local/sbin/lab-ssh-key": (
        "#!/bin/sh\nset -e\nmkdir -p -m 700 /root/.ssh\n"
        "modprobe dmi-sysfs\n"
        "strings=/sys/firmware/dmi/entries/11-0/raw\n"
        "tr '\\000' '\\n' <$strings | sed -n 's/.*lab-ssh-key=//p'"
        " >/root/.ssh/authorized_keys\n"
    ),
    # All guests are pinned off dom0's processor (README.rst, "HVM and PVH").
    # PV guests need not be, and are too slow on one.
    "etc/libvirt/hooks/libxl": (
        '#!/bin/sh\n[ "$2" = started ] && grep -q ">linux</type>" &&'
        ' xl vcpu-pin "$1" all all\nexit 0\n'
    ),
    "etc/xen/scripts/block": (paths.LAB / "dom0/block").read_text(),
    "etc/xen/scripts/vif-bridge": (paths.LAB / "dom0/vif-bridge").read_text(),
    # Few messages, kept in memory: the disk is slow under emulation.
    "etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=volatile\n",
    "etc/ssh/sshd_config.d/lab.conf": (
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\n"
        "UseDNS no\nMaxSessions 100\nMaxStartups 100\n"
    ),
}

_PROGRAMS = (
    "usr/local/sbin/lab-ssh-key",
    "etc/libvirt/hooks/libxl",
    "etc/xen/scripts/block",
    "etc/xen/scripts/vif-bridge",
)


def _build_base(out: pathlib.Path, log: pathlib.Path) -> None:
    steps.say("building the host image: Debian's packages")
    excludes = [f"--dpkgopt=path-exclude={path}" for path in _LEFT_OUT]
    steps.run(
        [
            "mmdebstrap",
            "--variant=minbase",
            "--mode=root",
            "--format=directory",
            f"--essential-hook={_INITRAMFS}",
            "--dpkgopt=force-unsafe-io",
            *excludes,
            f"--include={','.join(PACKAGES)}",
            SUITE,
            out / "root",
        ],
        log,
    )


def _pip_environment(root: pathlib.Path) -> dict[str, str]:
    """Give pip in the image this machine's package index and trust."""
    env = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME")
        or name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_PROXY")
        or name.lower() in ("http_proxy", "https_proxy", "no_proxy")
    }
    bundle = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
    if bundle.exists():
        shutil.copy(bundle, root / "tmp/ca.crt")
        env["PIP_CERT"] = env["REQUESTS_CA_BUNDLE"] = "/tmp/ca.crt"
    return env


def _build_python(
    base: pathlib.Path, out: pathlib.Path, log: pathlib.Path
) -> None:
    steps.say("building the host image: Nova's environment")
    root = out / "root"
    steps.run(["cp", "-a", "--reflink=auto", base / "root", root], log)
    for name in ("resolv.conf", "hosts"):
        shutil.copy(f"/etc/{name}", root / "etc" / name)
    shutil.copy(paths.CONSTRAINTS, root / "tmp/constraints.txt")
    env = _pip_environment(root)
    pip = "/opt/nova/bin/pip -q --disable-pip-version-check --no-cache-dir"
    script = (
        "python3 -m venv --system-site-packages /opt/nova && "
        f"{pip} install -c /tmp/constraints.txt {' '.join(DOM0_PYTHON)}"
    )
    steps.run(["chroot", root, "sh", "-ec", script], log, env=env)
    for path in (root / "tmp").iterdir():
        path.unlink()


def _configure(root: pathlib.Path) -> None:
    for name, text in _FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name in _PROGRAMS:
        (root / name).chmod(0o755)
    units = root / "etc/systemd/system"
    for unit in _MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    wants = units / "multi-user.target.wants"
    for unit in _NOT_AT_BOOT:
        (wants / unit).unlink(missing_ok=True)
    for unit in (
        "/lib/systemd/system/systemd-networkd.service",
        "/etc/systemd/system/lab-ssh-key.service",
    ):
        wanted = wants / pathlib.Path(unit).name
        wanted.unlink(missing_ok=True)
        wanted.symlink_to(unit)
    # Xen hides SEP from an AMD dom0, and libvirt then knows no CPU model.
    model = root / "usr/share/libvirt/cpu_map/x86_qemu64.xml"
    lines = model.read_text().splitlines(keepends=True)
    model.write_text("".join(x for x in lines if "name='sep'" not in x))


def _write_disk(
    source: pathlib.Path, out: pathlib.Path, log: pathlib.Path
) -> None:
    root = source / "root"
    _configure(root)
    disk = out / "disk.img"
    with disk.open("wb") as empty:
        empty.truncate(_DISK_GIB << 30)
    steps.run(
        [
            "mkfs.ext4",
            "-q",
            "-F",
            "-E",
            "lazy_itable_init=1,lazy_journal_init=1",
            "-d",
            root,
            disk,
        ],
        log,
    )
    boot = root / "boot"
    shutil.copy(guest_images.kernel_of(root), out / "vmlinuz")
    shutil.copy(max(boot.glob("initrd.img-*")), out / "initrd.img")
    packed = max(boot.glob("xen-4.17-amd64.gz"))
    with (out / "xen").open("wb") as xen:
        subprocess.run(["gunzip", "-c", packed], stdout=xen, check=True)


def build(log: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Give the directories of the disk and of the guest images.

    The first holds disk.img, xen, vmlinuz and initrd.img; the second what
    :func:`guest_images.build` makes.
    """
    constraints = paths.CONSTRAINTS
    base_key = layers.key(SUITE, *PACKAGES, *_LEFT_OUT, _INITRAMFS)
    base = layers.layer("base", base_key, lambda out: _build_base(out, log))
    python_key = layers.key(base_key, constraints, *DOM0_PYTHON)
    python = layers.layer(
        "python", python_key, lambda out: _build_python(base, out, log)
    )
    disk_key = layers.key(
        python_key,
        str(_DISK_GIB),
        *(*_MASKED, *_NOT_AT_BOOT),
        *map(str, _FILES.items()),
    )
    disk = layers.layer(
        "disk", disk_key, lambda out: _write_disk(python, out, log)
    )
    return disk, build_guests(base, base_key, log)


def build_guests(
    base: pathlib.Path, base_key: str, log: pathlib.Path
) -> pathlib.Path:
    """Give the directory of the guest images."""
    sources = sorted(guest_images.SOURCE.iterdir())
    if guest_images.PUBLISHER.exists():
        sources.append(guest_images.PUBLISHER)
    code = [pathlib.Path(guest_images.__file__), *sources]
    return layers.layer(
        "guests",
        layers.key(base_key, *code),
        lambda out: guest_images.build(base / "root", out, log),
    )
