# SPDX-License-Identifier: Apache-2.0
"""Appended to nova.virt's search path, so that Nova finds the demo's driver.

Nothing but what Nova's driver loader should find may be in here.
"""
