# SPDX-License-Identifier: Apache-2.0
"""Neutron's part of networks: every port is bound, without an agent.

Loaded by the lab's Neutron as the ML2 mechanism driver ``lab``. Interfaces
are plugged the hybrid way: a Linux bridge for each, which a pair of veth
devices joins to the host's Open vSwitch. libxl is at home with bridges, and
Nova has no Linux bridge without Open vSwitch any more.
"""

from typing import Any

from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api

BRIDGE = "br-int"


class LabMechanismDriver(api.MechanismDriver):  # type: ignore[misc]
    """Binds each port to the one host's switch."""

    def initialize(self) -> None:
        """Nothing is to be made ready."""

    def bind_port(self, context: Any) -> None:
        """Take the first segment, whatever it is."""
        context.set_binding(
            context.segments_to_bind[0]["id"],
            portbindings.VIF_TYPE_OVS,
            {
                portbindings.CAP_PORT_FILTER: True,
                portbindings.OVS_HYBRID_PLUG: True,
                portbindings.VIF_DETAILS_BRIDGE_NAME: BRIDGE,
            },
            "ACTIVE",
        )
