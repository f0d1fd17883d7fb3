# SPDX-License-Identifier: Apache-2.0
"""Unit tests."""

from hypothesis import settings

# A busy machine is slow, which says nothing of the code under test.
settings.register_profile("no-deadline", settings(), deadline=None)
settings.load_profile("no-deadline")
