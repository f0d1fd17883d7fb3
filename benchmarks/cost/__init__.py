# SPDX-License-Identifier: Apache-2.0
"""What the agent costs its host; see ``make bench-cost``."""
