# SPDX-License-Identifier: Apache-2.0
"""Tests in a real Nova: API, scheduler, conductor, compute, Placement.

All of them run in one process. Nova chooses its concurrency (native threads
or eventlet) when it is first imported, so that must come before all else;
the environment variable OS_NOVA_DISABLE_EVENTLET_PATCHING decides. Until
2025.1 the import itself does it.
"""

from nova import monkey_patch

if hasattr(monkey_patch, "patch"):
    monkey_patch.patch()

from nova import objects

objects.register_all()
