# SPDX-License-Identifier: Apache-2.0
"""What the agent shows to Prometheus, if an operator wants that."""

import importlib
import logging
from typing import TYPE_CHECKING

from oslo_config import cfg

from nova_xen_overcommit.agent import core

if TYPE_CHECKING:
    from nova_xen_overcommit.agent.metrics import endpoint

LOG = logging.getLogger(__name__)


def endpoint_of(
    agent: core.Agent, conf: cfg.ConfigOpts
) -> "endpoint.Endpoint | None":
    """Give what shows the agent's metrics, None where nothing shall.

    It is served by a thread of the caller's. Prometheus' library and a
    server of HTTP are loaded only where they are used.
    """
    options = conf.xen_overcommit
    if not options.metrics_port:
        return None
    try:
        exporters = importlib.import_module(f"{__name__}.exporter")
        endpoints = importlib.import_module(f"{__name__}.endpoint")
    except ImportError as error:
        LOG.error(
            "[xen_overcommit] metrics_port: balancing goes on without "
            "metrics, install prometheus_client: %s",
            error,
        )
        return None
    exporter = exporters.Exporter(agent)
    agent.followers.append(exporter.passed)
    made: endpoint.Endpoint = endpoints.Endpoint(
        options.metrics_address, options.metrics_port, exporter.registry
    )
    return made
