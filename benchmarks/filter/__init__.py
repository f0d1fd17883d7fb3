# SPDX-License-Identifier: Apache-2.0
"""What the filter costs a scheduler, beside Nova's own filters."""

import os

# As schedulers run since Nova 33; read when Nova is first imported.
os.environ.setdefault("OS_NOVA_DISABLE_EVENTLET_PATCHING", "true")

from nova import monkey_patch

monkey_patch.patch()

from nova import objects

objects.register_all()
