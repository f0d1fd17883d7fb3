# SPDX-License-Identifier: Apache-2.0
"""The main job on one machine: ``make demo``; see README.md beside this."""
