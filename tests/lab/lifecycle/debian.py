# SPDX-License-Identifier: Apache-2.0
"""Debian's whole-disk image as a cloud's user has it: HVM, cloud-init.

The publisher comes as the cloud's vendor data over the config drive. The
user data opens the console, and has commands of its own beside the vendor's.
"""

import base64
import json

from tests.lab import debian_image, guest_images, paths, steps
from tests.lab import lab as lab_module

IMAGE = "debian"
_VENDOR_DATA = "/etc/nova/vendor_data.json"
# What nova.conf must have besides, by section.
OVERRIDES = {
    "api": {
        "vendordata_providers": "StaticJSON",
        "vendordata_jsonfile_path": _VENDOR_DATA,
    }
}
_GETTY = "/etc/systemd/system/serial-getty@hvc0.service.d"
_USER_DATA = f"""\
#cloud-config
bootcmd:
  - mkdir -p {_GETTY}
  - - sh
    - -c
    - >-
      printf '[Service]\\nExecStart=\\nExecStart=-/sbin/agetty
      --autologin root --noclear %%I vt102\\n' > {_GETTY}/autologin.conf
  - systemctl daemon-reload
  - systemctl try-restart serial-getty@hvc0
runcmd:
  - touch /run/of-the-user
"""
# What is so once cloud-init has done what vendor and user want.
IS_UP = (
    "systemctl is-active nova-xen-overcommit-publisher"
    " && test -e /run/of-the-user"
)
# Debian has no "eat": the same in Python, as busy.
EAT = (
    "python3 -c 'import time\n"
    "b = bytearray({mib} << 20)\n"
    "while True:\n"
    "    for i in range(0, len(b), 4096): b[i] = (b[i] + 1) & 255\n"
    "    time.sleep(10)' >/dev/null 2>&1 & echo pid $!"
)
STOP_EATING = "pkill -f bytearray; true"


def options() -> dict[str, object]:
    """What a boot request has besides name, image and flavor."""
    data = base64.b64encode(_USER_DATA.encode()).decode()
    return {"config_drive": True, "user_data": data}


def prepare(lab: lab_module.Lab) -> None:
    """Upload the image, and put the vendor data where nova-compute looks."""
    if IMAGE not in lab.nova.images():
        image = debian_image.build(paths.logs() / "image.log")
        steps.say("uploading Debian's image")
        lab.nova.make_image(IMAGE, image, "qcow2", hw_disk_bus="scsi")
    vendor_data = guest_images.PUBLISHER.with_name("vendor-data.sh")
    text = json.dumps({"cloud-init": vendor_data.read_text()})
    lab.host.ssh(f"cat >{_VENDOR_DATA}", stdin=text)
