# SPDX-License-Identifier: Apache-2.0
"""OpenStack's servers, real ones, beside the emulated Xen host."""

from .cloud import Cloud, CloudError
from .plane import ControlPlane

__all__ = ["Cloud", "CloudError", "ControlPlane"]
