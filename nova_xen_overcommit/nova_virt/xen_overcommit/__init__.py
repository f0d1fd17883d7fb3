# SPDX-License-Identifier: Apache-2.0
"""What ``compute_driver = xen_overcommit.XenOvercommitDriver`` names."""

from nova_xen_overcommit.virt.driver import XenOvercommitDriver

__all__ = ("XenOvercommitDriver",)
