# SPDX-License-Identifier: Apache-2.0
"""nova-compute with our driver within its reach."""

# Nova's entry point comes first: it selects the concurrency backend, which
# must happen before anything else is imported.
from nova.cmd import compute as nova_compute  # isort: skip

from nova_xen_overcommit.virt import bootstrap


def main() -> None:
    """Run nova-compute, able to load ``xen_overcommit.*`` drivers."""
    bootstrap.prepare()
    nova_compute.main()
