# SPDX-License-Identifier: Apache-2.0
"""nova-xen-overcommit-agent: balances the memory of one host's guests."""

import os
import sys
from collections.abc import Sequence
from typing import Any, cast

# Where Nova is installed too, libraries of oslo import eventlet if it is
# there: 20 MiB that this process, which has threads, would never use.
cast("dict[str, Any]", sys.modules).setdefault("eventlet", None)

# The backend must be chosen before anything else of oslo.service is
# imported.
from oslo_service import backend  # noqa: E402

backend.init_backend(backend.BackendType.THREADING)

from oslo_config import cfg  # noqa: E402
from oslo_log import log  # noqa: E402
from oslo_service import service  # noqa: E402

from nova_xen_overcommit import conf as options  # noqa: E402
from nova_xen_overcommit import exception  # noqa: E402
from nova_xen_overcommit.agent import service as agent_service  # noqa: E402
from nova_xen_overcommit.agent import supervisor  # noqa: E402

PROJECT = "nova"
PROGRAM = "nova-xen-overcommit-agent"


def configure(arguments: Sequence[str]) -> cfg.ConfigOpts:
    """Read and check the configuration.

    :raises InvalidConfiguration: options contradict each other.
    :raises cfg.Error: an option has a value that it can't have.
    """
    conf = cfg.ConfigOpts()
    log.register_options(conf)
    options.register_opts(conf)
    # The same nova.conf as nova-compute's on this host.
    conf(list(arguments), project=PROJECT, prog=PROGRAM)
    options.check(conf)
    log.setup(conf, PROGRAM)
    return conf


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent until it is told to stop; give the exit code."""
    try:
        conf = configure(sys.argv[1:] if arguments is None else arguments)
    except (exception.InvalidConfiguration, cfg.Error) as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return 2
    launcher = service.launch(
        conf,
        agent_service.AgentService(
            conf, supervisor.Supervisor.taken_from(os.environ)
        ),
        workers=1,
        restart_method="mutate",
    )
    launcher.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
