# SPDX-License-Identifier: Apache-2.0
"""What ``compute_driver = overcommit_demo.DemoDriver`` names."""

from demo.driver import DemoDriver

__all__ = ("DemoDriver",)
