# SPDX-License-Identifier: Apache-2.0
"""Our balancer beside five others; see ``make bench-balancer``."""
