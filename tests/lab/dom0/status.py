# SPDX-License-Identifier: Apache-2.0
"""Print what the agent says of itself, as JSON; runs in dom0."""

import json

from nova_xen_overcommit.agent import client

SOCKET = "/run/nova-xen-overcommit/agent.sock"

with client.Connection.open(SOCKET, 30) as agent:
    print(json.dumps(agent.call("status")))
