# SPDX-License-Identifier: Apache-2.0
"""Real QEMU guests on a libvirtd of our own; shared with ``make kvm-demo``."""
