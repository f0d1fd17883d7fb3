# SPDX-License-Identifier: Apache-2.0
"""The lab: a real Xen host in an emulator, and OpenStack beside it."""
