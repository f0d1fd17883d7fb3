# SPDX-License-Identifier: Apache-2.0
"""A network of the lab: Open vSwitch on the Xen host, and one subnet."""

from tests.lab import lab as lab_module

SUBNET = "192.0.2.0/24"
# The host's own address on the switch, which guests can ask for.
HOST_ADDRESS = "192.0.2.1"
_NAME = "lab"
_SWITCH = """\
set -e
systemctl start openvswitch-switch
ovs-vsctl set-manager ptcp:6640:127.0.0.1
ovs-vsctl --may-exist add-br br-int
ip link set br-int up
ip addr replace {address}/24 dev br-int
"""


def start(lab: lab_module.Lab) -> None:
    """Start the switch and make the network; repeatable."""
    lab.ssh(_SWITCH.format(address=HOST_ADDRESS), timeout_s=240)
    if _networks(lab):
        return
    network = {"name": _NAME, "port_security_enabled": False}
    made = lab.nova.call("neutron", "POST", "/networks", {"network": network})[
        "network"
    ]
    subnet = {
        "network_id": made["id"],
        "cidr": SUBNET,
        "ip_version": 4,
        "gateway_ip": HOST_ADDRESS,
        "enable_dhcp": False,
    }
    lab.nova.call("neutron", "POST", "/subnets", {"subnet": subnet})


def network(lab: lab_module.Lab) -> str:
    """The network's id."""
    return _networks(lab)[0]


def _networks(lab: lab_module.Lab) -> list[str]:
    told = lab.nova.call("neutron", "GET", f"/networks?name={_NAME}")
    return [network["id"] for network in told["networks"]]
