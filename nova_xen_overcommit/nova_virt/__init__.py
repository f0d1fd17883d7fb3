# SPDX-License-Identifier: Apache-2.0
"""The directory that is appended to nova.virt's search path.

Nothing but what Nova's driver loader should find may be in here.
"""
