# SPDX-License-Identifier: Apache-2.0
"""The scenario of the simulated sensor in which a guest rests."""

SCENARIO = """
kernel_mib = 24
least_free_mib = 8
swap_mib_s = 150

[[use]]
name = "idle"
boot_mib = 100
boot_s = 1
idle_mib = 60
"""
